"""Formulas made of placed glyphs, and a page's characters with formulas among them."""

from __future__ import annotations

from typing import Any

from vision.media.document_formulas import has_formulas, lines_with_formulas
from vision.media.formula_signs import extension_sign, sign
from vision.media.formulas import Glyph, latex
from vision.types import Box


def _glyph(text: str, x: float, base: float = 100.0, size: float = 10.0, *, upright: bool = False) -> Glyph:
    return Glyph(text, (x, base - 0.72 * size, x + 0.5 * size, base + 0.2 * size), base, size, upright)


def test_small_glyphs_off_the_baseline_are_scripts_of_what_they_follow() -> None:
    glyphs = [_glyph("x", 0), _glyph("2", 5, 96, 7), _glyph("i", 5, 102, 7), _glyph("+", 12), _glyph("y", 19)]
    assert latex(glyphs, []) == "x_{i}^{2} + y"


def test_a_rule_with_glyphs_over_and_under_it_is_a_fraction_and_fractions_nest() -> None:
    rule: Box = (0, 97.5, 30, 97.8)
    inner: Box = (8, 106.0, 20, 106.3)
    glyphs = [_glyph("a", 12, 94), _glyph("b", 12, 104, 5), _glyph("c", 12, 111, 5), _glyph("=", 33)]
    assert latex(glyphs, [rule, inner]) == "\\frac{a}{\\frac{b}{c}} ="


def test_a_rule_that_begins_at_a_root_covers_the_radicand() -> None:
    root = Glyph("\\sqrt", (0, 91, 8, 101), 91, 10)
    assert latex([root, _glyph("x", 9), _glyph("y", 20)], [(8, 91, 15, 91.4)]) == "\\sqrt{x} y"


def test_limits_stand_over_and_under_an_operator_and_after_an_integral() -> None:
    total = Glyph("\\sum", (10, 90, 24, 104), 99.5, 10)
    glyphs = [total, _glyph("n", 15, 88, 7), _glyph("i", 11, 113, 7), _glyph("k", 26)]
    assert latex(glyphs, []) == "\\sum_{i}^{n} k"
    integral = Glyph("\\int", (0, 86, 6, 108), 99.5, 10)
    glyphs = [integral, _glyph("0", 6, 109, 7), _glyph("1", 10, 90, 7), _glyph("f", 18)]
    assert latex(glyphs, []) == "\\int_{0}^{1} f"


def test_upright_letters_are_functions_or_words_and_accents_stand_over_letters() -> None:
    name = [_glyph(char, 3 * at, upright=True) for at, char in enumerate("sin")]
    assert latex([*name, _glyph("x", 14), _glyph("ˆ", 14)], []) == "\\sin \\hat{x}"


def test_signs_are_named_by_character_and_font() -> None:
    assert [sign("α", "CMMI10"), sign("R", "MSBM10"), sign("F", "CMSY10"), sign("\U0001d465", "CambriaMath")] == [
        "\\alpha",
        "\\mathbb{R}",
        "\\mathcal{F}",
        "x",
    ]
    assert extension_sign("X") == ("\\sum", 1.4)
    assert extension_sign(chr(161)) == extension_sign(chr(0)) == ("(", 1.2)
    assert extension_sign("~") is None


def _span(text: str, x: float, base: float, *, font: str = "CMR10", size: float = 10.0) -> dict[str, Any]:
    chars = []
    for at, char in enumerate(text):
        left = x + 0.5 * size * at
        box = (left, base - 8, left + 0.5 * size, base + 2)
        chars.append({"c": char, "origin": (left, base), "bbox": box, "synthetic": char == " "})
    return {"font": font, "size": size, "flags": 4, "chars": chars, "text": text}


def _page(*lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {"blocks": [{"lines": [{"dir": (1.0, 0.0), "spans": spans} for spans in lines]}]}


def test_a_formula_stands_in_its_line_of_text_or_alone() -> None:
    text = [
        _span("Here ", 50, 100),
        _span("x", 75, 100, font="CMMI10"),
        _span("=1", 81, 100),
        _span(" holds.", 91, 100),
    ]
    alone = [_span("y", 150, 130, font="CMMI10"), _span("2", 155, 126, font="CMR7", size=7)]
    page = _page(text, alone)
    assert has_formulas(page)
    found = lines_with_formulas(page, [])
    assert sorted(line.text for line in found) == ["$$y^{2}$$", "$x = 1$", "Here", "holds."]


def test_bullets_and_prose_are_no_formulas() -> None:
    page = _page([_span("•", 50, 100, font="CMSY10"), _span(" An item of a list", 56, 100)])
    assert not has_formulas(page)
    assert all("$" not in line.text for line in lines_with_formulas(page, []))
