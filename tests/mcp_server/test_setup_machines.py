"""`setup --dry-run` on described computers: what it recommends, commands and sizes, and that it only looks."""

from __future__ import annotations

import argparse
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from mcp_server import setup_command
from mcp_server.setup_run import setup
from mcp_server.setup_work import Hands
from tests.mcp_server.simulated import GIB, Computer, Torch, named, snapshot
from vision.config import Settings
from vision.variants.hardware import Gpu

CPU_TORCH = "--torch-backend cpu "
AUTO = "--torch-backend auto "
INTO_VENV = "path/uv pip install --python FOLDER/python/bin/python "
NO_MODEL = "  none: "
INSTALLED = "  packages: installed"
ALREADY = "  weights: here and whole"


@dataclass(frozen=True)
class Case:
    """`model`: the line that names it; `says`, `never`: texts that are shown, or not, with FOLDER for where the
    computer is. `code`: the exit status.
    """

    computer: Computer
    model: str
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    code: int = 0
    flags: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings)


def wheel(sizes: str) -> str:
    """How the packages' sizes are told."""
    return f"and the extra [local], {sizes} on disk"


CUDA = wheel("about 3.1 GB to fetch, 6.8 GB")
MAC = {"system": "darwin", "processor": "arm64"}
RTX_4090, RTX_3090 = named("RTX 4090"), named("RTX 3090")
# Shown by ROCm's driver, and the first of its maker.
PROCESSORS_OWN = Gpu(index=0, name="Radeon 780M", vendor="amd", total_bytes=2 * GIB, free_bytes=2 * GIB)
CASES = {
    # Without a GPU: a model where its answers come soon, the embedded engine elsewhere.
    "no GPU, little memory": Case(
        Computer(ram_gb=4),
        NO_MODEL + "InternVL3-1B needs about 4.8 GB of memory, and 3.1 GB may be used here",
        ("The embedded engine reads documents",),
        ("pip install", "to fetch"),
    ),
    "no GPU, four slow cores": Case(
        Computer(cores=4),
        NO_MODEL + "no GPU that a model can use: InternVL3.5-1B would take about 22 s a picture on this CPU",
        ("internvl-mcp setup --variant InternVL3.5-1B",),
        ("pip install", "to fetch"),
    ),
    "no GPU, four slow cores, a variant that is named": Case(
        Computer(cores=4),
        "InternVL3.5-1B (float32) on cpu",
        (INTO_VENV + CPU_TORCH, wheel("about 290.0 MB to fetch, 1.2 GB"), "about 2.1 GB to fetch into"),
        settings=Settings(variant="3.5-1B"),
    ),
    "no GPU, many cores with bfloat16": Case(
        Computer(cores=16, cpu_bf16=True, ram_gb=64),
        "InternVL3.5-1B (bfloat16) on cpu",
        (INTO_VENV + CPU_TORCH, wheel("about 290.0 MB to fetch, 1.2 GB")),
        ("3.1 GB to fetch",),
    ),
    # One GPU.
    "4 GB": Case(Computer(gpus=named("RTX 3050 4GB")), "InternVL3-2B (nf4) on cuda:0", (INTO_VENV + AUTO, CUDA)),
    "6 GB": Case(Computer(gpus=named("RTX 2060")), "InternVL3.5-2B (int8) on cuda:0", ("about 4.7 GB to fetch into",)),
    "8 GB": Case(Computer(gpus=named("RTX 4060")), "InternVL3.5-4B (nf4) on cuda:0", ("about 9.5 GB to fetch into",)),
    "12 GB": Case(Computer(gpus=named("RTX 3060")), "InternVL3.5-4B (bfloat16) on cuda:0"),
    "16 GB": Case(Computer(gpus=named("RTX 4080")), "InternVL3.5-8B (int8) on cuda:0"),
    "24 GB": Case(
        Computer(gpus=RTX_4090),
        "InternVL3.5-8B (bfloat16) on cuda:0, licence apache-2.0",
        (
            "memory: 22.3 GB of the 22.7 GB",
            "about 17.1 GB to fetch into",
            "is the best of the catalogue that fits",
            CUDA,
        ),
    ),
    "48 GB": Case(Computer(gpus=named("RTX A6000")), "InternVL3.5-14B (bfloat16) on cuda:0"),
    "80 GB": Case(Computer(gpus=named("H100")), "InternVL3.5-38B (int8) on cuda:0", ("about 76.8 GB to fetch into",)),
    # Several.
    "two equal": Case(
        Computer(gpus=named("RTX 3090", "RTX 3090")),
        "InternVL3.5-14B (bfloat16) on cuda:0, cuda:1",
        ("2 devices hold",),
    ),
    "two unequal": Case(Computer(gpus=named("RTX 4090", "RTX 3060")), "InternVL3.5-14B (bfloat16) on cuda:0, cuda:1"),
    "two, one of them in use": Case(
        Computer(gpus=named("RTX 4090", "RTX 4090", free=(3, 20))), "InternVL3.5-8B (bfloat16) on cuda:1, cuda:0"
    ),
    "one, nearly full": Case(
        Computer(gpus=named("RTX 4090", free=(0.5,)), cores=4), NO_MODEL + "no GPU that a model can use"
    ),
    "one, filled by our own model, which is up": Case(
        Computer(
            gpus=named("RTX 4090", free=(2,)),
            up=True,
            torch=Torch("2.15.0", cuda="13.2"),
            local=True,
            weights=("InternVL3.5-8B",),
        ),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        (INSTALLED, ALREADY),
    ),
    # What torch's builds are about.
    "without bfloat16": Case(
        Computer(gpus=named("Quadro RTX 6000")), "InternVL3.5-8B (float16) on cuda:0", ("no bfloat16", AUTO)
    ),
    "older than CUDA 13's builds": Case(
        Computer(gpus=named("V100 32GB")),
        "InternVL3.5-8B (float16) on cuda:0",
        ("torch for CUDA 12.6", "--torch-backend cu126 "),
        (AUTO,),
    ),
    "a driver too old for any torch": Case(
        Computer(gpus=named("RTX 3090", driver_cuda=(11, 4)), cores=4),
        NO_MODEL + "no GPU that a model can use",
        ("RTX 3090 is not used: its driver runs CUDA 11.4 at the most", "update NVIDIA's driver"),
        ("pip install",),
    ),
    "a driver of CUDA 12, without uv": Case(
        Computer(gpus=named("RTX 3090", driver_cuda=(12, 4)), programs=()),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        (
            "-m pip install 'torch>=2.9,<3' --index-url https://download.pytorch.org/whl/cu126",
            "-m pip install 'internvl-mcp[local]==0.1.0'",
        ),
    ),
    "Blackwell with a driver of CUDA 12, without uv": Case(
        Computer(gpus=named("RTX 5090", driver_cuda=(12, 8)), programs=()),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("--index-url https://download.pytorch.org/whl/cu128",),
    ),
    "no GPU, without uv": Case(
        Computer(cores=16, cpu_bf16=True, programs=()),
        "InternVL3.5-1B (bfloat16) on cpu",
        ("'torch>=2.9,<3' --index-url https://download.pytorch.org/whl/cpu",),
    ),
    "ROCm": Case(
        Computer(gpus=named("RX 7900 XTX")),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        (INTO_VENV + AUTO, "torch for AMD GPUs (ROCm)"),
    ),
    "ROCm, without uv": Case(
        Computer(gpus=named("RX 7900 XTX"), programs=()),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("Which build this hardware needs, uv finds out: install uv",),
        code=1,
    ),
    "NVIDIA beside the processor's own GPU": Case(
        Computer(gpus=(PROCESSORS_OWN, *named("RTX 4070"))),
        "InternVL3.5-4B (bfloat16) on cuda:0",
        ("torch for CUDA 13",),
        ("ROCm",),
    ),
    "Intel Arc": Case(
        Computer(gpus=named("Arc A770")),
        "InternVL3.5-4B (bfloat16) on xpu:0",
        (INTO_VENV + AUTO, "torch for Intel GPUs (XPU)"),
    ),
    "torch for the CPU beside a GPU": Case(
        Computer(gpus=RTX_4090, torch=Torch("2.15.0+cpu"), local=True),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("torch 2.15.0+cpu for the CPU cannot use RTX 4090", AUTO + "--reinstall-package torch ", CUDA),
    ),
    "torch for a CUDA that the driver does not run": Case(
        Computer(gpus=named("RTX 3090", driver_cuda=(12, 4)), torch=Torch("2.15.0", cuda="13.2"), local=True),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("torch 2.15.0 for CUDA 13.2 cannot use RTX 3090: the driver runs CUDA 12.4 at the most",),
    ),
    "torch for another maker's GPUs": Case(
        Computer(gpus=named("RX 7900 XTX"), torch=Torch("2.15.0", cuda="13.2"), local=True),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("cannot use RX 7900 XTX", "--reinstall-package torch "),
    ),
    "the right torch, the rest missing": Case(
        Computer(gpus=RTX_4090, torch=Torch("2.15.0", cuda="13.2")),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        (wheel("about 90.0 MB to fetch, 300.0 MB"), "not installed: transformers, accelerate, safetensors"),
        ("--reinstall-package",),
    ),
    "all packages there": Case(
        Computer(gpus=RTX_4090, torch=Torch("2.15.0", cuda="13.2"), local=True),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        (INSTALLED, "about 17.1 GB to fetch into"),
        ("pip install",),
    ),
    "everything there": Case(
        Computer(gpus=RTX_4090, torch=Torch("2.15.0", cuda="13.2"), local=True, weights=("InternVL3.5-8B",)),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        (INSTALLED, ALREADY),
        ("to fetch",),
    ),
    "weights half fetched": Case(
        Computer(gpus=RTX_4090, half=("InternVL3.5-8B",)),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("5.0 kB of 17.1 GB are here, about 17.1 GB to fetch",),
    ),
    # Other systems.
    "Apple Silicon, 8 GB": Case(
        Computer(gpus=named("M1 8GB"), ram_gb=8, **MAC),
        "InternVL3.5-1B (bfloat16) on mps",
        (INTO_VENV + AUTO, wheel("about 190.0 MB to fetch, 800.0 MB")),
    ),
    "Apple Silicon, 16 GB": Case(Computer(gpus=named("M2 16GB"), ram_gb=16, **MAC), "InternVL3.5-2B (bfloat16) on mps"),
    "Apple Silicon, 64 GB, without uv": Case(
        Computer(gpus=named("M3 Max 64GB"), ram_gb=64, programs=(), **MAC),
        "InternVL3.5-14B (bfloat16) on mps",
        ("-m pip install 'internvl-mcp[local]==0.1.0'",),
        ("--index-url",),
    ),
    "Intel Mac": Case(
        Computer(system="darwin", processor="x86_64", cores=16),
        NO_MODEL + "torch has had no build for Intel Macs since 2.3",
        ("--endpoint",),
        ("pip install",),
    ),
    "WSL with a GPU": Case(
        Computer(gpus=named("RTX 4070"), marks=("proc/sys/kernel/osrelease=6.6-microsoft-standard-WSL2",)),
        "InternVL3.5-4B (bfloat16) on cuda:0",
        never=("WSL shows no GPU",),
    ),
    "WSL without a GPU": Case(
        Computer(cores=4, marks=("proc/sys/kernel/osrelease=6.6-microsoft-standard-WSL2",)),
        NO_MODEL,
        ("WSL shows no GPU; an NVIDIA GPU of this computer needs NVIDIA's driver on Windows",),
    ),
    "Windows with a GPU, without uv": Case(
        Computer(gpus=named("RTX 4070"), system="windows", processor="AMD64", programs=(), clients=("cursor",)),
        "InternVL3.5-4B (bfloat16) on cuda:0",
        (
            "python/Scripts/python.exe -m pip install 'torch>=2.9,<3' --index-url https://download.pytorch.org/whl/cu130",
        ),
    ),
    "Windows on Arm": Case(
        Computer(system="windows", processor="ARM64", cores=16, clients=()),
        NO_MODEL + "torch has no build for Windows on ARM64",
    ),
    "Alpine": Case(
        Computer(cores=16, cpu_bf16=True, marks=("etc/alpine-release",)), NO_MODEL + "torch has no build for musl"
    ),
    "a container with a GPU": Case(
        Computer(gpus=named("H100"), marks=(".dockerenv",), clients=(), kind="system"),
        "InternVL3.5-38B (int8) on cuda:0",
        (
            "a container: what is fetched lasts only where its folders lie on a volume",
            "none was found on this computer",
        ),
    ),
    # Disks and networks.
    "no room": Case(
        Computer(gpus=RTX_4090, free_gb=12),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        (
            "disk: 23.9 GB more are needed",
            "and 12.0 GB are free",
            "take a smaller one: --variant InternVL3-2B (4.2 GB)",
        ),
        code=1,
    ),
    "room for the weights alone": Case(
        Computer(gpus=RTX_4090, free_gb=20, torch=Torch("2.15.0", cuda="13.2"), local=True),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        never=("disk:",),
    ),
    "offline": Case(
        Computer(gpus=RTX_4090, environment={"HF_HUB_OFFLINE": "1"}),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("HF_HUB_OFFLINE is set", "copy the folder models--OpenGVLab--InternVL3_5-8B-HF", "Claude Code: "),
        code=1,
    ),
    "no folder for weights": Case(
        Computer(gpus=RTX_4090, environment={"HF_HUB_CACHE": "/dev/null/hub"}),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("weights cannot be kept in /dev/null/hub", "Set HF_HOME", "Claude Code: "),
        code=1,
    ),
    "offline with the weights there": Case(
        Computer(
            gpus=RTX_4090,
            environment={"HF_HUB_OFFLINE": "1"},
            torch=Torch("2.15.0", cuda="13.2"),
            local=True,
            weights=("InternVL3.5-8B",),
        ),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        (ALREADY,),
        ("HF_HUB_OFFLINE",),
    ),
    # Python environments.
    "uv tool": Case(
        Computer(gpus=RTX_4090, kind="uv tool"),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("path/uv tool install --torch-backend auto 'internvl-mcp[local]==0.1.0'",),
        ("pip install",),
    ),
    "uvx": Case(
        Computer(gpus=RTX_4090, kind="uvx", programs=("uv", "uvx")),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("which does not last", "path/uv tool install --torch-backend auto 'internvl-mcp[local]==0.1.0'", "path/uvx"),
    ),
    "pipx": Case(
        Computer(gpus=RTX_4090, kind="pipx"),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("pipx/venvs/internvl-mcp/bin/python --torch-backend auto ", "`pipx reinstall` leaves these out"),
    ),
    "npm": Case(
        Computer(gpus=RTX_4090, kind="npm"),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("env-0.1.0/bin/python --torch-backend auto ", "run setup again after an update"),
    ),
    "the system's own Python": Case(
        Computer(gpus=RTX_4090, kind="managed", programs=()),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("Run: uv tool install --torch-backend auto 'internvl-mcp[local]==0.1.0' && internvl-mcp setup",),
        code=1,
    ),
    "neither uv nor pip": Case(
        Computer(gpus=RTX_4090, programs=(), pip=False),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("This environment has no pip: install uv",),
        code=1,
    ),
    # Clients.
    "no client": Case(Computer(clients=()), "InternVL3.5-1B", ("none was found on this computer",), ("Claude Code",)),
    "several clients": Case(
        Computer(clients=("claude-code", "codex", "gemini")),
        "InternVL3.5-1B",
        ("Claude Code: FOLDER/home/.claude.json", "Codex: FOLDER/home/.codex/config.toml", "[mcp_servers.internvl]"),
    ),
    "one of several clients is broken": Case(
        Computer(clients=("claude-code", "cursor"), broken=("cursor",)),
        "InternVL3.5-1B",
        ("Claude Code: FOLDER/home/.claude.json", "Cursor: cannot be changed", "Mend the file"),
        code=1,
    ),
    "a client that is named and not there": Case(
        Computer(clients=()), "InternVL3.5-1B", ("Codex: FOLDER/home/.codex/config.toml",), flags=("--target", "codex")
    ),
    "a named variant that does not fit": Case(
        Computer(gpus=named("RTX 4060")),
        NO_MODEL + "InternVL3.5-38B needs about",
        ("  model: InternVL3.5-38B needs about", "Claude Code: "),
        ("pip install",),
        code=1,
        settings=Settings(variant="3.5-38B"),
    ),
    "uvx without uv on the PATH": Case(
        Computer(gpus=RTX_4090, kind="uvx", programs=("uvx",), environment={"UV": "/opt/uv/uv"}),
        "InternVL3.5-8B (bfloat16) on cuda:0",
        ("$ /opt/uv/uv tool install --torch-backend auto 'internvl-mcp[local]==0.1.0'",),
    ),
    # What is not wanted.
    "no model wanted": Case(
        Computer(gpus=RTX_4090), NO_MODEL + "--no-model was given", never=("to fetch",), flags=("--no-model",)
    ),
    "no clients wanted": Case(
        Computer(gpus=RTX_4090), "InternVL3.5-8B", never=("Claude Code",), flags=("--no-clients",)
    ),
    "a model that is served elsewhere": Case(
        Computer(gpus=RTX_4090),
        NO_MODEL + "the settings name a model that somebody else serves",
        settings=Settings(endpoints=("http://gpu:8000/v1",)),
    ),
}


def untouched(*_: object) -> NoReturn:
    raise AssertionError("a dry run touches nothing")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, untouched)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_dry_run_says_what_is_right_for_the_computer_and_changes_nothing(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = case.computer.facts(tmp_path)
    before = snapshot(tmp_path)
    parser = argparse.ArgumentParser()
    setup_command.add_arguments(parser)
    options = parser.parse_args(["--dry-run", *case.flags])
    code = setup(options, case.settings, facts, Hands(run=untouched, pull=untouched))
    assert snapshot(tmp_path) == before
    said = capsys.readouterr().out.replace(str(tmp_path), "FOLDER")
    assert case.model in said
    for text in case.says:
        assert text in said
    for text in case.never:
        assert text not in said
    assert code == case.code
    assert ("In the way" in said) == bool(code)
