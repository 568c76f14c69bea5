from __future__ import annotations

import io

import numpy as np
import pytest

from vision.errors import DamagedMedia, LimitExceeded, VisionError
from vision.media.images import LoadedImage, load_image
from vision.media.sniff import MediaKind

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '


def drawn(body: str, attributes: str = 'width="200" height="100"', prolog: str = "", **options: object) -> LoadedImage:
    markup = f"{prolog}{HEAD}{attributes}>{body}</svg>".encode()
    settings = {"max_pixels": 10_000_000} | options
    return load_image(io.BytesIO(markup), MediaKind("image", "svg"), **settings)  # pyright: ignore


def at(loaded: LoadedImage, x: float, y: float) -> tuple[int, ...]:
    """The colour at a point of the 200 x 100 drawing."""
    return tuple(int(v) for v in loaded.rgb[int(y * loaded.height / 100), int(x * loaded.width / 200)])


def ink(loaded: LoadedImage) -> float:
    return float((loaded.rgb != loaded.rgb[-1, -1]).any(axis=2).mean())


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ('width="200" height="100"', (1000, 500)),
        ('viewBox="0 0 30 60"', (500, 1000)),
        ('width="100%" viewBox="0 0 10 10"', (1000, 1000)),
        ('width="2000px" height="1500px"', (2000, 1500)),
        ('width="20in" viewBox="0 0 4 2"', (1920, 960)),
        ('width="100000" height="50000"', (4472, 2236)),
        ("", (1000, 500)),
    ],
)
def test_a_drawing_is_rendered_large_enough_to_read_and_small_enough_to_hold(attributes, size):
    loaded = drawn("<circle r='5'/>", attributes)
    assert (loaded.width, loaded.height) == size


def test_shapes_text_and_chinese_are_drawn_without_any_font_installed():
    shapes = drawn('<rect x="20" y="20" width="60" height="60" fill="#ff0000"/>')
    assert at(shapes, 50, 50) == (255, 0, 0) and at(shapes, 150, 50) == (255, 255, 255)
    latin, chinese = (
        drawn('<text x="10" y="60" font-size="40">Hello</text>'),
        drawn('<text x="10" y="60" font-size="40">图表</text>'),
    )
    assert ink(latin) > 0.03 and ink(chinese) > 0.03


def test_style_sheets_and_style_attributes_colour_the_elements():
    style = "<style>/* c */ rect{fill:#00ff00} .b, #x {fill:#0000ff} #x{fill:red} @import url(http://h/x);</style>"
    loaded = drawn(
        style
        + '<rect width="40" height="100"/><rect class="a b" x="50" width="40" height="100"/>'
        + '<rect id="x" class="b" x="100" width="40" height="100"/>'
        + '<rect class="b" x="150" width="40" height="100" style="fill:#ffff00"/>'
    )
    assert [at(loaded, x, 50) for x in (20, 70, 120, 170)] == [(0, 255, 0), (0, 0, 255), (255, 0, 0), (255, 255, 0)]


def test_a_gradient_is_drawn_in_the_mean_of_its_colours():
    loaded = drawn(
        '<linearGradient id="g"><stop stop-color="#ff0000"/><stop style="stop-color:#0000ff"/></linearGradient>'
        '<linearGradient id="h" xlink:href="#g"/><rect width="200" height="100" fill="url(#h)"/>'
    )
    assert at(loaded, 100, 50) == (127, 0, 127)


@pytest.mark.parametrize(
    ("paint", "colour"),
    [
        ("rgb(255, 0, 0)", (255, 0, 0)),
        ("rgb(100%,0%,0%)", (255, 0, 0)),
        ("rgba(255 0 0 / 50%)", (255, 127, 127)),
        ("rgba(255,0,0,.5)", (255, 127, 127)),
        ("#ff000080", (255, 127, 127)),
        ("hsl(0, 100%, 50%)", (255, 0, 0)),
        ("var(--accent, #ff0000)", (255, 0, 0)),
        ("currentColor", (0, 0, 0)),
        ("transparent", (255, 255, 255)),
        ("url(#none) #ff0000", (255, 0, 0)),
    ],
)
def test_colours_of_style_sheets_are_understood(paint, colour):
    loaded = drawn(f'<rect width="200" height="100" fill="white"/><rect width="100" height="100" fill="{paint}"/>')
    assert np.allclose(at(loaded, 50, 50), colour, atol=2)


@pytest.mark.parametrize("transform", ["translate(50px, 10px)", "rotate(foo)", "", "none", "scale(1) rotate(3deg)"])
def test_a_strange_transform_does_not_spoil_the_drawing(transform):
    loaded = drawn(f'<g transform="{transform}"><rect width="150" height="90" fill="#ff0000"/></g>')
    assert at(loaded, 100, 50) == (255, 0, 0)


def test_strange_markup_says_nothing_on_stdout(capfd):
    drawn('<path d="M 0 0 Q bogus"/><image href="data:image/png;base64,AAAA" width="5" height="5"/>')
    assert capfd.readouterr().out == ""


def test_white_drawing_on_transparency_stays_visible():
    loaded = drawn('<text x="10" y="60" font-size="40" fill="white">Hello</text>')
    assert loaded.had_alpha and tuple(loaded.rgb[0, 0]) == (0, 0, 0)


def test_html_labels_of_diagram_tools_are_drawn_as_text():
    label = '<div xmlns="http://www.w3.org/1999/xhtml"><b>Start</b></div>'
    assert ink(drawn(f'<foreignObject x="50" y="20" width="100" height="40">{label}</foreignObject>')) > 0.003


def test_of_alternatives_the_plain_one_is_drawn():
    plain = '<rect width="100" height="100" fill="#ff0000"/>'
    html = '<foreignObject width="200" height="100"><div>Start</div></foreignObject>'
    loaded = drawn(f'<switch>{html}{plain}<rect width="200" height="100" fill="#0000ff"/></switch>')
    assert at(loaded, 50, 50) == (255, 0, 0) and at(loaded, 150, 50) == (255, 255, 255)
    assert ink(drawn(f"<switch>{html}</switch>")) > 0.003


def test_a_diagrams_label_has_the_words_of_its_html_in_the_place_of_its_plain_text():
    html = "<foreignObject><div>Hardware</div></foreignObject>"
    label = f'<switch>{html}<text x="10" y="50">Text is not SVG</text></switch>'
    assert np.array_equal(drawn(label).rgb, drawn('<text x="10" y="50">Hardware</text>').rgb)


def test_hidden_parts_stay_hidden():
    hidden = '<rect width="200" height="100" {}/>'
    for way in ('display="none"', 'style="display:none"', 'visibility="hidden"'):
        assert ink(drawn(hidden.format(way))) == 0


@pytest.mark.parametrize(
    "body",
    [
        '<image href="file:///etc/passwd" width="200" height="100"/>',
        '<image xlink:href="http://127.0.0.1:1/a.png" width="200" height="100"/>',
        '<image href="data:image/svg+xml;base64,PHN2Zy8+" width="200" height="100"/>',
        '<use href="other.svg#a"/>',
        "<script>document.write(1)</script>",
        "<style>@font-face{font-family:x;src:url(http://h/f)} * {fill:url(http://h/#a)}</style>",
        '<foreignObject><iframe src="file:///etc/passwd"/></foreignObject>',
    ],
)
def test_what_reaches_out_of_the_file_is_left_out(body):
    assert ink(drawn(body)) == 0


def test_embedded_pictures_are_drawn():
    import base64

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (10, 10), (255, 0, 0)).save(buffer, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    assert at(drawn(f'<image href="{uri}" x="50" width="100" height="100"/>'), 100, 50) == (255, 0, 0)


BILLION = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))


@pytest.mark.parametrize(
    "prolog",
    [
        f'<!DOCTYPE svg [<!ENTITY l0 "lol">{BILLION}]>',
        '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE svg [<!ENTITY % p SYSTEM "http://h/x.dtd"> %p;]>',
        f'<!DOCTYPE svg [<!ENTITY x "{"a" * 5000}">]>',
    ],
)
def test_entities_that_fetch_or_multiply_are_refused(prolog):
    with pytest.raises(DamagedMedia):
        drawn("<text>&x;</text>", prolog=prolog)


def test_short_entities_of_drawing_programs_work():
    prolog = '<!DOCTYPE svg [<!ENTITY red "#ff0000">]>'
    assert at(drawn('<rect width="200" height="100" fill="&red;"/>', prolog=prolog), 100, 50) == (255, 0, 0)


def test_copies_of_copies_are_refused_and_circles_are_cut():
    levels = "".join(
        f'<g id="l{i}">{f"<use href=&quot;#l{i - 1}&quot;/>".replace("&quot;", chr(34)) * 10}</g>' for i in range(1, 9)
    )
    with pytest.raises(LimitExceeded):
        drawn(f'<g id="l0"><rect width="1" height="1"/></g>{levels}')
    circle = '<g id="a"><use href="#b"/><rect width="50" height="50"/></g><g id="b"><use href="#a"/></g>'
    assert ink(drawn(circle)) > 0.05


@pytest.mark.parametrize("body", ["<g>" * 300 + "</g>" * 300, "<g>" * 100_000, "<rect/>" * 250_000])
def test_depth_and_number_of_elements_are_limited(body):
    with pytest.raises(VisionError):
        drawn(body)


@pytest.mark.parametrize("markup", [b"<svg", b"<svg><g></svg>", b"<svg width='0' height='-5' viewBox='0 0 0 0'/><"])
def test_broken_markup_is_damaged(markup):
    with pytest.raises(DamagedMedia):
        load_image(io.BytesIO(markup), MediaKind("image", "svg"), max_pixels=1000)


def test_a_region_is_in_pixels_of_the_rendering():
    loaded = drawn('<rect width="100" height="100" fill="red"/>', region=(0, 0, 500, 500))
    assert loaded.rgb.shape == (500, 500, 3)
    assert np.array_equal(np.unique(loaded.rgb.reshape(-1, 3)[:1000], axis=0), [[255, 0, 0]])
