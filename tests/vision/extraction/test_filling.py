"""Schemas filled from lines and tables on pages: the value of its label and of no other, else none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.extraction.answers import UNSEEN, join
from vision.extraction.filling import Seen, fill
from vision.extraction.found import Filling, Found, assemble
from vision.extraction.layout import Page
from vision.media.document_facts import FormField
from vision.schema.reading import read_schema
from vision.types import TextLine, TextTable

# A line: where it begins, and its text; letters are 6 points wide and 12 high.
Placed = tuple[float, float, str]


def page(*placed: Placed, number: int = 1, confidence: float = 1.0) -> Page:
    lines = [
        TextLine(text=text, box=(x, y, x + 6 * len(text), y + 12), confidence=confidence, page=number)
        for x, y, text in placed
    ]
    return Page(number, 600, tuple(lines))


def table(*rows: Sequence[str], number: int = 1) -> TextTable:
    return TextTable(box=(0, 0, 600, 400), rows=tuple(map(tuple, rows)), page=number)


def filled(
    properties: dict[str, Any], *pages: Page, tables: Sequence[TextTable] = (), fields: Sequence[FormField] = ()
) -> tuple[Any, dict[str, str], Filling]:
    node = read_schema({"type": "object", "properties": properties})
    filling = fill(node, Seen(pages, tuple(tables), tuple(fields)))
    errors: dict[str, str] = {}
    return assemble(node, filling, errors), errors, filling


TEXT, NUMBER = {"type": "string"}, {"type": "number"}
DATE = {"type": "string", "format": "date"}
# Property, its schema, the lines, the value.
MEANT: list[tuple[str, dict[str, Any], list[Placed], Any]] = [
    ("invoice_no", TEXT, [(50, 50, "Invoice No.: 3139")], "3139"),
    ("invoiceNumber", TEXT, [(50, 50, "Invoice no. 3139")], "3139"),
    ("date", DATE, [(50, 50, "Date:"), (200, 50, "01.07.2020")], "2020-07-01"),
    ("dob", DATE, [(50, 50, "Date of Birth"), (200, 50, "March 15, 1978")], "1978-03-15"),
    ("patient", TEXT, [(50, 50, "Patient Name:"), (200, 50, "Jonathan Harrison")], "Jonathan Harrison"),
    ("hba1c", TEXT, [(50, 50, "HbA1c"), (200, 50, "6.8%"), (300, 50, "<5.7%"), (400, 50, "HIGH")], "6.8%"),
    ("subtotal", NUMBER, [(50, 50, "Sub-Total"), (400, 50, "$11.70")], 11.7),
    ("control_number", TEXT, [(50, 50, "d Control Number"), (50, 66, "000086242")], "000086242"),
    ("状态", TEXT, [(50, 50, "状态：已完成")], "已完成"),
    ("总库存", NUMBER, [(50, 50, "总库存 2015.00")], 2015),
    ("name", TEXT, [(50, 50, "姓名：张三")], "张三"),
    ("phone", TEXT, [(50, 50, "Telefon: 059/987 6540")], "059/987 6540"),
    ("total", NUMBER, [(50, 50, "Subtotal: 5.00"), (50, 70, "Total: 7.50")], 7.5),
    ("b", TEXT, [(50, 50, "A: one B: two C: three")], "two"),
    ("signed", {"type": "boolean"}, [(50, 50, "Signed: yes")], True),
    ("currency", {"enum": ["CHF", "EUR"]}, [(50, 50, "Currency"), (50, 64, "CHF")], "CHF"),
    ("employer", TEXT, [(50, 50, "Employr:"), (200, 50, "Best Corp.")], "Best Corp."),
    ("phone", TEXT, [(50, 50, "12 Main Street"), (50, 70, "987-654-3210"), (50, 90, "6/10/2019")], "987-654-3210"),
    ("date", TEXT, [(50, 50, "6/10/2019 13:59")], "6/10/2019"),
    ("iban", TEXT, [(50, 50, "CH58 0079 1123 0008 8901 2"), (50, 90, "Thanks")], "CH58 0079 1123 0008 8901 2"),
    ("department", TEXT, [(50, 50, "Departrnent: Sales")], "Sales"),
]
NOT_MEANT: list[tuple[str, dict[str, Any], list[Placed], str]] = [
    ("total", NUMBER, [(50, 50, "Total Cholesterol 215 mg/dL")], "nothing"),
    ("total", NUMBER, [(50, 50, "Total: 5"), (50, 90, "Total: 7")], "2 values fit"),
    ("due_date", DATE, [(50, 50, "Date: 01.07.2020")], "nothing"),
    ("date", DATE, [(50, 50, "Date: 6/10/2019")], "2019-06-10 or 2019-10-06"),
    ("patient", TEXT, [(50, 50, "Patient ID: 12")], "nothing"),
    ("name", TEXT, [(50, 50, "Name"), (200, 50, "Role"), (50, 64, "a"), (200, 64, "b"), (50, 78, "c")], "nothing"),
    ("description", TEXT, [(50, 50, "Description"), (50, 66, "Work"), (50, 82, "Travel")], "nothing"),
    ("sum", NUMBER, [(50, 50, "The sum of 5 parts was never paid at all")], "nothing"),
    ("amount", NUMBER, [(50, 50, "Amount: none")], "'none' was read, which is no number"),
    ("date", TEXT, [(50, 50, "6/10/2019"), (50, 70, "7/10/2019")], "nothing"),
    ("due_date", TEXT, [(50, 50, "6/10/2019")], "nothing"),
    ("wages", TEXT, [(50, 50, "1 Wages, tips"), (300, 50, "2 Federal income tax withheld")], "nothing"),
    ("heading", TEXT, [(50, 50, "Heading"), (200, 50, "单")], "nothing"),
]


@pytest.mark.parametrize(("name", "schema", "lines", "value"), MEANT, ids=str)
def test_a_value_is_found_beside_its_label(name: str, schema: dict[str, Any], lines: list[Placed], value: Any) -> None:
    data, _, _ = filled({name: schema}, page(*lines))
    assert data == {name: value}


@pytest.mark.parametrize(("name", "schema", "lines", "why"), NOT_MEANT, ids=str)
def test_what_may_be_another_value_is_none_with_the_reason(
    name: str, schema: dict[str, Any], lines: list[Placed], why: str
) -> None:
    data, errors, _ = filled({name: schema}, page(*lines))
    assert data == {name: None} and why in errors[f"/{name}"]


def test_a_value_comes_with_its_place_and_the_recogniser_s_doubt() -> None:
    _, _, filling = filled({"date": DATE}, page((50, 50, "Other: x")), page((50, 70, "Date: 01.07.2020"), number=2, confidence=0.6))  # fmt: skip # noqa: E501
    found = filling.values["/date"]
    assert isinstance(found, Found)
    assert (found.text, found.page, found.source, found.confidence) == ("01.07.2020", 2, "text", 0.6)
    assert found.box is not None and found.box[1] == 70


def test_each_property_gets_its_own_label() -> None:
    lines = [(50, 50, "Patient ID:"), (200, 50, "PAT-3"), (50, 70, "Patient Name:"), (200, 70, "Jo")]
    data, _, _ = filled({"patient": TEXT, "patient_id": TEXT}, page(*lines))
    assert data == {"patient": "Jo", "patient_id": "PAT-3"}


def test_objects_take_the_labels_of_their_sections() -> None:
    lines = [
        (50, 50, "SELLER"), (50, 70, "Name: Ann"), (50, 90, "City: Bern"), (50, 130, "BUYER"), (50, 150, "Name: Bob"),
        (50, 170, "City: Biel"),
    ]  # fmt: skip
    person = {"type": "object", "properties": {"name": TEXT, "city": TEXT}}
    data, _, _ = filled({"buyer": person, "seller": person}, page(*lines))
    assert data == {"buyer": {"name": "Bob", "city": "Biel"}, "seller": {"name": "Ann", "city": "Bern"}}


def test_a_label_under_several_heads_is_told_by_its_head() -> None:
    lines = [
        (50, 50, "入库"), (300, 50, "出库"), (50, 80, "草稿"), (120, 80, "已完成"), (300, 80, "草稿"),
        (370, 80, "已完成"), (50, 96, "2"), (120, 96, "9"), (300, 96, "3"), (370, 96, "8"),
    ]  # fmt: skip
    wanted = {"入库草稿": NUMBER, "入库已完成": NUMBER, "出库草稿": NUMBER, "出库已完成": NUMBER}
    assert filled(wanted, page(*lines))[0] == {"入库草稿": 2, "入库已完成": 9, "出库草稿": 3, "出库已完成": 8}


def test_boxes_of_a_form_hold_the_number_that_is_alone_in_them() -> None:
    lines = [
        (50, 50, "1 Wages, tips"), (300, 50, "2 Federal income tax"), (200, 66, "37160.56"), (450, 66, "3894.54"),
        (50, 90, "3 Other"), (300, 90, "4 Local wages"), (400, 104, "51.00"), (400, 120, "594.54"),
    ]  # fmt: skip
    wanted = {"1_wages": NUMBER, "2_federal_income_tax": NUMBER, "3_other": TEXT, "4_local_wages": NUMBER}
    data, _, _ = filled(wanted, page(*lines))
    assert data == {"1_wages": 37160.56, "2_federal_income_tax": 3894.54, "3_other": None, "4_local_wages": None}


def test_a_description_may_quote_the_label() -> None:
    data, _, _ = filled({"x1": {"type": "string", "description": 'What stands beside "Our reference" on top'}}, page((50, 50, "Our reference: AB-7")))  # fmt: skip # noqa: E501
    assert data == {"x1": "AB-7"}


LINES = {
    "lines": {
        "type": "array",
        "items": {"type": "object", "properties": {"description": TEXT, "price": NUMBER, "date": DATE}},
    }
}


def test_a_table_whose_heads_name_the_properties_becomes_objects_and_its_sums_none() -> None:
    rows = table(
        ("Item", "Description", "Unit price (CHF)", "Date"), ("1", "Garden work", "120.00", "1.7.2020"),
        ("2", "Travel", "1'307.35", "2.7.2020"), ("", "", "1'427.35", ""), ("", "Total", "1'427.35", ""),
    )  # fmt: skip
    shown = page((50, 50, "Garden work"), (200, 50, "120.00"), (50, 70, "Travel"), (200, 70, "1'307.35"))
    data, errors, filling = filled(LINES, shown, tables=[rows])
    assert data["lines"] == [
        {"description": "Garden work", "price": 120, "date": "2020-07-01"},
        {"description": "Travel", "price": 1307.35, "date": "2020-07-02"},
    ]
    price = filling.values["/lines/1/price"]
    assert isinstance(price, Found) and price.box == (200, 70, 248, 82) and not errors


def test_a_table_goes_on_over_pages_with_and_without_its_heads() -> None:
    heads = ("Description", "Price", "Date")
    tables = [
        table(heads, ("a", "1", "1.1.2020"), number=1), table(("b", "2", "2.1.2020"), number=2),
        table(heads, ("c", "3", "3.1.2020"), number=3),
    ]  # fmt: skip
    data, _, _ = filled(LINES, page(number=1), page(number=2), page(number=3), tables=tables)
    assert [line["description"] for line in data["lines"]] == ["a", "b", "c"]


def test_a_table_of_other_things_is_not_taken() -> None:
    data, errors, _ = filled(LINES, page(), tables=[table(("Name", "Price"), ("a", "1"))])
    assert data == {"lines": []} and "no table" in errors["/lines"]


def test_a_list_within_a_row_is_empty_with_the_reason() -> None:
    item = {"type": "object", "properties": {"name": TEXT, "price": NUMBER, "tags": {"type": "array", "items": TEXT}}}
    rows = table(("Name", "Price", "Tags"), ("a", "1", "x"))
    data, errors, _ = filled({"lines": {"type": "array", "items": item}}, page(), tables=[rows])
    assert data == {"lines": [{"name": "a", "price": 1, "tags": []}]} and errors["/lines/0/tags"]


def test_cells_that_do_not_fit_are_null_with_the_reason() -> None:
    data, errors, _ = filled(LINES, page(), tables=[table(("Description", "Price", "Date"), ("a", "free", "1.1.2020"))])
    assert data["lines"] == [{"description": "a", "price": None, "date": "2020-01-01"}]
    assert "'free'" in errors["/lines/0/price"]


def test_single_values_are_listed_from_a_column_or_behind_their_label() -> None:
    tags = {"tags": {"type": "array", "items": TEXT}}
    assert filled(tags, page((50, 50, "Tags: red, blue；绿")))[0] == {"tags": ["red", "blue", "绿"]}
    assert filled(tags, page(), tables=[table(("Id", "Tags"), ("1", "a"), ("2", "b"))])[0] == {"tags": ["a", "b"]}


def test_form_fields_come_before_what_is_printed() -> None:
    def form(name: str, value: str | bool | None, label: str | None = None) -> FormField:
        return FormField(page=1, name=name, kind="text", value=value, label=label, box=(1, 2, 3, 4))

    fields = [
        form("form1[0].Page1[0].LastName[0]", "Meier"), form("f1_2", True, "Resident"), form("f1_3", None, "City"),
    ]  # fmt: skip
    wanted = {"last_name": TEXT, "resident": {"type": "boolean"}, "city": TEXT}
    data, errors, filling = filled(wanted, page((50, 50, "Last name: Muster"), (50, 70, "City: Bern")), fields=fields)
    assert data == {"last_name": "Meier", "resident": True, "city": None} and "is empty" in errors["/city"]
    found = filling.values["/last_name"]
    assert isinstance(found, Found) and (found.source, found.box) == ("form", (1, 2, 3, 4))


def test_the_alternative_is_chosen_of_which_most_is_found() -> None:
    card = {"type": "object", "properties": {"card_number": TEXT}}
    bank = {"type": "object", "properties": {"iban": TEXT, "bank": TEXT}}
    data, _, _ = filled({"paid": {"anyOf": [card, bank]}}, page((50, 50, "IBAN: CH58 0079"), (50, 70, "Bank: UBS")))
    assert data == {"paid": {"iban": "CH58 0079", "bank": "UBS"}}


def test_many_properties_and_pages_take_little_time() -> None:
    wanted = {f"field_{n} amount": NUMBER for n in range(300)}
    pages = [page(*((50, 20 * y, f"Label {y} of {n}: {y}") for y in range(100)), number=n) for n in range(1, 21)]
    data, _, _ = filled(wanted, *pages)
    assert set(data.values()) == {None}


# With a model.


def joined(properties: dict[str, Any], said: Any, *lines: Placed, whole: bool = True, **others: Any) -> Any:
    node = read_schema({"type": "object", "properties": properties})
    shown = page(*lines)
    read = fill(node, Seen((shown,), (), others.get("fields", ())))
    filling = join(node, read, said, shown.lines, 1, whole=whole)
    errors: dict[str, str] = {}
    return assemble(node, filling, errors), errors, filling.values


def test_a_model_s_value_is_looked_for_on_the_page() -> None:
    schema = {"paid": NUMBER, "on": DATE, "who": TEXT, "seal": {"type": "boolean"}}
    said = {"paid": 1234.5, "on": "2020-07-01", "who": "Ann Meier Bern", "seal": True}
    lines = [(50, 50, "We got CHF 1'234.50 on July 1, 2020"), (50, 70, "from Ann Meier"), (50, 84, "Bern")]
    data, errors, values = joined(schema, said, *lines)
    assert data == said and not errors
    assert values["/paid"].box[1] == 50 and values["/on"].box[1] == 50
    assert values["/who"].box[1] == 70 and values["/who"].box[3] == 96, "over two lines"
    assert values["/seal"].unsupported and values["/seal"].confidence == UNSEEN
    assert not values["/who"].unsupported and values["/who"].source == "model"


def test_a_model_s_value_that_stands_nowhere_gives_way_to_one_beside_its_label() -> None:
    data, _, values = joined({"total": NUMBER, "vat": NUMBER}, {"total": 99, "vat": 98}, (50, 50, "Total: 7.50"))
    assert data == {"total": 7.5, "vat": 98}
    assert values["/total"].source == "text" and values["/vat"].unsupported


def test_a_form_field_stands_whatever_the_model_says() -> None:
    field = FormField(page=1, name="total", kind="text", value="5", box=(1, 2, 3, 4))
    data, _, _ = joined({"total": NUMBER}, {"total": 7}, (50, 50, "7"), fields=(field,))
    assert data == {"total": 5}


def test_what_the_model_did_not_say_is_null_with_the_reason() -> None:
    schema = {"a": TEXT, "lines": LINES["lines"]}
    data, errors, _ = joined(schema, {"a": None, "lines": []})
    assert data == {"a": None, "lines": []} and all("model" in why for why in errors.values())
    _, errors, _ = joined(schema, {"a": None}, whole=False)
    assert "cut off" in errors["/a"] and "cut off" in errors["/lines"]


def test_a_value_of_the_wrong_kind_is_left_out_wherever_it_comes_from() -> None:
    data, errors, _ = joined({"a": NUMBER, "b": LINES["lines"]}, {"a": "seven", "b": "none"})
    assert data == {"a": None, "b": []} and "seven" in errors["/a"]


def test_the_model_s_items_are_taken_where_no_table_has_as_many() -> None:
    items = [{"description": "work", "price": 5, "date": None}, {"description": "x", "price": None, "date": None}]
    data, errors, values = joined(LINES, {"lines": items}, (50, 50, "work 5"))
    assert data == {"lines": items} and errors.keys() == {"/lines/0/date", "/lines/1/price", "/lines/1/date"}
    assert values["/lines/0/description"].box and values["/lines/1/description"].unsupported


PARTS = (
    "Total", "Date", "Name", "Invoice", "No.", "of", "5", "1,250.50", "Ann", ":", ";", "合计", "2020-01-02", "CHF",
    "yes", "the", "Sub", "(x)", "|", "名称",
)  # fmt: skip
WORDS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map(" ".join)
SPOTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20), WORDS), max_size=12)
ALL = {"total": NUMBER, "date": DATE, "name": TEXT, "invoice_no": TEXT, "合计": NUMBER, "paid": {"type": "boolean"}}


@given(SPOTS)
def test_no_value_is_made_up_whatever_stands_on_a_page(spots: list[tuple[int, int, str]]) -> None:
    shown = page(*((100.0 * x, 16.0 * y, text) for x, y, text in spots))
    data, errors, filling = filled(ALL, shown)
    for path, found in filling.values.items():
        if isinstance(found, Found):
            assert any(found.text in " ".join(line.text.split()) for line in shown.lines if line.box == found.box)
        else:
            assert data[path[1:]] is None and errors[path]
