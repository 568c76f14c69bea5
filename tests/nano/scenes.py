"""The scenes, by kind: pictures made by chance, with what can be asked about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.nano.drawing import CHARACTERS, COLOURS, PATCH, SHAPES, SIDE, Canvas, Picture
from tests.nano.tasks import COLOUR_ZH, PLACES, SHAPE_ZH, WAYS, Maker, Question, Scene

# Of the scenes, in which something is asked that they do not show.
_UNKNOWN = 0.3
# What bars are named.
_BARS = CHARACTERS[10:18]


def draw(make: Maker, kind: str) -> Scene:
    make.language()
    return SCENES[kind](make)


def _text(make: Maker, document: bool = False) -> Scene:
    """A number or a word, large or small, sometimes with a shape; as a document's page often with what was read."""
    numeric = make.chance.random() < 0.5
    cells = make.chance.choice((1, 2))
    text = make.number(2, 4) if numeric else make.word(4)
    canvas = Canvas(make.chance)
    shaped, low = document or make.chance.random() < 0.3, make.chance.random() < 0.5
    x = make.chance.randint(0, 8 // cells - len(text)) * cells * PATCH
    rows = range(4, 9 - cells, cells) if shaped and low else range(0, 5 - cells if shaped else 9 - cells, cells)
    canvas.text(text, x, make.chance.choice(rows) * PATCH, cells=cells, ink=_ink(make))
    number = make.say("What number is shown?", "图中的数字是什么？")
    word = make.say("What word is shown?", "图中的单词是什么？")
    asked = [Question("read", number if numeric else word, text)]
    absent = make.chance.choice(SHAPES)
    if shaped:
        ((colour, shape),) = make.kinds(1)
        canvas.shape(shape, colour, make.within((0, 0, SIDE, 56) if low else (0, 56, SIDE, SIDE), 24, 50))
        asked += [_colour_of(make, colour, shape), _shape_of(make, colour, shape)]
        absent = make.chance.choice([other for other in SHAPES if other != shape])
    if make.chance.random() < _UNKNOWN:
        asked.append(Question("unknown", word if numeric else number, make.nothing))
        asked.append(_colour_of(make, None, absent))
    if document:
        return Scene("document", (canvas.picture(),), tuple(asked), read=make.chance.choice(("", text, text)))
    return Scene("describe", (canvas.picture(),), tuple(asked))


def _ink(make: Maker) -> str:
    return make.chance.choice(("black", "black", "blue", "red", "purple"))


def _lines(make: Maker) -> Scene:
    """Several lines of small text."""
    canvas = Canvas(make.chance)
    rows = sorted(make.chance.sample(range(8), make.chance.randint(2, 5)))
    lines = [make.number(2, 7) if make.chance.random() < 0.5 else make.word(8) for _ in rows]
    for row, line in zip(rows, lines, strict=True):
        canvas.text(line, make.chance.randint(0, 8 - len(line)) * PATCH, row * PATCH, ink=_ink(make))
    return Scene("transcribe", (canvas.picture(),), (Question("lines", None, "\n".join(lines)),))


def _colour_of(make: Maker, colour: str | None, shape: str) -> Question:
    text = make.say(f"What colour is the {shape}?", f"{SHAPE_ZH[shape]}是什么颜色？")
    if colour is None:
        return Question("unknown", text, make.nothing)
    return Question("colour", text, make.told(shape, colour))


def _shape_of(make: Maker, colour: str, shape: str) -> Question:
    text = make.say(f"Which shape is {colour}?", f"{COLOUR_ZH[colour]}的是什么形状？")
    return Question("colour", text, make.told(colour, shape))


def _layout(make: Maker) -> tuple[list[str], int, int]:
    """The names of places, side by side or one above the other, and how many there are in each direction."""
    names = list(PLACES)
    return make.chance.choice(((names[:2], 2, 1), (names[2:4], 1, 2), (names[4:], 2, 2)))


def _shapes(make: Maker, large: bool = False) -> Scene:
    """Shapes in two halves or four quarters of a picture."""
    names, columns, rows = _layout(make)
    while True:
        kinds = make.kinds(len(names))
        if make.fits(names[0], *kinds):
            break
    canvas = Canvas(make.chance, *((SIDE * columns, SIDE * rows) if large else (SIDE, SIDE)))
    height, width = canvas.pixels.shape[0] // rows, canvas.pixels.shape[1] // columns
    asked: list[Question] = []
    its = make.say("What colour is it?", "它是什么颜色？")
    for i, (name, (colour, shape)) in enumerate(zip(names, kinds, strict=True)):
        x, y = i % columns * width, i // columns * height
        # Of two, neither is so far off the middle that left could be top as well.
        dx, dy = width // 4 * (columns == 1), height // 4 * (rows == 1)
        cell = (x + dx, y + dy, x + width - dx, y + height - dy)
        canvas.shape(shape, colour, make.within(cell, 22 * (1 + large), 44 * (1 + large)))
        place = make.name(name)
        its_colour = make.told(shape, colour)
        then = Question("follow", its, its_colour)
        what = make.say(f"Which shape is {name}?", f"{place}是什么形状？")
        hue = make.say(f"What colour is the shape {name}?", f"{place}的形状是什么颜色？")
        where = make.say(f"Where is the {shape}?", f"{SHAPE_ZH[shape]}在哪里？")
        asked += [
            Question("place", what, make.told(name, shape), then),
            Question("place", hue, make.told(name, colour)),
        ]
        asked += [Question("place", where, make.told(shape, name)), _colour_of(make, colour, shape)]
        asked.append(_shape_of(make, colour, shape))
    absent = [shape for shape in SHAPES if shape not in {shape for _, shape in kinds}]
    if make.chance.random() < _UNKNOWN:
        asked.append(_colour_of(make, None, make.chance.choice(absent)))
    if not make.zh:
        things = ", ".join(f"a {colour} {shape}" for colour, shape in kinds)
        asked.append(Question("describe", None, f"{things.capitalize()}."))
    return Scene("describe", (canvas.picture(),), tuple(asked))


def _tiles(make: Maker) -> Scene:
    """Small numbers, one in each tile: the thumbnail does not show them."""
    names, columns, rows = _layout(make)
    canvas = Canvas(make.chance, SIDE * columns, SIDE * rows)
    asked: list[Question] = []
    numbers: list[str] = []
    for i, name in enumerate(names):
        while (number := make.number(2, 3)) in numbers:
            pass
        numbers.append(number)
        column, row = make.chance.randint(0, 8 - len(number)), make.chance.randint(0, 7)
        x, y = i % columns * SIDE + column * PATCH, i // columns * SIDE + row * PATCH
        canvas.text(number, x, y, ink=_ink(make), size=11)
        text = make.say(f"What number is {name}?", f"{PLACES[name]}的数字是什么？")
        asked.append(Question("tile", text, make.told(name, number)))
    return Scene("describe", (canvas.picture(),), tuple(asked))


def _thumbnail(make: Maker) -> Scene:
    """A shape in outline that goes through nine tiles, each of which shows a piece of a line."""
    canvas = Canvas(make.chance, 3 * SIDE, 3 * SIDE)
    while True:
        ((colour, shape),) = make.kinds(1)
        box = make.within((0, 0, 3 * SIDE, 3 * SIDE), 220, 330)
        if make.fits(colour, shape, box):
            break
    canvas.shape(shape, colour, box, line=make.chance.randint(12, 18))
    text = make.say("Which shape do the lines form?", "线条组成了什么形状？")
    hue = make.say("What colour are the lines?", "线条是什么颜色？")
    formed = make.told("lines", shape)
    coloured = make.told("lines", colour)
    asked = (Question("thumbnail", text, formed), Question("colour", hue, coloured))
    return Scene("describe", (canvas.picture(),), asked)


def _images(make: Maker) -> Scene:
    """Two or three pictures, each with a number or a shape."""
    count = make.chance.choice((2, 3, 3))
    while True:
        kinds = make.kinds(count)
        if make.fits("images", *kinds):
            break
    pictures: list[Picture] = []
    asked: list[Question] = []
    numeric = make.chance.random() < 0.4
    for number, (colour, shape) in enumerate(kinds, 1):
        canvas = Canvas(make.chance)
        image = make.say(f"Image-{number}", f"图{number}")
        if numeric:
            text = make.number(2, 3)
            canvas.text(text, make.chance.randint(0, 4 - len(text)) * 28, make.chance.randint(0, 3) * 28, cells=2)
            what = make.say(f"What number does {image} show?", f"{image}中的数字是什么？")
            asked.append(Question("images", what, make.told(str(number), text)))
        else:
            canvas.shape(shape, colour, make.within((0, 0, SIDE, SIDE), 24, 70))
            which = make.say(f"Which image shows the {shape}?", f"哪张图中有{SHAPE_ZH[shape]}？")
            where = make.say(f"Which image shows something {colour}?", f"哪张图中有{COLOUR_ZH[colour]}的东西？")
            what = make.say(f"Which shape does {image} show?", f"{image}中是什么形状？")
            asked.append(Question("images", which, make.told(shape, str(number))))
            asked.append(Question("images", where, make.told(colour, str(number))))
            asked.append(Question("images", what, make.told(str(number), shape)))
        pictures.append(canvas.picture())
    return Scene("describe", tuple(pictures), tuple(asked))


def _times(make: Maker, count: int) -> tuple[float, ...]:
    first, step = make.chance.choice((0.0, 0.0, make.chance.uniform(0, 5))), make.chance.uniform(0.2, 3)
    return tuple(round(first + i * step, 1) for i in range(count))


def _frames(make: Maker) -> Scene:
    """A video in which another thing is seen in each frame."""
    count = make.chance.choice((3, 4, 4))
    while True:
        kinds = make.kinds(count)
        if make.fits("frames", *kinds):
            break
    times = _times(make, count)
    pictures: list[Picture] = []
    asked: list[Question] = []
    for number, (colour, shape) in enumerate(kinds, 1):
        canvas = Canvas(make.chance)
        canvas.shape(shape, colour, make.within((0, 0, SIDE, SIDE), 24, 70))
        pictures.append(canvas.picture())
        which = make.say(f"In which frame is the {shape}?", f"{SHAPE_ZH[shape]}在第几帧？")
        what = make.say(f"Which shape is in Frame{number}?", f"第{number}帧中是什么形状？")
        when = make.say(f"When does the {shape} appear?", f"{SHAPE_ZH[shape]}何时出现？")
        time = make.say(f"{times[number - 1]:.1f} s", f"{times[number - 1]:.1f}秒")
        asked.append(Question("frames", which, make.told(shape, str(number))))
        asked.append(Question("frames", what, make.told(str(number), shape)))
        asked.append(Question("when", when, make.told(shape, time)))
    return Scene("video", tuple(pictures), tuple(asked), times)


def _motion(make: Maker) -> Scene:
    """A video of a thing that moves."""
    count = make.chance.choice((3, 4, 4))
    while True:
        ((colour, shape),) = make.kinds(1)
        way = make.chance.choice(list(WAYS))
        size = make.chance.randint(24, 40)
        dx, dy = WAYS[way]
        step = make.chance.randint(14, (SIDE - size) // (count - 1))
        travel = step * (count - 1)
        along = make.chance.randint(0, SIDE - size - travel)
        across = make.chance.randint(0, SIDE - size)
        if make.fits("motion", shape, colour, way, along // PATCH, across // PATCH):
            break
    pictures: list[Picture] = []
    for i in range(count):
        far = along + (step * i if dx + dy > 0 else travel - step * i)
        x, y = (far, across) if dx else (across, far)
        canvas = Canvas(make.chance)
        canvas.shape(shape, colour, (x, y, x + size, y + size))
        pictures.append(canvas.picture())
    text = make.say(f"Which way does the {shape} move?", f"{SHAPE_ZH[shape]}向哪边移动？")
    asked = (Question("motion", text, make.told(shape, way)), _colour_of(make, colour, shape))
    return Scene("video", tuple(pictures), asked, _times(make, count))


def _chart(make: Maker) -> Scene:
    """Three bars over letters, with numbers on the axis at every fourth level."""
    while True:
        unit = make.chance.choice((1, 2, 3, 5, 8))
        levels = make.chance.sample(range(1, 13), 3)
        names = make.chance.sample(_BARS, 3)
        if make.fits(unit, levels):
            break
    canvas = Canvas(make.chance)
    base = 6 * PATCH + PATCH // 2
    for tick in range(4):
        label = str(tick * 4 * unit)
        y = base - 28 * tick
        canvas.text(label, (2 - len(label)) * PATCH, y - PATCH // 2, size=12)
        canvas.line((26, y, 30, y + 1))
    canvas.line((28, 0, 29, base))
    asked: list[Question] = []
    for i, (level, name) in enumerate(zip(levels, names, strict=True)):
        x = 29 + 28 * i
        colour = make.chance.choice(list(COLOURS))
        canvas.bar(name, colour, (x, base - 7 * level, x + make.chance.randint(16, 24), base), level * unit)
        canvas.text(name, x - 1, 7 * PATCH, size=12)
        text = make.say(f"What is the value of {name}?", f"{name}的数值是多少？")
        asked.append(Question("chart", text, make.told(name, str(level * unit))))
    values = [make.told(name, str(level * unit))[:-1] for name, level in zip(names, levels, strict=True)]
    text = make.say("What are the values?", "各柱的数值是多少？")
    asked.append(Question("values", text, make.say(", ".join(values) + ".", "，".join(values) + "。")))
    top = names[levels.index(max(levels))]
    highest = make.say("Which bar is the highest?", "哪个柱子最高？")
    asked.append(Question("highest", highest, make.told("highest", top)))
    absent = make.chance.choice([letter for letter in _BARS if letter not in names])
    text = make.say(f"What is the value of {absent}?", f"{absent}的数值是多少？")
    if make.chance.random() < _UNKNOWN:
        asked.append(Question("unknown", text, make.nothing))
    return Scene("chart", (canvas.picture(),), tuple(asked))


def _count(make: Maker) -> Scene:
    """Up to eight shapes of two kinds in the cells of a grid."""
    while True:
        first, second = make.chance.sample(SHAPES, 2)
        here, there = make.chance.randint(1, 5), make.chance.randint(0, 3)
        cells = make.chance.sample(range(16), here + there)
        if make.fits(first, second, here, sorted(cells)):
            break
    canvas = Canvas(make.chance)
    for i, cell in enumerate(cells):
        x, y = cell % 4 * 28, cell // 4 * 28
        colour = make.chance.choice(list(COLOURS))
        canvas.shape(first if i < here else second, colour, make.within((x, y, x + 28, y + 28), 18, 27))
    asked = [
        Question(
            "count",
            make.say("How many shapes are there?", "图中一共有几个形状？"),
            make.told("shapes", str(here + there)),
        )
    ]
    for shape, count in ((first, here), (second, there)):
        text = make.say(f"How many {shape}{'e' * (shape == 'cross')}s are there?", f"图中有几个{SHAPE_ZH[shape]}？")
        asked.append(Question("count", text, make.told(shape, str(count))))
    return Scene("describe", (canvas.picture(),), tuple(asked))


def _boxes(make: Maker) -> Scene:
    """Up to three things of two to four patches, about on the grid of eighths; in large pictures of twice the size."""
    scale = 2 if make.chance.random() < 0.2 else 1
    while True:
        kinds = make.kinds(make.chance.randint(1, 3))
        boxes = [_eighths(make) for _ in kinds]
        apart = all(not _touch(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
        if apart and make.fits(kinds[0], boxes[0]):
            break
    canvas = Canvas(make.chance, SIDE * scale, SIDE * scale)
    asked: list[Question] = []
    for (colour, shape), box in zip(kinds, boxes, strict=True):
        left, top, right, bottom = (
            min(SIDE, max(0, edge * PATCH + make.chance.randint(-2, 2))) * scale for edge in box
        )  # fmt: skip
        canvas.shape(shape, colour, (left, top, right, bottom))
        target = make.say(f"{colour} {shape}", f"{COLOUR_ZH[colour]}{SHAPE_ZH[shape]}")
        numbers = ", ".join(str(125 * edge) for edge in box)
        asked.append(Question("box", target, f"<ref>{target}</ref><box>[[{numbers}]]</box>"))
    return Scene("locate", (canvas.picture(),), tuple(asked))


def _eighths(make: Maker) -> tuple[int, int, int, int]:
    width, height = make.chance.randint(2, 4), make.chance.randint(2, 4)
    x, y = make.chance.randint(0, 8 - width), make.chance.randint(0, 8 - height)
    return x, y, x + width, y + height


def _touch(a: Sequence[int], b: Sequence[int]) -> bool:
    return a[0] < b[2] + 1 and b[0] < a[2] + 1 and a[1] < b[3] + 1 and b[1] < a[3] + 1


def _page(make: Maker) -> Scene:
    """Nothing to ask: characters and shapes of all sizes all over, for the tower alone."""
    canvas = Canvas(make.chance)
    for quarter in range(4):
        x, y = quarter % 2 * 56, quarter // 2 * 56
        if make.chance.random() < 0.5:
            _one_shape(make, canvas, (x, y, x + 56, y + 56), 22)
        else:
            for cell in range(4):
                _one_cell(make, canvas, x + cell % 2 * 28, y + cell // 2 * 28)
    return Scene("describe", (canvas.picture(),), ())


def _one_cell(make: Maker, canvas: Canvas, x: int, y: int) -> None:
    match make.chance.randrange(5):
        case 0 | 1:
            for part in range(4):
                if make.chance.random() < 0.7:
                    size = make.chance.choice((0, 0, 11))
                    character = make.chance.choice(CHARACTERS)
                    canvas.text(character, x + part % 2 * PATCH, y + part // 2 * PATCH, ink=_ink(make), size=size)
        case 2 | 3:
            canvas.text(make.chance.choice(CHARACTERS), x, y, cells=2, ink=_ink(make))
        case _:
            _one_shape(make, canvas, (x, y, x + 28, y + 28), 18)


def _one_shape(make: Maker, canvas: Canvas, cell: tuple[int, int, int, int], least: int) -> None:
    """In a square of at least so many pixels, or in a rectangle."""
    left, top, right, bottom = make.within(cell, least, 56)
    if make.chance.random() < 0.5:
        top, bottom = make.within(cell, least, 56)[1::2]
    canvas.shape(make.chance.choice(SHAPES), make.chance.choice(list(COLOURS)), (left, top, right, bottom))


SCENES: dict[str, Callable[[Maker], Scene]] = {
    "text": _text,
    "document": lambda make: _text(make, document=True),
    "lines": _lines,
    "shapes": _shapes,
    "large": lambda make: _shapes(make, large=True),
    "tiles": _tiles,
    "thumbnail": _thumbnail,
    "images": _images,
    "frames": _frames,
    "motion": _motion,
    "chart": _chart,
    "count": _count,
    "boxes": _boxes,
    "page": _page,
}
