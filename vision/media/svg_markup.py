"""Reduce parsed SVG to elements and attributes that are safe to draw and that MuPDF understands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from vision.errors import LimitExceeded

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_KEPT = frozenset(
    (
        "svg",
        "g",
        "defs",
        "symbol",
        "use",
        "a",
        "switch",
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "text",
        "tspan",
        "textPath",
        "image",
    )
)
_EMBEDDED = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,", re.IGNORECASE)
_PAINT = re.compile(r"\s*url\(\s*['\"]?#([^'\")]+)['\"]?\s*\)\s*(.*)", re.DOTALL)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_SELECTOR = re.compile(r"(\*|[A-Za-z][\w-]*)?((?:[.#][\w-]+)*)$")
_FONT = re.compile(r"(?P<style>.*?)(?P<size>[\d.]+(?:px|pt|em))(?:/\S+)?\s+(?P<family>.+)", re.DOTALL)
_STYLED = frozenset(
    (
        "fill",
        "stroke",
        "stroke-width",
        "stroke-linecap",
        "stroke-linejoin",
        "fill-rule",
        "fill-opacity",
        "stroke-opacity",
        "opacity",
        "color",
        "font-size",
        "font-family",
        "font-weight",
        "font-style",
        "text-anchor",
        "display",
        "visibility",
        "stop-color",
        "stop-opacity",
        "transform",
    )
)
_RGBA = re.compile(r"rgba?\(\s*([\d.]+%?)[\s,]+([\d.]+%?)[\s,]+([\d.]+%?)(?:[\s,/]+([\d.]+%?))?\s*\)", re.IGNORECASE)
_VARIABLE = re.compile(r"var\(\s*--[\w-]+\s*(?:,\s*(.*))?\)\s*$", re.DOTALL)
_TRANSFORM = re.compile(r"(?:(?:matrix|translate|scale|rotate|skewX|skewY)\s*\([-+0-9.eE,\s]+\)[\s,]*)*")
_UNKNOWN_PAINT = "#808080"


@dataclass(frozen=True)
class _Rule:
    """One CSS selector without combinators, and what it declares."""

    tag: str
    marks: frozenset[str]
    declarations: tuple[tuple[str, str], ...]

    @property
    def weight(self) -> tuple[int, int, int]:
        ids = sum(mark.startswith("#") for mark in self.marks)
        return ids, len(self.marks) - ids, int(self.tag not in ("", "*"))

    def applies(self, tag: str, marks: frozenset[str]) -> bool:
        return self.tag in ("", "*", tag) and self.marks <= marks


def simplify(root: Element, max_elements: int) -> Element:
    """A new tree. Dropped: scripts, styles (written into the elements), foreign elements (their text is kept), hidden
    parts, references out of the file, references in circles. Raises LimitExceeded when copies multiply too far."""
    _localise(root)
    rules = sorted(_rules(root), key=lambda rule: rule.weight)
    for element in root.iter():
        _write_styles(element, rules)
    paints = _mean_paints(root)
    for element in root.iter():
        _replace_paints(element, paints, root.get("color", "black"))
    _prune(root)
    _break_circles(root, max_elements)
    return root


def _localise(root: Element) -> None:
    """SVG's names without their namespace; what is of other namespaces gets names that are not kept."""
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.removeprefix(_SVG)
        href = element.attrib.get("href", element.attrib.get(_HREF))
        for name in [name for name in element.attrib if name.startswith("{") or name.startswith("on")]:
            del element.attrib[name]
        if href is not None:
            element.set("href", href.strip())


def _rules(root: Element) -> Iterator[_Rule]:
    for sheet in root.iter("style"):
        text = re.sub(r"/\*.*?\*/", "", "".join(sheet.itertext()), flags=re.DOTALL)
        text = re.sub(r"@[\w-]+[^;{]*;", "", text)
        for selectors, body in _RULE.findall(text):
            declarations = tuple(_declarations(body))
            for selector in selectors.split(","):
                if match := _SELECTOR.match(selector.strip()):
                    yield _Rule(match[1] or "", frozenset(re.findall(r"[.#][\w-]+", match[2])), declarations)


def _declarations(body: str) -> Iterator[tuple[str, str]]:
    for part in body.split(";"):
        name, colon, value = part.partition(":")
        name, value = name.strip().lower(), value.replace("!important", "").strip()
        if colon and name == "font" and (font := _FONT.match(value)):
            yield "font-size", font["size"]
            yield "font-family", font["family"]
            if "bold" in font["style"]:
                yield "font-weight", "bold"
        elif colon and name in _STYLED:
            yield name, value


def _write_styles(element: Element, rules: list[_Rule]) -> None:
    marks = frozenset(f".{name}" for name in element.get("class", "").split())
    if "id" in element.attrib:
        marks |= {f"#{element.get('id')}"}
    for rule in rules:
        if rule.applies(str(element.tag), marks):
            element.attrib.update(rule.declarations)
    element.attrib.update(_declarations(element.attrib.pop("style", "")))


def _mean_paints(root: Element) -> dict[str, str]:
    """A colour for every gradient and pattern: the mean of a gradient's stops."""
    servers = {
        element.get("id", ""): element
        for element in root.iter()
        if element.tag in ("linearGradient", "radialGradient", "pattern")
    }
    return {name: _mean_colour(server, servers) for name, server in servers.items()}


def _mean_colour(server: Element, servers: dict[str, Element]) -> str:
    inherited = servers.get(server.get("href", "").removeprefix("#"))
    stops = server.findall("stop") or (inherited.findall("stop") if inherited is not None else [])
    plain = [_plain_colour(stop.get("stop-color", "black"))[0] for stop in stops]
    colours = [bytes.fromhex(colour[1:]) for colour in plain if re.fullmatch("#[0-9a-f]{6}", colour)]
    if not colours:
        return _UNKNOWN_PAINT
    return "#" + bytes(sum(channel) // len(colours) for channel in zip(*colours, strict=True)).hex()


def _replace_paints(element: Element, paints: dict[str, str], current: str) -> None:
    """Colours as #rrggbb with their opacity apart, and transforms without CSS units: MuPDF reads no other."""
    for name in list(element.attrib):
        value = element.attrib[name].strip()
        if name in ("fill", "stroke"):
            if match := _PAINT.match(value):
                value = paints.get(match[1], match[2] or _UNKNOWN_PAINT)
            value = element.get("color", current) if value.lower() == "currentcolor" else value
            element.attrib[name], opacity = _plain_colour(value)
            if opacity < 1:
                element.set(f"{name}-opacity", f"{opacity:.3g}")
        elif name == "transform":
            plain = re.sub(r"(?<=[0-9.])(?:px|deg)", "", value)
            element.attrib[name] = plain if _TRANSFORM.fullmatch(plain) else ""
        elif name != "href" and "url(" in value.lower():
            del element.attrib[name]
        if not element.attrib.get(name, "-"):
            del element.attrib[name]


def _plain_colour(value: str) -> tuple[str, float]:
    """#rrggbb (or a word such as none or inherit) and the opacity of any CSS colour."""
    from PIL import ImageColor

    if match := _VARIABLE.match(value):
        value = (match[1] or _UNKNOWN_PAINT).strip()
    if value.lower() == "transparent":
        return "none", 1.0
    if match := _RGBA.match(value):
        parts = [float(part.rstrip("%")) * (2.55 if part.endswith("%") else 1) for part in match.groups()[:3]]
        alpha = match[4] or "1"
        opacity = float(alpha.rstrip("%")) / (100 if alpha.endswith("%") else 1)
        return "#" + bytes(min(255, round(part)) for part in parts).hex(), min(1.0, opacity)
    try:
        colour = ImageColor.getrgb(value)
    except ValueError:
        return value, 1.0
    return "#" + bytes(colour[:3]).hex(), colour[3] / 255 if len(colour) == 4 else 1.0


def _prune(root: Element) -> None:
    stack = [root]
    while stack:
        parent = stack.pop()
        children = list(parent)
        if parent.tag == "switch":
            parent.tag = "g"
            children = _best_alternative(children)
        parent[:] = [kept for child in children if (kept := _kept(child)) is not None]
        stack.extend(parent)


def _kept(element: Element) -> Element | None:
    if element.get("display") == "none" or element.get("visibility") in ("hidden", "collapse"):
        return None
    if element.tag == "foreignObject":
        return _as_text(element)
    if element.tag not in _KEPT:
        return None
    href = element.get("href")
    if href is not None:
        allowed = bool(_EMBEDDED.match(href)) if element.tag == "image" else href.startswith("#")
        if not allowed:
            del element.attrib["href"]
            return None if element.tag in ("image", "use") else element
    return element


def _best_alternative(children: list[Element]) -> list[Element]:
    """Of a <switch>: the plain element for viewers without HTML, such as this one, at most one.

    Diagram tools put the right words only into the HTML, and the right place only into the plain text.
    """
    plain = next((child for child in children if child.tag in _KEPT), None)
    if plain is None:
        return children[:1]
    html = _as_text(children[0]) if children[0].tag == "foreignObject" else None
    if html is not None and plain.tag == "text":
        plain[:] = []
        plain.text = html.text
    return [plain]


def _as_text(foreign: Element) -> Element | None:
    """HTML labels (diagram tools write them) as plain text in the middle of their box."""
    words = " ".join(" ".join(foreign.itertext()).split())
    if not words:
        return None
    try:
        x, y, width, height = (
            float(foreign.get(name, "0").removesuffix("px")) for name in ("x", "y", "width", "height")
        )
    except ValueError:
        x = y = width = height = 0.0
    place = {"x": f"{x + width / 2:g}", "y": f"{y + height / 2 + 5:g}", "text-anchor": "middle", "font-size": "14"}
    text = Element("text", place)
    text.text = words
    return text


def _break_circles(root: Element, max_elements: int) -> None:
    """Take out <use> that leads back to itself, and refuse drawings whose copies of copies multiply."""
    by_id = {element.get("id"): element for element in root.iter() if element.get("id")}
    costs: dict[int, int] = {}
    open_elements: set[int] = set()

    def cost(element: Element) -> int:
        key = id(element)
        if key in costs:
            return costs[key]
        open_elements.add(key)
        total = 1 + sum(cost(child) for child in element)
        target = by_id.get(element.get("href", "").removeprefix("#")) if element.tag == "use" else None
        if target is not None and id(target) in open_elements:
            del element.attrib["href"]
        elif target is not None:
            total += cost(target)
        open_elements.discard(key)
        costs[key] = total
        if total > max_elements:
            raise LimitExceeded("the SVG multiplies its elements by references", "Convert it to PNG first.")
        return total

    cost(root)
