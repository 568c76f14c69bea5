from __future__ import annotations

import pytest

from benchmarks.scoring import (
    cer,
    cer_any_order,
    edit_distance,
    excess,
    field_found,
    infix_distance,
    normalise,
    table_row_found,
    word_recall,
)


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)],
)
def test_edit_distance_counts_characters(left: str, right: str, distance: int) -> None:
    assert edit_distance(left, right) == distance


def test_infix_distance_forgives_what_stands_around() -> None:
    assert infix_distance("brown", "the quick brown fox") == 0
    assert infix_distance("brwn", "the quick brown fox") == 1
    assert infix_distance("brown", "") == 5


def test_normalising_folds_forms_but_keeps_case_and_digits() -> None:
    assert normalise("Ａ１ “x” –  y") == 'A1 "x" - y'
    assert normalise("中 文 abc") == "中文abc"
    assert normalise("O0") == "O0"


def test_character_error_is_in_order_and_against_the_truth() -> None:
    assert cer("hello world", "hello world") == 0
    assert cer("hello\nworld", "hello world") == 0
    assert cer("world hello", "hello world") > 0.5
    assert cer("", "abcd") == 1
    assert cer("abcd", "") == 1


def test_order_of_lines_does_not_count_in_any_order() -> None:
    assert cer_any_order("second line\nfirst line", ["first line", "second line"]) == 0
    assert cer_any_order("first lime", ["first line"]) == pytest.approx(1 / 9)
    assert cer_any_order("", ["abc"]) == 1


def test_what_was_made_up_is_excess() -> None:
    assert excess("abc", "abcd") == 0
    assert excess("abcdxy", "abcd") == 0.5


def test_words_are_counted_as_often_as_they_stand() -> None:
    assert word_recall("the dog", "the dog, the fox") == 0.5
    assert word_recall("Total: 5", "total 5") == 1
    assert word_recall("中文", "中国") == 0.5


def test_a_fields_parts_may_stand_apart() -> None:
    assert field_found("Robert\nBiel 2501", "Robert, 2501")
    assert field_found("IBAN CH58 0079", "ch580079")
    assert not field_found("1135.65", "1135.65; 1032.30")


def test_a_row_needs_exactly_its_cells() -> None:
    rows = [("a", "", "b"), ("c d", "e")]

    assert table_row_found(rows, ("a", "b"))
    assert table_row_found(rows, ("", "cd", "e"))
    assert not table_row_found(rows, ("a",))
    assert not table_row_found(rows, ("b", "a"))
