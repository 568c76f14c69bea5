"""Edits of JSON with comments and of TOML: whatever the text, only the entry's bytes come and go."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.edits import jsonc, toml
from manifests.edits.meaning import with_value
from manifests.edits.text import Broken, WrongType
from tests.manifests.install_texts import ENTRY, SERVERS, json_texts, toml_texts

PATH = (SERVERS, ENTRY)
VALUE = {"command": 'C:\\Program Files\\x "y"', "args": ["--root", "/données"], "timeout": 120, "on": True}
edits = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b'[mcp_servers.internvl.env]\nK = "v"\n# own\n|', b'\n[mcp_servers.internvl]\ncommand = "x"\n'),
        (b"mcp_servers.internvl.on = false # own|\n[a]\n", b'\nmcp_servers.internvl.command = "x"'),
        (b"[mcp_servers]\r\n  internvl.on = true|\r\n", b'\r\n  internvl.command = "x"'),
        (b"mcp_servers = { internvl.on = true| }", b', internvl.command = "x"'),
        (b"mcp_servers.internvl.env.K = 1|\n", b'\nmcp_servers.internvl.command = "x"'),
    ],
)
def test_toml_gains_a_key_where_the_entry_has_no_header(text: bytes, key: bytes) -> None:
    """It stands where | is."""
    before, after = text.replace(b"|", b""), text.replace(b"|", key)
    assert toml.put(before, (*TOML_PATH, "command"), "x") == after


def test_toml_changes_values_where_they_stand() -> None:
    text = b'[mcp_servers]\r\ninternvl = { command = "x", args = ["a"] } # c\r\n[z]\r\n'
    changed = toml.put(toml.put(text, ("mcp_servers", "internvl", "command"), "C:\\y"), (*TOML_PATH, "cwd"), "/")
    assert changed == b'[mcp_servers]\r\ninternvl = { command = "C:\\\\y", args = ["a"], cwd = "/" } # c\r\n[z]\r\n'
    text = b'[mcp_servers.internvl]\r\ncommand = "x" # c\r\nlimit = 30\r\n[z]\r\n'
    changed = toml.put(toml.put(text, (*TOML_PATH, "limit"), 5), (*TOML_PATH, "args"), [])
    assert changed == b'[mcp_servers.internvl]\r\ncommand = "x" # c\r\nlimit = 5\r\nargs = []\r\n[z]\r\n'


TOML_PATH = ("mcp_servers", "internvl")


@pytest.mark.parametrize(
    "text",
    [
        '"" = 1\n', "'q \"k\"' = 1\n", 'a = """\r\nx\r\n"""\r\n', "[ a . b ]\nx=1\n", "3.14 = 1\n", '"é" = 1 # 日本\n',
        "a=0o17\nb=0b1\nc=0xdead_beef\nd=1_000\ne=+inf\nf=-nan\ng=6.6e-34\nh=1e+5\n", "a.b.c=1\na.d=2\n",
        "a=1979-05-27\nb=07:32:00.999\nc=1979-05-27 07:32:00-07:00\n", "a=[1,\n# c\n[2,3,],\n]\n", "a='''it''s'''\n",
        "[a]\n[a.b]\n[[a.c]]\nx=1\n[a.c.d]\ny=1\n[[a.c]]\n", 'a = """a "quoted" \\\n   x""""\n', "\n\n\t a = 1 \t\n",
        'a = {b = {c = [ {d = 1}, {e = "}"} ]}}\n', '[mcp_servers."a.b"]\nx=1\n["mcp_servers".internvl2]\ny=1\n',
    ],
)  # fmt: skip
def test_all_of_toml_is_read(text: str) -> None:
    new = toml.put(text.encode(), TOML_PATH, VALUE)
    assert new.startswith(text.encode())
    assert toml.take(new, TOML_PATH) == text.encode()


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
