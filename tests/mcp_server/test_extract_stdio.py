"""extract_data over real pipes: data with evidence, and one clear error at once for a hostile schema."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymupdf
import pytest

from mcp_server.stdio_lines import request_id
from tests.mcp_server.test_stdio import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="as the other tests over pipes")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("extract")
    with pymupdf.open() as document:
        page = document.new_page()
        page.insert_text((72, 72), "Invoice number: AB-17")
        page.insert_text((72, 92), "Total: CHF 1'250.50")
        document.save(folder / "invoice.pdf")
    made = Server(folder, engine="ocr")
    # The service is made with the first call: what is measured below comes after that.
    made.reply(made.call("extract_data", {"source": "invoice.pdf", "schema": "no schema"}))
    yield made
    made.process.kill()
    made.process.communicate()


def raw(server: Server, schema: str) -> dict[str, Any]:
    """The reply to a call whose schema is written as it is: no client of ours could nest so deep."""
    server.number += 1
    before = f'{{"jsonrpc":"2.0","id":{server.number},"method":"tools/call","params":{{"name":"extract_data",'
    assert server.process.stdin is not None
    server.process.stdin.write(f'{before}"arguments":{{"source":"invoice.pdf","schema":{schema}}}}}}}\n')
    server.process.stdin.flush()
    while (received := server.receive()).get("id") != server.number:
        pass
    return received


def test_a_document_becomes_data_with_the_place_of_each_value(server: Server) -> None:
    properties = {"invoice_number": {"type": "string"}, "total": {"type": "number"}, "due": {"type": "string"}}
    number = server.call("extract_data", {"source": "invoice.pdf", "schema": {"properties": properties}})
    result = server.reply(number)["structuredContent"]
    assert result["data"] == {"invoice_number": "AB-17", "total": 1250.5, "due": None}
    assert [(one["path"], one["page"]) for one in result["evidence"]] == [("/invoice_number", 1), ("/total", 1)]
    assert result["errors"].keys() == {"/due"} and result["valid"] is False


HOSTILE = {
    "recursive": '{"properties":{"a":{"$ref":"#"}}}',
    "deep": '{"properties":{"a":' * 50 + "{}" + "}}" * 50,
    "deep text": json.dumps('{"properties":{"a":' * 10_000 + "{}" + "}}" * 10_000),
    "a megabyte": json.dumps({"description": "x" * 1_000_000}),
    "catastrophic pattern": json.dumps({"properties": {"a": {"type": "string", "pattern": r"^(a+)+\1$"}}}),
    "contradictory": '{"properties":{"a":{"allOf":[{"type":"string"},{"type":"integer"}]}}}',
    "elsewhere": '{"properties":{"a":{"$ref":"https://127.0.0.1:9/schema.json"}}}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_gets_one_error_within_two_seconds(server: Server, name: str) -> None:
    began = time.monotonic()
    reply = raw(server, HOSTILE[name])["result"]
    assert time.monotonic() - began < 2
    error = json.loads(reply["content"][0]["text"])["error"]
    assert reply["isError"] and error["code"] in ("invalid_argument", "limit_exceeded") and error["hint"]


def test_a_message_nested_deeper_than_it_can_be_read_is_answered(server: Server) -> None:
    began = time.monotonic()
    error = raw(server, '{"properties":{"a":' * 10_000 + "{}" + "}}" * 10_000)["error"]
    assert time.monotonic() - began < 2
    assert error["code"] == -32700 and "nested" in error["message"]
    assert server.reply(server.ask("ping", {})) == {}


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ('{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{', 7),
        ('{"method":"tools/call","params":{"id":1},"jsonrpc":"2.0","id":"x-9"}', "x-9"),
        ('{"method":"tools/call","params":{"a":1},"id":3,"jsonrpc":"2.0"}', 3),
        ('{"method":"notifications/x","params":{"id":5', None),
        ('{"jsonrpc":"2.0","id":7,"result":{', None),
        ("hello", None),
    ],
)
def test_the_id_of_what_cannot_be_read_is_found_where_there_is_one(line: str, number: int | str | None) -> None:
    assert request_id(line) == number
