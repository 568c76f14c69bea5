"""extract_data without a model and over a scripted one, as the server runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from jsonschema import Draft202012Validator

from mcp_server.running import run_tool
from tests.scripted_model import PLAN, ScriptedModel, Waits, says, text_of
from tools.catalogue import TOOLS
from vision.call import Call
from vision.errors import InvalidArgument, LimitExceeded, ModelFailed, PasswordRequired

pytestmark = pytest.mark.anyio
LINES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"line": {"type": "string"}, "q3": {"type": "number"}, "total": {"type": "number"}},
    },
}
REPORT = {"type": "object", "properties": {"lines": LINES, "email": {"type": "string", "format": "email"}}}
INVOICE = {
    "type": "object",
    "properties": {
        "invoice_number": {"type": "string", "pattern": "^[A-Z]{2}-\\d+$"},
        "date": {"type": "string", "format": "date"},
        "currency": {"enum": ["CHF", "EUR", None]},
        "paid": {"type": ["boolean", "null"]},
        "total": {"$ref": "#/$defs/money"},
        "buyer": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
    "required": ["invoice_number", "total"],
    "$defs": {"money": {"type": "number", "minimum": 0}},
}
SAID = {"invoice_number": "AB-17", "date": "2026-03-09", "currency": "CHF", "paid": None, "total": 1250.5, "buyer": {"name": "Ann Meier"}}  # fmt: skip # noqa: E501


@pytest.fixture(scope="module", autouse=True)
def more_files(sample_files: Any) -> None:
    folder: Path = sample_files.report.parent
    with pymupdf.open() as document:
        page = document.new_page()
        for y, text in enumerate(("Invoice number: AB-17", "Date: 9 March 2026", "Buyer name: Ann Meier")):
            page.insert_text((72, 72 + 20 * y), text)
        page.insert_text((72, 200), "We are glad that you chose us; it comes to CHF 1'250.50 for everything.")
        document.save(folder / "invoice.pdf")
        document.save(folder / "locked.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="open", owner_pw="own")
    with pymupdf.open() as document:
        page = document.new_page()
        page.insert_text((72, 72), "Total: 9")
        for number, (name, value) in enumerate((("form.total", "12.50"), ("date", "2026-03-09"), ("buyer name", ""))):
            widget = pymupdf.Widget()
            widget.field_name, widget.field_value = name, value
            widget.field_type = pymupdf.PDF_WIDGET_TYPE_TEXT
            widget.rect = pymupdf.Rect(200, 100 + 40 * number, 400, 120 + 40 * number)
            page.add_widget(widget)
        document.save(folder / "form.pdf")
    with pymupdf.open() as document:
        for number in range(1, 61):
            page = document.new_page()
            page.insert_text((72, 72), f"Chapter {number}: nothing of interest is said here.")
            if number == 47:
                page.insert_text((72, 120), "Invoice number: XY-9")
        document.save(folder / "long.pdf")


def at(result: Any, path: str) -> Any:
    (found,) = [one for one in result.evidence if one.path == path]
    return found


async def test_tables_and_addresses_of_a_digital_document_become_data(ask: Any) -> None:
    result = await ask("extract_data", source="report.pdf", schema=REPORT)
    assert result.data["lines"][0] == {"line": "Old Town", "q3": 131.9, "total": 397.5}
    assert len(result.data["lines"]) == 5 and result.data["email"] == "reports@harbour-lights.example"
    assert result.valid and not result.errors and not result.unsupported and result.answer is None
    Draft202012Validator(REPORT).validate(result.data)
    found = at(result, "/lines/4/q3")
    assert (found.text, found.page, found.source) == ("33.5", 2, "text") and found.box and found.confidence > 0.8
    assert result.used.pages == (1, 2, 3) and result.engine.name == "ocr" and result.conversation_id


async def test_a_scan_gives_the_same(ask: Any) -> None:
    result = await ask("extract_data", source="report-scan.pdf", schema=REPORT, pages="2")
    assert [line["total"] for line in result.data["lines"]] == [397.5, 314.7, 295.7, 174.8, 101.8]
    assert result.used.pages == (2,) and all(one.page == 2 and one.box for one in result.evidence)
    assert result.data["email"] is None and result.errors["/email"] and not result.valid


async def test_what_is_not_labelled_is_null_with_a_reason_and_the_rest_is_typed(ask: Any) -> None:
    result = await ask("extract_data", source="invoice.pdf", schema=json.dumps(INVOICE))
    assert result.data == {**SAID, "currency": None, "total": None}
    assert {"/currency", "/paid", "/total"} == result.errors.keys() and not result.valid
    assert at(result, "/buyer/name").text == "Ann Meier"


async def test_a_password_opens_the_document(ask: Any) -> None:
    with pytest.raises(PasswordRequired):
        await ask("extract_data", source="locked.pdf", schema=INVOICE)
    result = await ask("extract_data", source="locked.pdf", schema=INVOICE, password="open")
    assert result.data["invoice_number"] == "AB-17"


async def test_form_fields_win_and_empty_ones_are_told(ask: Any) -> None:
    result = await ask("extract_data", source="form.pdf", schema=INVOICE)
    assert (result.data["total"], result.data["date"]) == (12.5, "2026-03-09")
    assert at(result, "/total").source == "form" and at(result, "/total").box == (200, 100, 400, 120)
    assert "is empty" in result.errors["/buyer/name"]


async def test_a_region_of_a_picture_is_read_alone(ask: Any) -> None:
    schema = {"type": "object", "properties": {"chart": {"type": "string"}}}
    result = await ask("extract_data", source="chart.png", schema=schema, region=[0, 0, 200, 100])
    assert result.used.region == (0, 0, 200, 100) and result.used.pages == (1,)


async def test_of_a_long_document_the_pages_that_speak_of_it_are_looked_at(ask: Any) -> None:
    result = await ask("extract_data", source="long.pdf", schema={"properties": {"invoice_number": {"type": "string"}}})
    assert result.data == {"invoice_number": "XY-9"} and at(result, "/invoice_number").page == 47
    assert 47 in result.used.pages and len(result.used.pages) <= 20
    assert any("of 60 pages were looked at" in notice for notice in result.notices)


async def test_pages_that_were_named_come_in_parts(ask: Any) -> None:
    schema = {"properties": {"invoice_number": {"type": "string"}}}
    first = await ask("extract_data", source="long.pdf", schema=schema, pages="1-60")
    assert first.used.pages == tuple(range(1, 41)) and first.truncated and first.data == {"invoice_number": None}
    second = await ask("extract_data", source="long.pdf", schema=schema, cursor=first.next_cursor)
    assert second.used.pages == tuple(range(41, 61)) and second.data == {"invoice_number": "XY-9"}
    assert second.next_cursor is None
    with pytest.raises(InvalidArgument, match="another schema"):
        await ask("extract_data", source="long.pdf", schema=REPORT, cursor=first.next_cursor)


async def test_items_that_do_not_fit_come_with_the_cursor_each_once(ask: Any) -> None:
    whole = (await ask("extract_data", source="report.pdf", schema=REPORT)).data["lines"]
    parts: list[Any] = []
    cursor: str | None = None
    while True:
        result = await ask("extract_data", tokens=1500, source="report.pdf", schema=REPORT, cursor=cursor)
        parts += result.data["lines"]
        assert {one.path.split("/")[2] for one in result.evidence if one.path.startswith("/lines")} == {
            str(place) for place in range(len(result.data["lines"]))
        }
        cursor = result.next_cursor
        if cursor is None:
            break
    assert parts == whole


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        ({"properties": {"a": {"$ref": "#"}}}, InvalidArgument),
        ({"properties": {"a": {"allOf": [{"type": "string"}, {"type": "null"}]}}}, InvalidArgument),
        ({"properties": {"a": {"$ref": "https://example.com/x.json"}}}, InvalidArgument),
        ({"properties": {"a": {"type": "string", "pattern": "^(?=(a+)+)$"}}}, InvalidArgument),
        ({"properties": {"a": {"description": "x" * 1_000_000}}}, LimitExceeded),
        ('{"properties":{"a":' * 10_000 + "{}" + "}}" * 10_000, LimitExceeded),
        ("not JSON", InvalidArgument),
    ],
    ids=["recursive", "contradictory", "remote", "pattern", "large", "deep", "no JSON"],
)
async def test_a_schema_is_refused_before_the_source_is_opened(ask: Any, schema: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"schema|pattern|\$ref"):
        await ask("extract_data", source="nowhere.pdf", schema=schema)


# With a model.


async def test_the_model_is_held_to_the_schema_and_its_values_are_looked_for(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says(json.dumps(SAID))]
    result = await ask("extract_data", source="invoice.pdf", schema=INVOICE)
    assert result.data == SAID and result.answer is None and result.engine.variant == PLAN.variant
    assert result.used.tiles == 7 and result.errors.keys() == {"/paid"} and result.valid
    total = at(result, "/total")
    assert (total.source, total.page) == ("model", 1) and "1'250.50" in total.text and total.box
    asked = model.asked[0]
    assert asked.json_schema is not None
    held = Draft202012Validator(asked.json_schema)
    assert held.is_valid(SAID) and held.is_valid({**SAID, "total": None}) and not held.is_valid({**SAID, "total": -1})
    said = text_of(asked)
    assert said.startswith("<image>\n") and "buyer.name (string)" in said and "Buyer name: Ann Meier" in said


async def test_a_value_that_stands_nowhere_is_told_as_unsupported(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says(json.dumps({**SAID, "total": 777, "invoice_number": "ZZ-1"}))]
    result = await ask("extract_data", source="invoice.pdf", schema=INVOICE)
    assert result.unsupported == ("/total",) and at(result, "/total").box is None and at(result, "/total").page == 1
    assert result.data["invoice_number"] == "AB-17", "it stands beside its label"


async def test_an_answer_that_was_cut_off_gives_what_it_has(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says('{"invoice_number": "AB-17", "date": "2026-03-09", "currency": "CHF", "pa', reason="length")]
    result = await ask("extract_data", source="invoice.pdf", schema=INVOICE)
    assert result.data == {**SAID, "total": None} and "cut off" in result.errors["/total"] and result.truncated


async def test_where_the_model_fails_the_rest_stands(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [(ModelFailed("the model host ended", "Call again."),), says("I cannot read that.")]
    for notice in ("the model host ended", "no JSON"):
        result = await ask("extract_data", source="invoice.pdf", schema=INVOICE)
        assert result.data["invoice_number"] == "AB-17" and any(notice in one for one in result.notices)


async def test_without_time_for_the_model_the_rest_stands(shared_service: Any, model: ScriptedModel) -> None:
    tool = next(tool for tool in TOOLS if tool.name == "extract_data")
    model.scripts = [(Waits(),)]
    result: Any = await run_tool(shared_service, tool, {"source": "invoice.pdf", "schema": INVOICE}, Call(within_s=6.0))
    assert result.data["invoice_number"] == "AB-17" and result.data["total"] is None


async def test_a_follow_up_goes_on_from_what_was_extracted(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says(json.dumps(SAID)), says("By bank transfer.")]
    before = await ask("extract_data", source="invoice.pdf", schema=INVOICE)
    after = await ask("ask_followup", conversation_id=before.conversation_id, question="How was it paid?")
    assert after.answer == "By bank transfer." and after.turn == 2
    assert model.asked[1].json_schema is None and len(model.asked[1].messages) == len(model.asked[0].messages) + 2


async def test_a_follow_up_without_a_model_reads_the_pages(ask: Any) -> None:
    before = await ask("extract_data", source="invoice.pdf", schema=INVOICE, pages="1")
    after = await ask("ask_followup", conversation_id=before.conversation_id, question="Who is the buyer?")
    assert after.answer is None and "Ann Meier" in str(after.model_dump())
