"""Where hosts are found, and what names them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vision.chat.host_spec import HostSpec
from vision.chat.record import Address, Record, StateFolder, host_key, read_record, state_folder, write_record
from vision.errors import AccessDenied, EngineUnavailable

Specs = Callable[..., HostSpec]


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "run", tmp_path / "log")
    folder.run.mkdir()
    folder.run.chmod(0o777)
    with pytest.raises(AccessDenied, match="others may write"):
        folder.prepare()


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AccessDenied, match="somebody else"):
        StateFolder(tmp_path / "run", tmp_path / "log").prepare()


def test_a_folder_that_cannot_be_made_is_engine_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineUnavailable, match="cannot be used"):
        StateFolder(tmp_path / "file" / "run", tmp_path / "log").prepare()


@pytest.mark.skipif(sys.platform == "win32", reason="XDG")
def test_the_folders_follow_the_xdg_rules(tmp_path: Path) -> None:
    found = state_folder({"XDG_RUNTIME_DIR": str(tmp_path), "XDG_STATE_HOME": "/state"})
    assert found == StateFolder(tmp_path / "internvl-mcp", Path("/state/internvl-mcp"))
    elsewhere = state_folder({"XDG_RUNTIME_DIR": str(tmp_path / "absent")})
    assert str(os.getuid()) in str(elsewhere.run)


def test_the_key_follows_what_must_be_equal_and_nothing_else(spec: Specs) -> None:
    base = spec()
    same = base.model_copy(
        update={"idle_unload_s": 1.0, "plan": base.plan.model_copy(update={"context": 1, "max_tiles": 1, "batch": 1})}
    )
    assert host_key(same) == host_key(base)
    changes = [
        {"variant": "x"},
        {"revision": "x"},
        {"quantisation": "nf4"},
        {"dtype": "float16"},
        {"device": "cuda"},
        {"devices": (1,)},
    ]
    specs = [base.model_copy(update={"plan": base.plan.model_copy(update=change)}) for change in changes]
    specs.append(base.model_copy(update={"folder": Path("/elsewhere")}))
    assert len({host_key(changed) for changed in [base, *specs]}) == 8


def test_a_record_of_a_later_version_is_read_without_what_is_unknown(tmp_path: Path, spec: Specs) -> None:
    record = Record(
        pid=1, key="k", version="9.0", variant="v", secret="s", address=Address(socket=tmp_path / "s"), spec=spec()
    )
    write_record(tmp_path / "record", record)
    assert read_record(tmp_path / "record") == record
    values = json.loads((tmp_path / "record").read_text())
    values["colour"] = "red"
    values["spec"]["plan"]["colour"] = "red"
    (tmp_path / "record").write_text(json.dumps(values))
    assert read_record(tmp_path / "record") == record.model_copy(update={"spec": None})
