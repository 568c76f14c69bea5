"""Pages of lines made here: what belongs to the sheet, and what only stands near its edge."""

from __future__ import annotations

from vision.media.document_furniture import edges, furniture
from vision.media.markdown import StyledLine

FRAME = (0.0, 0.0, 600.0, 800.0)


def _line(text: str, y: float, *, x: float = 60, size: float = 10, bold: bool = False) -> StyledLine:
    return StyledLine(text, (x, y, x + 5 * len(text), y + size), size, bold=bold)


def _body(top: float = 90, bottom: float = 700) -> list[StyledLine]:
    step = 12
    return [_line(f"Running text of line {at} goes on", top + step * at) for at in range(int((bottom - top) / step))]


def _texts(lines: list[StyledLine], *beside: list[StyledLine], turned: tuple[StyledLine, ...] = ()) -> list[str]:
    others = [edges(page, FRAME) for page in beside]
    return [line.text for line in furniture(lines, turned, FRAME, others)]


def test_what_a_page_beside_repeats_but_for_its_numbers_is_furniture() -> None:
    def page(number: int) -> list[StyledLine]:
        head = _line(f"Chapter 4: The harbour and its trade in the year of the flood, {number}", 60, bold=True)
        return [head, *_body(), _line("Confidential", 740), _line(f"Rev. {number}", 756)]

    assert _texts(page(12), page(13)) == [
        "Chapter 4: The harbour and its trade in the year of the flood, 12",
        "Confidential",
        "Rev. 12",
    ]


def test_a_page_number_alone_is_furniture_without_any_other_page() -> None:
    for number in ("17", "- 17 -", "Page 3 of 9", "xiv", "7-45", "第 3 页"):
        assert _texts([*_body(), _line(number, 760, x=290)]) == [number]


def test_a_small_head_far_out_is_furniture_in_a_document_of_one_page() -> None:
    assert _texts([_line("Journal of Harbours", 40, size=8), *_body()]) == ["Journal of Harbours"]


def test_titles_notes_items_and_captions_near_the_edge_stay() -> None:
    page = [
        _line("The harbour", 50, size=18),
        *_body(),
        _line("Figure 3. The quay", 715),
        _line("1 Seen by the harbour master.", 760, size=8),
    ]
    assert _texts(page) == []
    assert _texts([*_body(), _line("- the last item", 735), _line("43", 760)]) == ["43"]


def test_text_that_begins_at_the_top_of_the_page_stays() -> None:
    assert _texts(_body(top=50, bottom=770)) == []
    assert _texts([_line("Only a line", 30)]) == []


def test_entries_of_a_list_that_are_alike_on_every_page_stay() -> None:
    def page(first: int) -> list[StyledLine]:
        return [_line(f"{first + at}.1 Command code of form {first + at}", 60 + 24 * at) for at in range(28)]

    assert _texts(page(1), page(40)) == []


def test_a_note_that_runs_up_the_margin_is_furniture_and_an_axis_inside_is_not() -> None:
    stamp = StyledLine("arXiv:2503.04086v1 [math] 6 Mar 2025", (14, 200, 26, 500), 10)
    axis = StyledLine("Ships a year", (90, 200, 100, 300), 10)
    assert _texts(_body(), turned=(stamp, axis)) == [stamp.text]


def test_on_a_page_of_few_lines_only_the_page_number_is_furniture() -> None:
    page = [_line("Above the picture", 70), _line("Below the picture", 500), _line("12", 770)]
    assert _texts(page) == ["12"]
    assert _texts([_line("Page 1 of 205", 770)]) == ["Page 1 of 205"]
