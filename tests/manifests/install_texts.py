"""Random settings files for the installer's tests: JSON with comments, and TOML, in any layout."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

SERVERS, ENTRY = "mcpServers", "internvl"
keys = st.one_of(st.sampled_from(["a", "b c", "mcp.x", "mcpServers", "é", 'q"', "//", ""]), st.text(max_size=4))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["// no comment", "/* nor this */", "{", "},", "\\", "\u2028", "😀"]), st.text(max_size=6),
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
servers = st.dictionaries(keys.filter(lambda key: key != ENTRY), st.dictionaries(keys, scalars, max_size=2), max_size=3)
roots = st.dictionaries(keys.filter(lambda key: key != SERVERS), values, max_size=4)


@st.composite
def json_texts(draw: st.DrawFn) -> bytes:
    """An object in any layout: blanks, tabs, either line ending, comments of both kinds, trailing commas, a mark."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    gaps = st.lists(
        st.sampled_from(["", " ", "  ", "\t", newline, newline + "    ", "/* a, } */", f"// b }},{newline}", "/**/"]),
        max_size=draw(st.sampled_from([0, 1, 3])),
    ).map("".join)
    comma = draw(st.booleans())
    value = draw(roots)
    if draw(st.booleans()):
        items = list(value.items())
        items.insert(draw(st.integers(0, len(items))), (SERVERS, draw(servers)))
        value = dict(items)

    def written(value: Any) -> str:
        if isinstance(value, dict):
            inside = [f"{gap()}{text(key)}{gap()}:{gap()}{written(item)}{gap()}" for key, item in value.items()]
            return "{" + ",".join(inside) + last(inside) + gap() + "}"
        if isinstance(value, list):
            inside = [f"{gap()}{written(item)}{gap()}" for item in value]
            return "[" + ",".join(inside) + last(inside) + gap() + "]"
        return text(value)

    def gap() -> str:
        return draw(gaps)

    def last(inside: list[str]) -> str:
        return "," if comma and inside and draw(st.booleans()) else ""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=draw(st.booleans()) or not _encodes(value))

    layout = draw(st.sampled_from(["plain", "indented", "any"]))
    if layout == "plain":
        return json.dumps(value, separators=draw(st.sampled_from([(",", ":"), (", ", ": ")]))).encode()
    if layout == "indented":
        indent = draw(st.sampled_from([2, 4, "\t", 0]))
        return json.dumps(value, indent=indent).replace("\n", newline).encode() + newline.encode()
    return (gap() + written(value) + gap()).encode()


def _encodes(value: Any) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


names = st.sampled_from(["a", "b-c", '"d e"', "'f.g'", "x1"])
literals = st.sampled_from(
    ["1", "0x1F", "1.5e3", "true", '"x # y"', "'''\n[mcp_servers.internvl]\n'''", '"""\na\\\n b"""',
     "1979-05-27T07:32:00Z",
     "[ 1, 2, # c\n ]", '[ "a", "b" ]', "{ a = 1, b.c = 'x' }", "{}", "inf"]
)  # fmt: skip
spaces = st.sampled_from(["", " ", "  # c\n", "\n", "# [x]\n\n"])


@st.composite
def toml_texts(draw: st.DrawFn) -> bytes:
    """Pairs, tables and arrays of tables in any order, servers of others as tables, dotted or inline, comments."""

    def pairs(most: int = 3) -> list[str]:
        found = draw(st.lists(names, max_size=most, unique=True))
        return [f"{draw(spaces)}\n{name} {draw(st.sampled_from(['=', ' =']))} {draw(literals)}" for name in found]

    kind = draw(st.sampled_from(["none", "tables", "inline", "dotted", "header"]))
    top = pairs()
    if kind == "inline":
        top.append(draw(st.sampled_from(["mcp_servers = {}", "mcp_servers = { o = { command = 'x' } }"])))
    if kind == "dotted":
        top.append('mcp_servers.o.command = "x"')
    tables = [
        f"{draw(spaces)}\n[t{n}.{draw(names)}]{draw(spaces)}\n" + "\n".join(pairs())
        for n in range(draw(st.integers(0, 3)))
    ]
    tables += [f"[[many]]\n{draw(spaces)}"] * draw(st.integers(0, 2))
    if kind in ("tables", "header"):
        own = ["[mcp_servers]\no.command = 'x'"] if kind == "header" else []
        own += [
            f"{draw(spaces)}\n[mcp_servers.{name}]\n" + "\n".join(pairs())
            for name in draw(st.lists(names, max_size=3, unique=True))
        ]
        tables[draw(st.integers(0, len(tables))) : 0] = own
    text = "\n".join([*top, *tables]) + draw(spaces)
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"]))).encode()
