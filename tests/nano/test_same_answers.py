"""The trained model answers the same however it is run; smaller weights cost what is said here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nano.conftest import Hosted
from tests.nano.evaluate import Answerer, Asked, drawn, judge, right

# How many answers in a hundred may be lost by weights of 8 and of 4 bits.
_LOST = {"int8": 3.0, "nf4": 10.0}


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    return drawn(7, 8, "test")


@pytest.fixture(scope="module")
def plain(nano: Path, asked: list[Asked]) -> list[str]:
    """What transformers alone answers."""
    return [judged.said for judged in judge(Answerer(nano), asked)]


def test_the_host_answers_as_transformers_does(plain: list[str], asked: list[Asked], nano: Path) -> None:
    one_by_one, side_by_side = Hosted(nano, batch=1, feature_cache_bytes=0, prefix_cache_bytes=0), Hosted(nano, batch=8)
    for hosted in (one_by_one, side_by_side):
        first = [judged.said for judged in judge(hosted, asked)]
        again = [judged.said for judged in judge(hosted, asked)]
        hosted.close()
        assert first == plain
        assert again == plain


@pytest.mark.parametrize("quantisation", ["int8", "nf4"])
def test_small_weights_lose_few_answers(plain: list[str], asked: list[Asked], nano: Path, quantisation: str) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    hosted = Hosted(nano, quantisation=quantisation)
    judged = judge(hosted, asked)
    hosted.close()
    whole = sum(right(one.asked[1][-1], said) for one, said in zip(judged, plain, strict=True))
    lost = 100 * (whole - sum(one.right for one in judged)) / len(judged)
    assert [one.said for one in judged] != plain, "the weights were not made smaller"
    assert lost <= _LOST[quantisation], lost
