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
    from PIL import ImageColor

    inherited = servers.get(server.get("href", "").removeprefix("#"))
    stops = server.findall("stop") or (inherited.findall("stop") if inherited is not None else [])
    colours: list[tuple[int, ...]] = []
    for stop in stops:
        try:
            colours.append(ImageColor.getrgb(stop.get("stop-color", "black"))[:3])
        except ValueError:
            continue
    if not colours:
        return _UNKNOWN_PAINT
    return "#" + "".join(f"{sum(colour[i] for colour in colours) // len(colours):02x}" for i in range(3))


def _replace_paints(element: Element, paints: dict[str, str], current: str) -> None:
    for name in list(element.attrib):
        value = element.attrib[name]
        if name in ("fill", "stroke"):
            if match := _PAINT.match(value):
                value = paints.get(match[1], match[2] or _UNKNOWN_PAINT)
            element.attrib[name] = element.get("color", current) if value.lower() == "currentcolor" else value
        elif name != "href" and "url(" in value.lower():
            del element.attrib[name]


def _prune(root: Element) -> None:
    stack = [root]
    while stack:
        parent = stack.pop()
        children = list(parent)
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
