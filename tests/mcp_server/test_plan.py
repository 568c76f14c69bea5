from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_server import plan_command, settings
from vision.serving.types import Launch, ServingPlan
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


def test_a_number_before_a_gpu_counts_it(capsys: pytest.CaptureFixture[str]):
    for written in ("2x RTX A6000", "2 x RTX A6000", "2xRTX A6000"):
        hardware, plan = as_json(capsys, "--gpu", written)
        assert [gpu.index for gpu in hardware.gpus] == [0, 1] and plan.variant == "InternVL3.5-38B"


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


# Plans for other servers


def test_a_servers_plan_shows_why_the_command_and_our_own_side(capsys: pytest.CaptureFixture[str]):
    code, out, err = planned(capsys, "--serve", "vllm", "--gpu", "8x H100", "--variant", "3.5-38B")
    assert (code, err) == (0, "")
    assert "2 GPUs a replica (tensor 2, pipeline 1), 4 replicas" in out
    assert "vllm serve OpenGVLab/InternVL3_5-38B-HF" in out and "--data-parallel-size 4" in out
    assert "tensor parallel 2 within a machine" in out and "data parallel: 4 replicas" in out
    assert out.splitlines()[-1].strip().startswith("internvl-mcp --engine remote --endpoint")
    assert max(map(len, out.splitlines())) < 170


def test_a_servers_plan_is_json_on_request(capsys: pytest.CaptureFixture[str]):
    code, out, _ = planned(capsys, "--serve", "vllm", "--gpu", "4x H100", "--nodes", "2", "--json")
    assert code == 0
    found = json.loads(out)
    assert len(Hardware.model_validate(found["hardware"]).gpus) == 4
    serving, launch = ServingPlan.model_validate(found["serving"]), Launch.model_validate(found["launch"])
    assert serving.variant == "InternVL3.5-241B-A28B" and serving.pipeline == 2
    assert [step.where for step in launch.steps] == ["on node 0", "on node 1"]


def test_settings_reach_a_servers_plan(capsys: pytest.CaptureFixture[str]):
    def serving(*flags: str) -> ServingPlan:
        code, out, err = planned(capsys, "--serve", "vllm", "--gpu", "H100", "--json", *flags)
        assert code == 0, err
        return ServingPlan.model_validate(json.loads(out)["serving"])

    assert serving("--policy", "speed").variant == "InternVL3.5-30B-A3B"
    assert serving("--memory-fraction", "0.5").memory_share == 0.49
    assert serving("--max-tiles", "6").max_tiles == 6
    assert serving("--variant", "InternVL3-38B", "--awq").quantisation == "awq"


@pytest.mark.parametrize("server", ["vllm", "lmdeploy", "llama.cpp"])
def test_our_own_side_is_a_command_that_this_server_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, server: str
):
    key = tmp_path / "key"
    key.write_text("one-of-a-kind", encoding="utf-8")
    key.chmod(0o600)
    _, out, _ = planned(capsys, "--serve", server, "--gpu", "4x H100", "--nodes", "2", "--json")
    client = json.loads(out)["launch"]["client"]
    flags = [re.sub(r"<address.*>", "gpu", part).replace("<key file>", str(key)) for part in client[1:]]
    parser = argparse.ArgumentParser()
    settings.add_flags(parser)
    found = settings.load(parser.parse_args(flags), {"XDG_CONFIG_HOME": str(NOWHERE)})
    assert found.engine == "remote" and len(found.endpoints) == client.count("--endpoint") >= 1
    assert "--endpoint-key-file" in client


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("vllm", "--gpu", "RTX 4090", "--variant", "3.5-241B-A28B"), 1, "22.7 GB may be used"),
        (("vllm", "--gpu", "M3 Max 64GB"), 1, "--serve llama.cpp"),
        (("vllm", "--gpu", "H100", "--nodes", "0"), 2, "--nodes 2"),
        (("vllm", "--gpu", "H100", "--quantisation", "int8"), 2, "--awq"),
        (("llama.cpp", "--gpu", "8x H100", "--variant", "3.5-241B-A28B"), 2, "mixtures"),
        (("lmdeploy", "--gpu", "H100", "--variant", "./checkpoint"), 2, "--variant 3.5-8B"),
    ],
)
def test_what_a_server_cannot_run_is_one_error(
    capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], code: int, said: str
):
    got, out, err = planned(capsys, "--serve", *flags)
    assert (got, out) == (code, "")
    assert err.startswith("internvl-mcp: ") and len(err.splitlines()) == 2
    assert said in err


def test_adding_the_flags_loads_no_catalogue():
    watched = "('vision.variants', 'vision.serving')"
    code = f"import sys, mcp_server.plan_command; print([m for m in sys.modules if m.startswith({watched})])"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root, check=True
    )
    assert done.stdout.strip() == "[]"
