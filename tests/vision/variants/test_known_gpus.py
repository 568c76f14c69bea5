from __future__ import annotations

import pytest

from vision.errors import InvalidArgument
from vision.variants.known_gpus import KNOWN, gpu_named, gpu_of_size

GIB = 1 << 30


@pytest.mark.parametrize(
    ("name", "gib", "capability"),
    [
        ("RTX 4090", 24, (8, 9)),
        ("NVIDIA GeForce RTX 4090", 24, (8, 9)),
        ("rtx4090", 24, (8, 9)),
        ("A100 80GB", 80, (8, 0)),
        ("NVIDIA A100-SXM4-80GB", 80, (8, 0)),
        ("NVIDIA H100 PCIe", 80, (9, 0)),
        ("Tesla T4", 16, (7, 5)),
        ("H100 SXM", 80, (9, 0)),
        ("RTX 6000 Ada", 48, (8, 9)),
        ("RTX 3080 16GB", 16, (8, 6)),
        ("MI300X", 192, None),
        ("Radeon RX 7900 XTX", 24, None),
    ],
)
def test_a_gpu_is_known_by_the_names_people_use(name: str, gib: int, capability: tuple[int, int] | None):
    found = gpu_named(name, 3)
    assert (found.index, found.total_bytes, found.compute_capability) == (3, gib * GIB, capability)
    assert 0.95 * found.total_bytes < found.free_bytes < found.total_bytes


def test_gpus_before_ampere_and_old_radeons_have_no_bfloat16():
    assert not gpu_named("V100", 0).bf16 and not gpu_named("RX 6900 XT", 0).bf16
    assert gpu_named("A100", 0).bf16 and gpu_named("RX 7900 XTX", 0).bf16


def test_a_mac_needs_its_memory():
    found = gpu_named("M3 Max 64GB", 0)
    assert found.vendor == "apple" and 40 * GIB < found.free_bytes < 50 * GIB
    with pytest.raises(InvalidArgument) as asked:
        gpu_named("Apple M3 Max", 0)
    assert "32GB" in asked.value.hint


def test_an_unknown_name_is_offered_what_comes_close():
    with pytest.raises(InvalidArgument) as wrong:
        gpu_named("RTX 4099", 0)
    assert "RTX 4090" in wrong.value.hint
    with pytest.raises(InvalidArgument) as far:
        gpu_named("Voodoo", 0)
    assert "--gpu-memory" in far.value.hint


@pytest.mark.parametrize(
    ("text", "size"),
    [("24", 24 * 10**9), ("24GB", 24 * 10**9), ("24 GiB", 24 * GIB), ("24576MiB", 24 * GIB), ("1.5g", 1_500_000_000)],
)
def test_sizes_are_read_in_the_units_people_write(text: str, size: int):
    assert gpu_of_size(text, 0).free_bytes == size


@pytest.mark.parametrize("text", ["", "much", "24TB", "-3GB", "0"])
def test_what_is_no_size_is_an_error(text: str):
    with pytest.raises(InvalidArgument, match="no amount of memory"):
        gpu_of_size(text, 0)


def test_every_entry_can_be_named():
    for known in KNOWN:
        name = known.name if known.gib else f"{known.name} 32GB"
        assert gpu_named(name, 0).vendor == known.vendor
