"""The trained checkpoint under the host's own generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra [local] (torch, transformers) is not installed")

from tests.nano.evaluate import CHECKPOINT, MOST_TOKENS, Asked
from tests.nano.tasks import messages, most_tiles
from tests.vision.host.conftest import Asker, spec_of


class Hosted:
    """Answers as the model host does; all questions are there at once, and are answered `batch` side by side."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.asker = Asker(spec_of(folder, **changes))

    def answer(self, asked: Sequence[Asked]) -> list[str]:
        answers = [
            self.asker.submit(*messages(scene, questions), max_tiles=most_tiles(scene), max_tokens=MOST_TOKENS)
            for scene, questions in asked
        ]
        return [answer.text for answer in answers]

    def close(self) -> None:
        self.asker.scheduler.close()


@pytest.fixture(scope="session")
def nano() -> Path:
    """The checkpoint's folder, for reading only."""
    return CHECKPOINT


@pytest.fixture(scope="module")
def hosted(nano: Path) -> Iterator[Hosted]:
    made = Hosted(nano)
    yield made
    made.close()
