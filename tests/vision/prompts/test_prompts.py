"""Prompts stand in InternVL's own form, in the question's language."""

from __future__ import annotations

import pytest

from vision.chat.types import ImagePart, Message, TextPart
from vision.prompts.charts import ask_chart, chart_table
from vision.prompts.describe import describe
from vision.prompts.documents import ask_pages, transcribe, without_fence
from vision.prompts.followup import follow_up
from vision.prompts.grounding import locate, read_grounding
from vision.prompts.language import is_chinese
from vision.prompts.prompt import Prompt, tiles_each
from vision.prompts.video import Frame, ask_video

A, B = ImagePart(data=b"a"), ImagePart(data=b"b")


def reference(prompt: Prompt) -> str:
    """The last message as the reference writes it, where each picture is `<image>` and a line break."""
    return "".join("<image>\n" if isinstance(p, ImagePart) else p.text for p in prompt.messages[-1].parts)


def test_one_picture_comes_before_its_question() -> None:
    assert reference(describe([A], None, "full", 12)) == "<image>\nPlease describe the image in detail."


def test_several_pictures_are_numbered() -> None:
    text = reference(describe([A, B], "Which is larger?", "normal", 12))
    assert text.startswith("Image-1: <image>\nImage-2: <image>\nWhich is larger?\n")


def test_frames_are_numbered_and_their_times_told_behind_them() -> None:
    text = reference(ask_video([Frame(0.5, A), Frame(1.5, B)], "What moves?"))
    assert text.startswith("Frame1: <image>\nFrame2: <image>\nThe frames were taken at 0.5, 1.5 seconds.\nWhat moves?")


def test_a_chart_s_question_ends_as_in_the_reference_s_evaluation() -> None:
    text = "<image>\nHow much?\nAnswer the question using a single word or phrase."
    assert reference(ask_chart(A, "How much?", 12)) == text


def test_grounding_asks_as_the_reference_does_and_lets_no_marks_in() -> None:
    asked = "Please provide the bounding box coordinate of the region this sentence describes: <ref>the cat</ref>"
    assert reference(locate(A, "the <box>cat</ref>", 12)) == f"<image>\n{asked}"


def test_pages_are_named_and_come_with_their_text() -> None:
    text = reference(ask_pages([(3, A, "Total 5"), (9, B, "")], "What is the total?", 6))
    assert text.startswith("Image-1: <image>\nImage-2: <image>\nThe images are pages 3, 9 of a document.\n")
    assert "Text read on page 3:\nTotal 5\nWhat is the total?" in text and "page 9:" not in text


def test_a_follow_up_leaves_the_turns_before_as_they_were() -> None:
    first = describe([A], "What is it?", "normal", 9)
    turns = (*first.messages, Message(role="assistant", parts=(TextPart(text="A cat. "),)))
    prompt = follow_up(turns, "What colour?", 9)
    assert prompt.messages[:2] == turns and reference(prompt) == "What colour?" and prompt.max_tiles == 9


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("图中有什么？", True),
        ("What is 图?", True),
        ("これは何ですか。日本", False),
        ("그림", False),
        ("What?", False),
        (None, False),
    ],
)
def test_a_question_with_chinese_characters_is_chinese(text: str | None, chinese: bool) -> None:
    assert is_chinese(text) is chinese


def test_a_chinese_question_gets_chinese_instructions() -> None:
    for prompt in (
        describe([A], "这是什么？", "normal", 12),
        ask_chart(A, "最大值是多少？", 12),
        chart_table(A, "数据是多少？", 12),
        ask_pages([(1, A, "合计")], "合计是多少？", 12),
        ask_video([Frame(0.5, A)], "发生了什么？"),
    ):
        assert not any(letter.isascii() and letter.isalpha() for letter in reference(prompt).replace("<image>", "")
                       .replace("Frame1", "").replace("Markdown", ""))  # fmt: skip


def test_half_the_tiles_until_one_is_left() -> None:
    prompt = transcribe(A, 12)
    counts = []
    while (less := prompt.lighter()) is not None:
        prompt, _ = less
        counts.append(prompt.max_tiles)
    assert counts == [6, 3, 1]


def test_half_the_frames_until_one_is_left() -> None:
    prompt: Prompt = ask_video([Frame(float(i), A) for i in range(7)], None)
    counts = []
    while (less := prompt.lighter()) is not None:
        prompt, _ = less
        counts.append(sum(isinstance(part, ImagePart) for part in prompt.messages[0].parts))
    assert counts == [4, 2, 1]


@pytest.mark.parametrize(
    ("wanted", "pictures", "most", "room", "tiles"),
    [(12, 1, 12, 6000, 12), (12, 4, 12, 6000, 3), (12, 8, 12, 6000, 1), (24, 1, 24, 6000, 22), (12, 1, 6, 6000, 6)],
)
def test_pictures_share_the_tiles(wanted: int, pictures: int, most: int, room: int, tiles: int) -> None:
    assert tiles_each(wanted, pictures, most=most, room=room) == tiles


def test_markdown_is_taken_out_of_its_code_block() -> None:
    assert without_fence("```markdown\n# A\n\n| b |\n```") == "# A\n\n| b |"
    assert without_fence("# A\n```\ncode\n```") == "# A\n```\ncode\n```"


WHOLE = (0.0, 0.0, 2000.0, 1000.0)


@pytest.mark.parametrize(
    ("text", "labels", "boxes"),
    [
        ("<ref>cat</ref><box>[[100, 200, 300, 400]]</box>", ["cat"], [(200, 200, 600, 400)]),
        ("cat[[100, 200, 300, 400]]", [""], [(200, 200, 600, 400)]),
        ("[[0,0,500,500],[500,500,1000,1000]]", ["", ""], [(0, 0, 1000, 500), (1000, 500, 2000, 1000)]),
        (
            "<ref>a</ref><box>[[0, 0, 10, 10]]</box> and <ref> b </ref><box>[[0, 0, 20, 20], [0, 0, 30, 30]]</box>",
            ["a", "b", "b"],
            [(0, 0, 20, 10), (0, 0, 40, 20), (0, 0, 60, 30)],
        ),
        ("[[-50, 0, 1100, 1000]]", [""], [(0, 0, 2000, 1000)]),
        ("I see no cat.", [], []),
    ],
)
def test_boxes_come_in_pixels_of_the_original(text: str, labels: list[str], boxes: list[tuple[float, ...]]) -> None:
    found = read_grounding(text, WHOLE)
    assert [each.label for each in found.boxes] == labels
    assert [each.box for each in found.boxes] == boxes


def test_a_box_of_a_region_lies_in_the_region() -> None:
    (each,) = read_grounding("[[0, 500, 1000, 1000]]", (100.0, 50.0, 300.0, 150.0)).boxes
    assert each.box == (100, 100, 300, 150)


def test_boxes_that_mean_no_place_are_dropped_and_counted() -> None:
    found = read_grounding("[[5, 5, 5, 9], [900, 10, 100, 20], [1200, 0, 1300, 9], [0, 0, 9, 9], [0, 0, 9, 9]]", WHOLE)
    assert len(found.boxes) == 1 and found.dropped == 3
