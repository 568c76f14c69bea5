"""The unit tests of read pages: each kind passes and fails as olmOCR-bench describes it."""

from __future__ import annotations

import pytest

from benchmarks.unit_tests import passes, tables

PAGE = """# The harbour

The council met in “the old hall”. Then it went home.

| Town | Exports | Exports |
| --- | --- | --- |
|  | 1870 | 1871 |
| Aldmoor | 7,124 | 6,045 |

Here $x_{i}^{2} \\le \\frac{1}{n}$ holds.
"""


@pytest.mark.parametrize(
    ("test", "passed"),
    [
        ({"type": "present", "text": 'met in "the old hall"'}, True),
        ({"type": "present", "text": "met in the new hall"}, False),
        ({"type": "present", "text": "met in the olt hall", "max_diffs": 3}, True),
        ({"type": "absent", "text": "Page 12"}, True),
        ({"type": "absent", "text": "THE HARBOUR", "case_sensitive": False}, False),
        ({"type": "absent", "text": "The harbour", "last_n": 40}, True),
        ({"type": "order", "before": "The council", "after": "went home"}, True),
        ({"type": "order", "before": "went home", "after": "The council"}, False),
        ({"type": "table", "cell": "6,045", "left": "7,124", "up": "1871", "top_heading": "Exports"}, True),
        ({"type": "table", "cell": "6,045", "left_heading": "Aldmoor", "right": "9"}, False),
        ({"type": "math", "math": "x_i^2 \\leq \\frac{1}{n}"}, True),
        ({"type": "math", "math": "x_i^2 \\leq \\frac{2}{n}"}, False),
    ],
)
def test_a_page_passes_what_it_holds_and_fails_what_it_does_not(test: dict, passed: bool) -> None:
    assert passes(test, PAGE) is passed


def test_cells_of_an_html_table_stand_in_every_place_that_they_span() -> None:
    table = "<table><tr><td rowspan='2'>a</td><td colspan=2>b</td></tr><tr><td>c</td><td>d</td></tr></table>"
    assert tables(table) == [[["a", "b", "b"], ["a", "c", "d"]]]
