"""Edits of JSON with comments and of TOML: whatever the text, only the entry's bytes come and go."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.edits import jsonc, toml
from manifests.edits.meaning import with_value
from manifests.edits.text import Broken, WrongType

SERVERS, ENTRY = "mcpServers", "internvl"
PATH = (SERVERS, ENTRY)
VALUE = {"command": 'C:\\Program Files\\x "y"', "args": ["--root", "/données"], "timeout": 120, "on": True}
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
edits = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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


def ink(text: bytes) -> bytes:
    """What is seen of a text: without blanks, and without the commas that members bring."""
    return b"".join(text.replace(b",", b" ").split())


def within(part: bytes, whole: bytes) -> bool:
    """Whether all of `part` stands in `whole`, in order."""
    rest = iter(whole)
    return all(byte in rest for byte in part)


@edits
@given(json_texts())
def test_json_gains_the_entry_and_keeps_everything_else(text: bytes) -> None:
    new = jsonc.put(text, PATH, VALUE)
    assert jsonc.meaning(new) == with_value(jsonc.meaning(text), PATH, VALUE)
    assert within(ink(text), ink(new))
    assert (b"\r\n" in new) == (b"\r\n" in text) or text.count(b"\n") == 0


@edits
@given(json_texts())
def test_json_loses_the_entry_and_keeps_everything_else(text: bytes) -> None:
    made = () if SERVERS in jsonc.meaning(text) else ((SERVERS,),)
    new = jsonc.take(jsonc.put(text, PATH, VALUE), PATH, made)
    assert jsonc.meaning(new) == jsonc.meaning(text)
    assert ink(new) == ink(text)


@edits
@given(json_texts(), st.sampled_from([("command", "/new"), ("args", []), ("new", {"a": 1})]))
def test_json_changes_one_value_of_the_entry(text: bytes, change: tuple[str, Any]) -> None:
    old = jsonc.put(text, PATH, VALUE)
    new = jsonc.put(old, (*PATH, change[0]), change[1])
    assert jsonc.meaning(new) == with_value(jsonc.meaning(old), (*PATH, change[0]), change[1])
    assert within(ink(text), ink(new))


LAYOUTS = {
    "compact": (b'{"a":1}', b'{"a":1,"mcpServers":{"internvl":{"x":1}}}'),
    "one line": (b'{"a": 1}\n', b'{"a": 1, "mcpServers": {"internvl": {"x": 1}}}\n'),
    "tabs and CRLF": (
        b'{\r\n\t"a": 1 // one\r\n\t// end\r\n}\r\n',
        b'{\r\n\t"a": 1, // one\r\n\t"mcpServers": {\r\n\t\t"internvl": {\r\n\t\t\t"x": 1\r\n\t\t}\r\n\t}\r\n'
        b"\t// end\r\n}\r\n",
    ),
    "trailing commas": (
        b'{\n    "mcpServers": {\n        "o": {}, // mine\n    },\n}',
        b'{\n    "mcpServers": {\n        "o": {}, // mine\n'
        b'        "internvl": {\n            "x": 1\n        },\n    },\n}',
    ),
    "no servers yet": (
        b'{\n  "mcpServers": {},\n  "z": 0\n}\n',
        b'{\n  "mcpServers": {\n    "internvl": {\n      "x": 1\n    }\n  },\n  "z": 0\n}\n',
    ),
    "a comment alone": (
        b"// mine\n",
        b'// mine\n{\n  "mcpServers": {\n    "internvl": {\n      "x": 1\n    }\n  }\n}\n',
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_json_is_written_as_the_file_is(layout: str) -> None:
    before, after = LAYOUTS[layout]
    assert jsonc.put(before, PATH, {"x": 1}) == after


@pytest.mark.parametrize(
    "text",
    [
        b"{", b'{"a" 1}', b'{"a": 1} {}', b"{a: 1}", b'{"a": NaN}', b'{"a":1,,}', b"{,}", b'{"a": 01}', b"/* open",
        b'{"a": "\xff"}', b'{"a": "\n"}', b"{'a': 1}", b"[" * 100_000,
    ],
)  # fmt: skip
def test_broken_json_is_refused(text: bytes) -> None:
    with pytest.raises(Broken):
        jsonc.put(text, PATH, VALUE)


@pytest.mark.parametrize(
    "text", [b"[]", b'"x"', b'{"mcpServers": []}', b'{"mcpServers": null}', b'{"mcpServers": {}, "mcpServers": {}}']
)
def test_json_with_something_else_for_servers_is_refused(text: bytes) -> None:
    with pytest.raises(WrongType):
        jsonc.put(text, PATH, VALUE)


TABLES = {
    "nothing": (b"", b'[mcp_servers.internvl]\nx = 1\n'),
    "no last line ending": (b"a = 1", b"a = 1\n\n[mcp_servers.internvl]\nx = 1\n"),
    "CRLF": (b"a = 1\r\n", b"a = 1\r\n\r\n[mcp_servers.internvl]\r\nx = 1\r\n"),
    "tables": (
        b'# top\n[mcp_servers.o] # o\ncommand="x"\n\n# tail\n',
        b'# top\n[mcp_servers.o] # o\ncommand="x"\n\n# tail\n\n[mcp_servers.internvl]\nx = 1\n',
    ),
    "inline": (b"mcp_servers = { o = {} } # c\n", b"mcp_servers = { o = {}, internvl = { x = 1 } } # c\n"),
    "inline, empty": (b"mcp_servers = {}\n", b"mcp_servers = { internvl = { x = 1 } }\n"),
    "dotted": (b'mcp_servers.o.command = "x"\n', b'mcp_servers.o.command = "x"\n\n[mcp_servers.internvl]\nx = 1\n'),
}  # fmt: skip


@pytest.mark.parametrize("layout", TABLES)
def test_toml_gains_a_table_and_loses_it(layout: str) -> None:
    before, after = TABLES[layout]
    path = ("mcp_servers", "internvl")
    assert toml.put(before, path, {"x": 1}) == after
    assert toml.take(after, path).rstrip() == before.rstrip()


def test_toml_loses_all_parts_of_an_entry_and_no_comment_of_others() -> None:
    text = b"""\
[mcp_servers.internvl] # ours
command = "x" # why
# how
args = [
  "a", # one
]

[mcp_servers.internvl.env]
A = "1"

# about the next
[mcp_servers.z]
a = '''
[mcp_servers.internvl]
'''
"""
    left = toml.take(text, ("mcp_servers", "internvl"))
    assert left == text[text.index(b"\n# about") :]


def test_toml_changes_values_where_they_stand() -> None:
    text = b'[mcp_servers]\r\ninternvl = { command = "x", args = ["a"] } # c\r\n[z]\r\n'
    changed = toml.put(toml.put(text, ("mcp_servers", "internvl", "command"), "C:\\y"), (*TOML_PATH, "cwd"), "/")
    assert changed == b'[mcp_servers]\r\ninternvl = { command = "C:\\\\y", args = ["a"], cwd = "/" } # c\r\n[z]\r\n'
    text = b'[mcp_servers.internvl]\r\ncommand = "x" # c\r\nlimit = 30\r\n[z]\r\n'
    changed = toml.put(toml.put(text, (*TOML_PATH, "limit"), 5), (*TOML_PATH, "args"), [])
    assert changed == b'[mcp_servers.internvl]\r\ncommand = "x" # c\r\nlimit = 5\r\nargs = []\r\n[z]\r\n'


TOML_PATH = ("mcp_servers", "internvl")
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


@edits
@given(toml_texts())
def test_toml_gains_and_loses_the_entry_and_keeps_everything_else(text: bytes) -> None:
    new = toml.put(text, TOML_PATH, VALUE)
    assert tomllib.loads(new.decode()) == with_value(tomllib.loads(text.decode()), TOML_PATH, VALUE)
    assert within(ink(text), ink(new))
    changed = toml.put(new, (*TOML_PATH, "command"), "/new")
    assert tomllib.loads(changed.decode())["mcp_servers"]["internvl"]["command"] == "/new"
    left = toml.take(changed, TOML_PATH)
    assert ink(left) == ink(text)
    assert {"mcp_servers": {}, **toml.meaning(left)} == {"mcp_servers": {}, **toml.meaning(text)}


@pytest.mark.parametrize(
    "text", [b"a =", b"[a", b"a = 1\na = 2\n", b"\xff", b"[mcp_servers.internvl\n", b"a = [" * 5000]
)
def test_broken_toml_is_refused(text: bytes) -> None:
    with pytest.raises(Broken):
        toml.put(text, TOML_PATH, VALUE)


@pytest.mark.parametrize("text", [b"mcp_servers = 3\n", b"[[mcp_servers]]\na = 1\n"])
def test_toml_with_something_else_for_servers_is_refused(text: bytes) -> None:
    with pytest.raises(WrongType):
        toml.put(text, TOML_PATH, VALUE)
