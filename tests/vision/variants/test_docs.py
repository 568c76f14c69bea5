from __future__ import annotations

import re
from pathlib import Path

import pytest

from vision.variants.hardware import Gpu, Hardware
from vision.variants.ranking import PENALTY
from vision.variants.selector import plan

PAGE = (Path(__file__).parents[3] / "docs" / "variants.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ((?:CPU, |\d+ x )?\d+ GB) \|(.+)\|$", PAGE, re.MULTILINE)


def played(memory: str) -> Hardware:
    size = int(memory.split()[-2]) * 10**9
    if memory.startswith("CPU"):
        return Hardware(cores=8, cpu_bf16=True, total_ram=size, free_ram=size)
    count = int(memory.split(" x ")[0]) if " x " in memory else 1
    gpus = [
        Gpu(index=i, name="GPU", total_bytes=size, free_bytes=size, compute_capability=(8, 6)) for i in range(count)
    ]
    return Hardware(gpus=tuple(gpus), cores=8, total_ram=64 * 10**9, free_ram=64 * 10**9)


@pytest.mark.parametrize(("memory", "cells"), ROWS, ids=[memory for memory, _ in ROWS])
def test_the_table_of_the_page_is_what_the_selector_decides(memory: str, cells: str):
    found = plan(played(memory))
    weights = found.dtype if found.quantisation == "none" else found.quantisation
    shown = (found.variant, weights, found.max_tiles, found.max_frames, found.context, found.batch)
    assert [cell.strip() for cell in cells.split("|")] == [str(value) for value in shown]


def test_the_page_has_its_table():
    assert len(ROWS) == 15


def test_the_page_gives_the_penalties_in_force():
    for goal, table in PENALTY.items():
        assert f"| `{goal}` | {table['int8']} | {table['nf4']} |" in PAGE
