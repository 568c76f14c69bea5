"""What a machine is found to be able to do, and what it says that it lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.scripted_model import PLAN
from tests.vision.engine.played import CPU, ONE_24_GB, played, put_weights, write_checkpoint
from tests.vision.variants.machines import machine
from tests.vision.weights.site import COMMIT
from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper, HostStatus
from vision.chat.record import Address, Record, StateFolder, write_record
from vision.config import Settings
from vision.engine.local import HostChats, local_engine
from vision.errors import EngineUnavailable, OutOfMemory, UnknownVariant, VisionError, WeightsUnusable


def test_weights_that_are_here_and_fit_are_chosen_with_their_commit(tmp_path: Path) -> None:
    (folder,) = put_weights(tmp_path, "InternVL3.5-8B")
    choice = played(tmp_path).choose(())
    assert choice.name == "internvl" and choice.plan is not None
    assert (choice.plan.variant, choice.plan.revision, choice.folder) == ("InternVL3.5-8B", COMMIT, folder)
    assert choice.reason and choice.advice == ""


def test_what_would_be_better_is_named_with_its_command(tmp_path: Path) -> None:
    put_weights(tmp_path, "InternVL3.5-1B")
    choice = played(tmp_path).choose(())
    assert choice.plan is not None and choice.plan.variant == "InternVL3.5-1B"
    assert "internvl-mcp pull InternVL3.5-8B" in choice.advice


def test_without_the_extra_the_command_that_installs_it_is_told(tmp_path: Path) -> None:
    put_weights(tmp_path, "InternVL3.5-8B")
    choice = played(tmp_path, missing=("torch",)).choose(())
    assert choice.name == "ocr" and "torch" in choice.reason
    assert "internvl-mcp setup" in choice.advice
    with pytest.raises(EngineUnavailable):
        played(tmp_path, missing=("torch",), engine="internvl").choose(())


def test_without_weights_the_best_that_fits_is_named(tmp_path: Path) -> None:
    choice = played(tmp_path).choose(())
    assert choice.name == "ocr" and "no InternVL weights" in choice.reason
    assert "internvl-mcp pull InternVL3.5-8B" in choice.advice
    assert "1B" in played(tmp_path, CPU).choose(()).advice


def test_too_little_memory_is_told(tmp_path: Path) -> None:
    put_weights(tmp_path, "InternVL3.5-8B")
    small = machine(2.0, ram=1)
    choice = played(tmp_path, small).choose(())
    assert choice.name == "ocr" and "needs about" in choice.reason
    with pytest.raises(OutOfMemory):
        played(tmp_path, small, engine="internvl").choose(())


def test_a_half_downloaded_checkpoint_says_what_is_missing(tmp_path: Path) -> None:
    (folder,) = put_weights(tmp_path, "InternVL3.5-8B")
    next(folder.glob("*00002-of*")).unlink()
    choice = played(tmp_path).choose(())
    assert choice.name == "ocr" and "incomplete" in choice.reason and "internvl-mcp pull" in choice.advice
    with pytest.raises(WeightsUnusable):
        played(tmp_path, engine="internvl").choose(())


def test_a_broken_checkpoint_does_not_keep_a_whole_one_from_being_used(tmp_path: Path) -> None:
    broken, _ = put_weights(tmp_path, "InternVL3.5-8B", "InternVL3.5-2B")
    next(broken.glob("*00002-of*")).unlink()
    choice = played(tmp_path).choose(())
    assert choice.plan is not None and choice.plan.variant == "InternVL3.5-2B"


def test_an_unknown_variant_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownVariant) as caught:
        played(tmp_path, engine="internvl", variant="InternVL3.5-9B").choose(())
    assert "Did you mean" in caught.value.hint
    assert "InternVL3.5-9B" in played(tmp_path, variant="InternVL3.5-9B").choose(()).reason


def test_a_folder_is_run_whatever_the_catalogue_says(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "mine")
    choice = played(tmp_path / "hub", variant=str(folder)).choose(())
    assert choice.plan is not None and choice.folder == folder
    assert (choice.plan.variant, choice.plan.device, choice.plan.quantisation) == ("mine", "cuda", "none")
    assert all(part.total <= part.available for part in choice.plan.bytes)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"text_config": {"model_type": "mamba"}}, "mine"), ({"quantization_config": {"quant_method": "awq"}}, "awq")],
)
def test_a_folder_of_another_kind_is_one_clear_error(tmp_path: Path, change: dict[str, object], named: str) -> None:
    folder = write_checkpoint(tmp_path / "mine")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WeightsUnusable, match=named) as caught:
        played(tmp_path / "hub", variant=str(folder), engine="internvl").choose(())
    assert caught.value.hint


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnusable, match="no folder"):
        played(tmp_path, variant=str(tmp_path / "nothing"), engine="internvl").choose(())


def spec_of(folder: Path, **plan: object) -> HostSpec:
    return HostSpec(plan=PLAN.model_copy(update=plan), folder=folder, idle_unload_s=1)


def test_a_model_that_runs_is_taken_before_a_plan_that_its_own_memory_makes_smaller(tmp_path: Path) -> None:
    (folder,) = put_weights(tmp_path, "InternVL3.5-8B")
    spec = spec_of(folder)
    choice = played(tmp_path, machine(3.0, ram=2)).choose((spec,))
    assert choice.plan == spec.plan and "running already" in choice.reason


@pytest.mark.parametrize(
    "settings", [{"variant": "InternVL3.5-2B"}, {"quantisation": "nf4"}, {"device": "cpu"}, {"variant": "/other"}]
)
def test_a_model_that_runs_otherwise_than_asked_for_is_not_taken(tmp_path: Path, settings: dict[str, str]) -> None:
    (folder,) = put_weights(tmp_path, "InternVL3.5-8B")
    choice = played(tmp_path, ONE_24_GB, **settings).choose((spec_of(folder),))
    assert "running already" not in choice.reason


def test_somebody_s_own_checkpoint_is_not_taken_without_being_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "mine")
    spec = spec_of(folder, variant="mine")
    assert played(tmp_path / "hub").choose((spec,)).name == "ocr"
    assert "running already" in played(tmp_path / "hub", variant=str(folder)).choose((spec,)).reason


def test_a_client_names_variants_and_never_folders(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "mine")
    for name in (str(folder), "../mine"):
        for ask in (played(tmp_path).plan, lambda name: played(tmp_path).choose((), name)):
            with pytest.raises(UnknownVariant):
                ask(name)


def test_a_plan_for_a_variant_needs_no_weights(tmp_path: Path) -> None:
    assert played(tmp_path).plan("3.5-2b").variant == "InternVL3.5-2B"
    assert played(tmp_path).plan(None).variant == "InternVL3.5-8B"


@pytest.mark.anyio
async def test_where_no_host_ever_ran_nothing_is_made(tmp_path: Path) -> None:
    engine = local_engine(Settings(), {"XDG_RUNTIME_DIR": str(tmp_path), "HF_HOME": str(tmp_path / "hf")})
    try:
        await engine.choice()
    except VisionError:
        pytest.fail("auto never raises")
    assert await engine.hosts() == ()
    assert not (tmp_path / "internvl-mcp").exists()


@pytest.mark.anyio
async def test_a_host_too_busy_to_answer_is_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(tmp_path)
    keeper = HostKeeper(StateFolder(tmp_path / "run", tmp_path / "logs"), "1")
    keeper.folder.prepare()
    record = Record(pid=1, key="k", version="1", variant="x", secret="s", address=Address(port=1), spec=spec)
    write_record(keeper.folder.record("k"), record)

    async def hangs() -> tuple[HostStatus, ...]:
        await anyio.sleep_forever()
        return ()

    monkeypatch.setattr(keeper, "status", hangs)
    monkeypatch.setattr("vision.engine.local._HEALTH_WITHIN_S", 0.05)
    (host,) = await HostChats(keeper).running()
    assert (host.spec, host.state) == (spec, "busy")


def test_choosing_loads_neither_torch_nor_a_hub_nor_an_http_client(tmp_path: Path) -> None:
    code = (
        "import anyio, sys\n"
        "import tools.catalogue, vision.service\n"
        "from vision.config import Settings\n"
        "from vision.engine.local import local_engine\n"
        f"engine = local_engine(Settings(), {{'XDG_RUNTIME_DIR': {str(tmp_path)!r}, 'HF_HOME': {str(tmp_path)!r}}})\n"
        "print(anyio.run(engine.choice).name)\n"
        "heavy = 'numpy PIL av pymupdf onnxruntime torch transformers huggingface_hub filelock httpx2 starlette'\n"
        "print([name for name in heavy.split() if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["ocr", "[]"]
