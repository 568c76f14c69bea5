from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vision.variants.probe import Surroundings, probe

GIB = 1 << 30
CARD = SimpleNamespace


class NvmlError(Exception):
    pass


class LibraryNotFound(NvmlError):
    pass


class FakeNvml:
    """What the probe asks of pynvml, over GPUs given as names; `slices` for those cut by MIG."""

    NVMLError = NvmlError
    NVMLError_LibraryNotFound = LibraryNotFound

    def __init__(self, *cards: Any, missing: type[NvmlError] | None = None, cuda: int | None = 13000) -> None:
        self.cards = cards
        self.cuda = cuda
        self.missing = missing
        self.open = 0

    def nvmlInit(self) -> None:
        if self.missing:
            raise self.missing("no driver")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        if self.cuda is None:
            raise NvmlError("not supported")
        return self.cuda

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        if self.cards[index] is None:
            raise NvmlError("GPU is lost")
        return self.cards[index]

    def nvmlDeviceGetMigMode(self, handle: Any) -> tuple[int, int]:
        if not hasattr(handle, "slices"):
            raise NvmlError("not supported")
        return 1, 1

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any:
        if index >= len(handle.slices):
            raise NvmlError("not found")
        return handle.slices[index]

    def nvmlDeviceGetUUID(self, handle: Any) -> str:
        return handle.uuid

    def nvmlDeviceGetName(self, handle: Any) -> bytes:
        return handle.name.encode()

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:
        if handle.free is None:
            raise NvmlError("not supported")
        return SimpleNamespace(total=24 * GIB, free=handle.free * GIB)

    def nvmlDeviceGetCudaComputeCapability(self, handle: Any) -> tuple[int, int]:
        return handle.capability


def card(name: str, free: float | None = 20, capability: tuple[int, int] = (8, 9), **more: Any) -> Any:
    return CARD(name=name, free=free, capability=capability, uuid=more.pop("uuid", f"GPU-{name}"), **more)


def around(nvml: Any = None, visible: str | None = None, **changes: Any) -> Surroundings:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    fake = nvml or FakeNvml(missing=LibraryNotFound)
    values: dict[str, Any] = {"environment": environment, "nvml": lambda: fake, "system": "linux", **changes}
    return Surroundings(**values)


def names(nvml: FakeNvml, visible: str | None) -> list[str]:
    return [gpu.name for gpu in probe(around(nvml, visible)).gpus]


# NVIDIA


def test_gpus_are_reported_with_what_is_free():
    nvml = FakeNvml(card("a", 20), card("b", 3, (7, 5)))
    found = probe(around(nvml))
    first, second = found.gpus
    assert (first.index, first.name, first.free_bytes, first.compute_capability) == (0, "a", 20 * GIB, (8, 9))
    assert first.bf16 and not second.bf16 and found.kind == "cuda"
    assert nvml.open == 0


@pytest.mark.parametrize(("told", "version"), [(12040, (12, 4)), (13000, (13, 0)), (None, None)])
def test_the_drivers_cuda_version_is_reported_where_it_tells(told: int | None, version: tuple[int, int] | None):
    (found,) = probe(around(FakeNvml(card("a"), cuda=told))).gpus
    assert found.driver_cuda == version


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["a", "b", "c"]),
        ("1", ["b"]),
        ("2,0", ["c", "a"]),
        ("GPU-b", ["b"]),
        ("gpu-C,0", ["c", "a"]),
        ("", []),
        ("-1", []),
        ("0,7,1", ["a"]),  # CUDA stops at the first entry that names nothing
        ("0,0", []),
        ("GPU-", []),  # ambiguous
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(visible: str | None, seen: list[str]):
    nvml = FakeNvml(card("a"), card("b"), card("c"))
    assert names(nvml, visible) == seen


def test_indices_count_what_is_visible():
    found = probe(around(FakeNvml(card("a"), card("b"), card("c")), "2,1"))
    assert [gpu.index for gpu in found.gpus] == [0, 1]
    assert any("leaves 2 of 3" in note for note in found.notes)


def test_a_cut_gpu_shows_one_slice():
    slices = [card("s0", 9, uuid="MIG-aa"), card("s1", 4, uuid="MIG-bb")]
    nvml = FakeNvml(card("whole", capability=(9, 0), slices=slices))
    first = probe(around(nvml))
    assert [(gpu.name, gpu.mig, gpu.compute_capability) for gpu in first.gpus] == [("s0", True, (9, 0))]
    assert any("2 MIG slices" in note for note in first.notes)
    assert names(nvml, "MIG-bb") == ["s1"]
    assert names(nvml, "MIG-bb,MIG-aa") == ["s1"]
    assert names(nvml, "0") == ["s0"]


def test_whole_gpus_come_before_slices():
    nvml = FakeNvml(card("cut", slices=[card("s0", uuid="MIG-aa")]), card("whole"))
    assert names(nvml, None) == ["whole"]


def test_a_lost_gpu_does_not_hide_the_others():
    found = probe(around(FakeNvml(card("a"), None, card("c"))))
    assert [gpu.name for gpu in found.gpus] == ["a", "c"]
    assert any("GPU 1 cannot be asked" in note for note in found.notes)


def test_a_gpu_without_memory_of_its_own_has_the_machines():
    found = probe(around(FakeNvml(card("spark", None))))
    assert found.gpus[0].free_bytes == found.free_ram
    assert any("shares the machine's memory" in note for note in found.notes)


def test_no_driver_is_no_news_and_a_broken_one_is():
    assert probe(around()).notes == ()
    assert "cannot be asked" in probe(around(FakeNvml(missing=NvmlError))).notes[0]

    def absent() -> Any:
        raise ImportError("No module named 'pynvml'")

    assert "pynvml" in probe(around(nvml=None).__class__(nvml=absent, system="linux", environment={})).notes[0]


# AMD and Intel


def put(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def amd_tree(root: Path, *targets: int, kfd: bool = True) -> Path:
    """A CPU node, then GPUs with 24 GiB of which 4 are used."""
    if kfd:
        put(root / "sys/class/kfd/kfd/topology/nodes/0/properties", "simd_count 0\ngfx_target_version 0")
    for i, target in enumerate(targets):
        put(root / f"sys/class/drm/card{i}/device/vendor", "0x1002")
        device = root / f"sys/class/drm/renderD{128 + i}/device"
        put(device / "mem_info_vram_total", 24 * GIB)
        put(device / "mem_info_vram_used", 4 * GIB)
        put(device / "product_name", f"Radeon {i}")
        if kfd:
            node = root / f"sys/class/kfd/kfd/topology/nodes/{i + 1}/properties"
            put(node, f"gfx_target_version {target}\ndrm_render_minor {128 + i}")
    return root


def test_amd_gpus_are_those_of_the_kernels_compute_driver(tmp_path: Path):
    found = probe(around(root=amd_tree(tmp_path, 110000, 100300, 90402)))
    assert [(gpu.name, gpu.free_bytes, gpu.bf16) for gpu in found.gpus] == [
        ("Radeon 0", 20 * GIB, True),
        ("Radeon 1", 20 * GIB, False),
        ("Radeon 2", 20 * GIB, True),
    ]
    assert found.kind == "cuda" and found.gpus[0].vendor == "amd"


def test_hip_visible_devices_leaves_what_it_names(tmp_path: Path):
    root = amd_tree(tmp_path, 110000, 110000)
    found = probe(around(root=root, environment={"HIP_VISIBLE_DEVICES": "1"}))
    assert [(gpu.index, gpu.name) for gpu in found.gpus] == [(0, "Radeon 1")]
    assert probe(around(root=root, environment={"HIP_VISIBLE_DEVICES": ""})).gpus == ()


def test_an_amd_gpu_without_its_compute_driver_is_a_note(tmp_path: Path):
    found = probe(around(root=amd_tree(tmp_path, 110000, kfd=False)))
    assert found.gpus == () and "kfd" in found.notes[0]


def test_intel_cards_with_memory_of_their_own_are_found(tmp_path: Path):
    for i in range(3):
        put(tmp_path / f"sys/class/drm/card{i}/device/vendor", "0x8086")  # card0: graphics inside the processor
    put(tmp_path / "sys/class/drm/card1/lmem_total_bytes", 16 * GIB)
    put(tmp_path / "sys/class/drm/card1/lmem_avail_bytes", 15 * GIB)
    put(tmp_path / "sys/class/drm/card2/device/tile0/physical_vram_size_bytes", 12 * GIB)
    found = probe(around(root=tmp_path))
    assert [(gpu.vendor, gpu.index, gpu.free_bytes) for gpu in found.gpus] == [
        ("intel", 0, 15 * GIB),
        ("intel", 1, 12 * GIB),
    ]
    assert any("all of it is assumed" in note for note in found.notes)


# Apple and the processor

VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                              500000.
Pages active:                            100000.
Pages inactive:                          200000.
Pages speculative:                         1000.
"""


def mac(release: str, processor: str = "arm64", broken: str = "") -> Surroundings:
    answers = {
        "hw.memsize": str(32 * GIB),
        "machdep.cpu.brand_string": "Apple M2 Max",
        "hw.optional.arm.FEAT_BF16": "1",
        "vm_stat": VM_STAT,
    }

    def run(command: Sequence[str]) -> str:
        if command[-1] == broken:
            raise subprocess.CalledProcessError(1, command)
        return answers[command[-1]]

    return around(system="darwin", processor=processor, release=release, run=run)


def test_apples_gpu_shares_the_memory():
    found = probe(mac("14.5"))
    gpu = found.gpus[0]
    assert (gpu.name, gpu.vendor, gpu.bf16, found.kind) == ("Apple M2 Max", "apple", True, "mps")
    assert found.free_ram == 701_000 * 16384 and gpu.free_bytes == found.free_ram
    assert gpu.total_bytes < 32 * GIB and found.cpu_bf16


def test_macos_before_14_has_no_bfloat16_on_the_gpu():
    assert not probe(mac("13.6")).gpus[0].bf16


def test_a_mac_with_an_intel_processor_has_no_gpu_for_us():
    assert probe(mac("14.5", processor="x86_64")).gpus == ()


def test_a_tool_that_fails_is_a_note():
    found = probe(mac("14.5", broken="vm_stat"))
    assert found.free_ram is None and found.gpus == () and "memory is not known" in found.notes[0]
    assert probe(mac("14.5", broken="hw.optional.arm.FEAT_BF16")).cpu_bf16 is False


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor: 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu amx_tile amx_bf16\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("", False),
    ],
)
def test_bfloat16_of_the_processor_is_read_from_its_flags(tmp_path: Path, cpuinfo: str, expected: bool):
    put(tmp_path / "proc/cpuinfo", cpuinfo)
    assert probe(around(root=tmp_path)).cpu_bf16 is expected


def test_this_machine_is_probed_without_torch():
    code = (
        "import sys; from vision.variants.probe import probe; h = probe(); "
        "assert h.cores >= 1; print([m for m in ('torch', 'numpy', 'transformers', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
