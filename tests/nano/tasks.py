"""What a task is: pictures, questions about them in the tools' own words, and the right answers.

What is asked in tests is never drawn in training: a hash of a scene's content says to which of the two it belongs.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from tests.nano.drawing import CHARACTERS, COLOURS, SHAPES, Picture
from vision.chat.types import ImagePart, Message, TextPart
from vision.prompts.charts import ask_chart
from vision.prompts.describe import describe
from vision.prompts.documents import ask_pages, transcribe
from vision.prompts.followup import follow_up
from vision.prompts.grounding import locate
from vision.prompts.prompt import Prompt
from vision.prompts.system import DEFAULT
from vision.prompts.video import Frame, ask_video

Split = Literal["train", "test"]
Tool = Literal["describe", "transcribe", "document", "chart", "locate", "video"]
TILES = 12
_TEST_SHARE = 8
# fmt: off
WORDS = (
    "ACE", "ACT", "AGE", "AIR", "ANT", "ARM", "ART", "ASH", "BAG", "BAR", "BAT", "BED", "BEE", "BIG", "BOX",
    "BOY", "BUS", "CAB", "CAP", "CAR", "CAT", "COW", "CUP", "DAY", "DOG", "DRY", "EAR", "EAST", "EGG", "END",
    "EXIT", "EYE", "FAN", "FAR", "FISH", "FIVE", "FLY", "FOX", "FUN", "GAS", "GATE", "GOLD", "HAT", "HEN",
    "HILL", "HOT", "ICE", "INK", "IRON", "JAM", "JAR", "JOB", "JOY", "KEY", "KIT", "LAB", "LAMP", "LEG",
    "LIP", "LOW", "MAN", "MAP", "MILK", "MIX", "MOON", "NET", "NEW", "NINE", "NORTH", "NUT", "OAK", "OIL",
    "ONE", "OPEN", "OWL", "PEN", "PIE", "PIG", "PORT", "QUIZ", "RAIN", "RED", "RING", "ROAD", "ROCK", "SALT",
    "SEA", "SHIP", "SKY", "SNOW", "SOUTH", "STAR", "STOP", "SUN", "TAX", "TEN", "TIDE", "TOP", "TREE", "TWO",
    "VAN", "VASE", "WAX", "WEST", "WIND", "WOLF", "YAK", "YES", "ZERO", "ZOO",
)
# fmt: on
SHAPE_ZH: dict[str, str] = dict(zip(SHAPES, ("圆形", "正方形", "三角形", "星形", "十字形"), strict=True))
COLOUR_ZH = dict(zip(COLOURS, ("红色", "绿色", "蓝色", "黄色", "紫色", "黑色"), strict=True))
PLACES = {
    "on the left": "左边",
    "on the right": "右边",
    "at the top": "上面",
    "at the bottom": "下面",
    "at the top left": "左上角",
    "at the top right": "右上角",
    "at the bottom left": "左下角",
    "at the bottom right": "右下角",
}
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_OTHER_ZH = {"lines": "线条", "shapes": "形状", "highest": "最高"}
WAY_ZH = {"left": "向左", "right": "向右", "up": "向上", "down": "向下"}


class Question(NamedTuple):
    """`text` None: the tool is called without a question. `then`: what can be asked after it, meaning what it found."""

    task: str
    text: str | None
    answer: str
    then: Question | None = None


@dataclass(frozen=True)
class Scene:
    """`questions`: what can be asked, with `tool`. `times`: of the frames, in seconds. `read`: what the recogniser
    found on a document's page.
    """

    tool: Tool
    pictures: tuple[Picture, ...]
    questions: tuple[Question, ...]
    times: tuple[float, ...] = ()
    read: str = ""


def messages(scene: Scene, asked: Sequence[Question], *, encode: bool = True) -> tuple[Message, ...]:
    """The conversation up to the last question, as the engine sends it; all earlier ones answered rightly.

    Without `encode` the pictures are empty: for the text alone.
    """
    parts = [ImagePart(data=picture.png() if encode else b"") for picture in scene.pictures]
    prompt = _first(scene, parts, asked[0].text)
    turns = (Message(role="system", parts=(TextPart(text=DEFAULT),)), *prompt.messages)
    for before, question in pairwise(asked):
        answered = Message(role="assistant", parts=(TextPart(text=before.answer),))
        turns = follow_up((*turns, answered), question.text or "", prompt.max_tiles).messages
    return turns


def most_tiles(scene: Scene) -> int:
    """As the tools ask for."""
    return 1 if scene.tool == "video" else max(1, TILES // len(scene.pictures))


def _first(scene: Scene, parts: list[ImagePart], text: str | None) -> Prompt:
    tiles = most_tiles(scene)
    match scene.tool:
        case "describe":
            return describe(parts, text, "normal", tiles)
        case "transcribe":
            return transcribe(parts[0], tiles)
        case "document":
            return ask_pages([(1, parts[0], scene.read)], text or "", tiles)
        case "chart":
            return ask_chart(parts[0], text, tiles)
        case "locate":
            return locate(parts[0], text or "", tiles)
        case "video":
            return ask_video([Frame(t, part) for t, part in zip(scene.times, parts, strict=True)], text)


class Maker:
    """Makes scenes of one split, always the same from one seed. `chinese`: how many of the scenes."""

    def __init__(self, seed: int | str, split: Split, chinese: float = 0.2) -> None:
        self.chance = random.Random(f"{split} {seed}")
        self.split = split
        self.share = chinese
        self.zh = False

    def language(self) -> None:
        """Chooses the next scene's."""
        self.zh = self.chance.random() < self.share

    def fits(self, *content: object) -> bool:
        """Whether this may be drawn in this split."""
        return (zlib.crc32(repr(content).encode()) % _TEST_SHARE == 0) == (self.split == "test")

    def say(self, english: str, chinese: str) -> str:
        return chinese if self.zh else english

    def name(self, word: str) -> str:
        """In the scene's language; places without "on the"."""
        chinese: dict[str, str] = {**SHAPE_ZH, **COLOUR_ZH, **PLACES, **WAY_ZH, **_OTHER_ZH}
        return chinese.get(word, word) if self.zh else word.rpartition(" the ")[2]

    def told(self, of: str, what: str) -> str:
        """An answer: what is asked about stands right before what is found, which makes it learnable."""
        return self.say(f"{self.name(of)} {self.name(what)}.", f"{self.name(of)}{self.name(what)}。")

    @property
    def nothing(self) -> str:
        return self.say("It cannot be told.", "无法得知。")

    def number(self, least: int, most: int) -> str:
        """So many digits."""
        while True:
            digits = "".join(self.chance.choice("0123456789") for _ in range(self.chance.randint(least, most)))
            if self.fits(digits):
                return digits

    def word(self, most: int = 5) -> str:
        """A word; in training half of the time letters by chance."""
        while True:
            if self.split == "train" and self.chance.random() < 0.5:
                word = "".join(self.chance.choice(CHARACTERS[10:]) for _ in range(self.chance.randint(2, most)))
            else:
                word = self.chance.choice(WORDS)
            if len(word) <= most and self.fits(word):
                return word

    def kinds(self, count: int) -> list[tuple[str, str]]:
        """(colour, shape) of so many things, no two alike in either."""
        colours = self.chance.sample(list(COLOURS), count)
        return list(zip(colours, self.chance.sample(SHAPES, count), strict=True))

    def within(self, cell: tuple[int, int, int, int], least: int, most: int) -> tuple[int, int, int, int]:
        """A square of so many pixels somewhere in `cell`."""
        left, top, right, bottom = cell
        size = self.chance.randint(least, min(most, right - left, bottom - top))
        x, y = self.chance.randint(left, right - size), self.chance.randint(top, bottom - size)
        return x, y, x + size, y + size
