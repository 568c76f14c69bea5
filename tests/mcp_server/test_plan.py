from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_server import plan_command, settings
from vision.variants.hardware import Hardware
from vision.variants.plan import Plan

NOWHERE = Path(__file__).parent / "no-settings-here"


def planned(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str, str]:
    parser = argparse.ArgumentParser()
    parser.set_defaults(config=None)
    settings.add_flags(parser)
    plan_command.add_arguments(parser)
    options = parser.parse_args(flags)
    code = plan_command.run(options, settings.load(options, {"XDG_CONFIG_HOME": str(NOWHERE)}))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def as_json(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[Hardware, Plan]:
    code, out, _ = planned(capsys, *flags, "--json")
    assert code == 0
    found = json.loads(out)
    return Hardware.model_validate(found["hardware"]), Plan.model_validate(found["plan"])


def test_the_table_shows_hardware_variant_bytes_reasons_and_the_next_step(capsys: pytest.CaptureFixture[str]):
    code, out, err = planned(capsys, "--gpu", "RTX 4090")
    assert (code, err) == (0, "")
    assert "cuda:0  RTX 4090: 25.8 GB" in out
    assert "InternVL3.5-8B, bfloat16, on cuda:0" in out
    assert "17.06" in out and "#####" in out and "KV cache" in out
    assert "Why" in out and "is the best of the catalogue that fits" in out
    assert "InternVL3.5-38B" in out and "may be used" in out
    assert "internvl-mcp pull InternVL3.5-8B" in out.splitlines()[-1]
    assert max(map(len, out.splitlines())) < 160


def test_gpus_are_taken_by_name_and_by_size(capsys: pytest.CaptureFixture[str]):
    hardware, plan = as_json(capsys, "--gpu", "RTX A6000", "--gpu", "RTX A6000")
    assert len(hardware.gpus) == 2 and plan.variant == "InternVL3.5-38B" and plan.devices == (0, 1)
    hardware, plan = as_json(capsys, "--gpu-memory", "24GB,24GB")
    assert [gpu.free_bytes for gpu in hardware.gpus] == [24 * 10**9] * 2
    assert plan.variant == "InternVL3.5-14B"


def test_without_gpus_this_machine_is_probed(capsys: pytest.CaptureFixture[str]):
    hardware, _ = as_json(capsys, "--device", "cpu")
    assert hardware.cores >= 1 and hardware.total_ram


def test_settings_and_use_change_the_plan(capsys: pytest.CaptureFixture[str]):
    gpu = ("--gpu", "RTX 4090")
    assert as_json(capsys, *gpu, "--policy", "speed")[1].variant == "InternVL3.5-4B"
    assert as_json(capsys, *gpu, "--use", "documents")[1].variant == "InternVL3-14B"
    assert as_json(capsys, *gpu, "--variant", "3.5-2b")[1].variant == "InternVL3.5-2B"
    assert as_json(capsys, *gpu, "--variant", "3.5-2b", "--quantisation", "nf4")[1].quantisation == "nf4"
    assert as_json(capsys, *gpu, "--memory-fraction", "0.5")[1].quantisation == "int8"
    assert as_json(capsys, *gpu, "--max-tiles", "40")[1].max_tiles == 40


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--gpu", "RTX 4099"), "RTX 4090"),
        (("--gpu-memory", "lots"), "24GB,24GB"),
        (("--variant", "InternVL3.6-8B"), "InternVL3.5-8B"),
        (("--gpu", "RTX 4090", "--device", "mps"), "device = auto"),
        (("--gpu", "H100", "--variant", "3.5-30B-A3B", "--quantisation", "nf4"), "quantisation = auto"),
    ],
)
def test_what_means_nothing_is_one_error(capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], said: str):
    code, out, err = planned(capsys, *flags)
    assert (code, out) == (2, "")
    assert err.startswith("internvl-mcp: ") and len(err.splitlines()) == 2 and said in err


def test_what_does_not_fit_ends_with_1(capsys: pytest.CaptureFixture[str]):
    code, out, err = planned(capsys, "--gpu-memory", "2GB", "--variant", "3.5-38B", "--device", "cuda")
    assert (code, out) == (1, "")
    assert "needs about 33.4 GB" in err and "memory_fraction" in err


def test_adding_the_flags_loads_no_catalogue():
    code = "import sys, mcp_server.plan_command; print([m for m in sys.modules if m.startswith('vision.variants')])"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root, check=True
    )
    assert done.stdout.strip() == "[]"
