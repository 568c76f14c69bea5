"""What doctor says of described computers: each thing that is off, with the next step."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from mcp_server import __version__, doctor_clients, doctor_machine, doctor_model
from mcp_server.finding import Finding
from mcp_server.setup_facts import Facts
from tests.mcp_server.simulated import NANO, Computer, Torch, named, server_entry
from vision.config import Settings
from vision.engine.local import local_engine

OK = Computer(gpus=named("RTX 4090"), torch=Torch("2.15.0", cuda="13.2"), local=True)


def machine(facts: Facts, settings: Settings | None = None) -> list[Finding]:
    return doctor_machine.findings(facts, settings or Settings(use_working_directory=True))


def model(facts: Facts, settings: Settings | None = None) -> list[Finding]:
    engine = local_engine(settings or Settings(), facts.place.environment)
    return anyio.run(doctor_model.findings, facts, engine)


def about(findings: list[Finding], text: str) -> Finding:
    """The one finding that speaks of it."""
    (found,) = [finding for finding in findings if text in finding.what]
    return found


def none_about(findings: list[Finding], text: str) -> bool:
    return not any(text in finding.what for finding in findings)


# The model's packages and hardware


def test_a_torch_that_fits_is_no_matter(tmp_path: Path) -> None:
    assert none_about(model(OK.facts(tmp_path)), "cannot use")


@pytest.mark.parametrize(
    ("computer", "what"),
    [
        (Computer(gpus=named("RTX 4090"), torch=Torch("2.15.0+cpu"), local=True), "for the CPU cannot use RTX 4090"),
        (
            Computer(gpus=named("RTX 3090", driver_cuda=(12, 2)), torch=Torch("2.15.0", cuda="13.2"), local=True),
            "the driver runs CUDA 12.2 at the most",
        ),
        (Computer(gpus=named("RX 7900 XTX"), torch=Torch("2.15.0", cuda="13.2"), local=True), "cannot use RX 7900"),
        (Computer(torch=Torch("2.4.0"), local=True), "torch 2.4.0 is not one of 2.9 or later"),
    ],
)
def test_a_torch_that_does_not_fit_is_broken_and_setup_mends_it(tmp_path: Path, computer: Computer, what: str) -> None:
    found = about(model(computer.facts(tmp_path)), what)
    assert found.state == "broken" and "internvl-mcp setup" in found.advice


def test_on_the_cpu_by_choice_any_torch_does(tmp_path: Path) -> None:
    facts = Computer(gpus=named("RTX 4090"), torch=Torch("2.15.0+cpu"), local=True).facts(tmp_path)
    assert none_about(model(facts, Settings(device="cpu")), "cannot use")


def test_missing_packages_are_absent_and_setup_brings_them(tmp_path: Path) -> None:
    found = about(model(Computer().facts(tmp_path)), "the extra [local] is not installed")
    assert found.state == "absent" and "internvl-mcp setup" in found.advice


def test_a_driver_that_is_too_old_is_told_with_the_gpu(tmp_path: Path) -> None:
    facts = Computer(gpus=named("RTX 3090", driver_cuda=(11, 4))).facts(tmp_path)
    found = about(model(facts), "for the model: RTX 3090")
    assert found.state == "absent" and "update NVIDIA's driver" in found.advice


def test_weights_half_fetched_are_told_with_the_command_that_goes_on(tmp_path: Path) -> None:
    facts = Computer(half=("InternVL3.5-8B",), weights=("InternVL3.5-2B",)).facts(tmp_path)
    found = about(model(facts), "is incomplete")
    assert "InternVL3_5-8B" in found.what and "internvl-mcp pull OpenGVLab/InternVL3_5-8B-HF" in found.advice


def test_no_weights_are_looked_for_where_a_folder_is_named(tmp_path: Path) -> None:
    facts = Computer(half=("InternVL3.5-8B",)).facts(tmp_path)
    assert none_about(model(facts, Settings(variant=str(NANO))), "is incomplete")


# The machine


def test_a_nearly_full_disk_is_told_for_what_goes_there(tmp_path: Path) -> None:
    found = about(machine(Computer(free_gb=0.4).facts(tmp_path)), "free for weights")
    assert found.state == "absent" and found.what.startswith("400.0 MB") and "HF_HOME" in found.advice
    assert none_about(machine(Computer(free_gb=50).facts(tmp_path / "other")), "are free for")


def test_a_state_folder_that_cannot_be_written_is_broken(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(state_folder=tmp_path / "file")
    found = about(machine(Computer().facts(tmp_path / "c"), settings), "jobs and conversations cannot be kept")
    assert found.state == "broken" and "state_folder" in found.advice


def test_weights_that_cannot_be_looked_for_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for number, cache in enumerate((tmp_path / "file" / "hub", tmp_path / ("x" * 300))):
        facts = Computer(environment={"HF_HUB_CACHE": str(cache)}).facts(tmp_path / str(number))
        found = [finding for finding in machine(facts) if "cannot be looked for" in finding.what]
        assert [(finding.state, "HF_HOME" in finding.advice) for finding in found] == ([("absent", True)], [])[number]


def test_a_proxy_is_told_without_its_password(tmp_path: Path) -> None:
    facts = Computer(environment={"HTTPS_PROXY": "http://me:secret@proxy.example:3128"}).facts(tmp_path)
    found = about(machine(facts), "HTTPS_PROXY names the proxy proxy.example:3128")
    assert found.state == "ok" and "secret" not in found.what + found.advice
    settings = Settings(endpoints=("http://gpu:8000/v1",))
    assert "NO_PROXY" in about(machine(facts, settings), "names the proxy").advice


@pytest.mark.parametrize("address", ["proxy.example:3128", "http://", "http://[::1"])
def test_a_proxy_that_is_no_address_is_broken(tmp_path: Path, address: str) -> None:
    facts = Computer(environment={"https_proxy": address}).facts(tmp_path)
    assert about(machine(facts), "https_proxy is no address").state == "broken"


def test_an_environment_that_does_not_last_is_told(tmp_path: Path) -> None:
    found = machine(Computer(kind="uvx").facts(tmp_path))[0]
    assert "does not last" in found.what and "uv tool install internvl-mcp" in found.advice


# Clients


def clients(computer: Computer, folder: Path, command: str | None = None) -> list[Finding]:
    facts = computer.facts(folder)
    if command is not None:
        entry = {"mcpServers": {"internvl": {"type": "stdio", "command": command, "args": []}}}
        (facts.place.home / ".claude.json").write_text(json.dumps(entry))
    return doctor_clients.findings(facts.place)


def program(folder: Path, text: str) -> str:
    """A console script of another installation."""
    path = folder / "elsewhere" / "internvl-mcp"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_no_client_and_clients_without_the_server_are_absent(tmp_path: Path) -> None:
    assert "no client was found" in clients(Computer(clients=()), tmp_path / "none")[0].what
    found = clients(Computer(clients=("claude-code", "codex")), tmp_path / "two")
    assert [finding.state for finding in found] == ["absent", "absent"]
    assert found[1].advice == "To add it: internvl-mcp install --target codex"


def test_an_entry_that_starts_this_server_is_ok(tmp_path: Path) -> None:
    facts = Computer().facts(tmp_path)
    (facts.place.home / ".claude.json").write_text(server_entry(facts))
    (found,) = doctor_clients.findings(facts.place)
    assert found.state == "ok" and found.what.startswith("Claude Code starts this server by ")


def test_an_entry_that_is_switched_off_is_told(tmp_path: Path) -> None:
    facts = Computer(clients=("codex",)).facts(tmp_path)
    (facts.place.home / ".codex/config.toml").write_text('[mcp_servers.internvl]\ncommand = "/x"\nenabled = false\n')
    (found,) = doctor_clients.findings(facts.place)
    assert found.state == "absent" and "switched off: enabled = false" in found.what


def test_a_list_that_keeps_the_entry_out_is_told(tmp_path: Path) -> None:
    facts = Computer(clients=("gemini",)).facts(tmp_path)
    values = {"mcpServers": {"internvl": {"command": "/x"}}, "mcp": {"excluded": ["internvl"]}}
    (facts.place.home / ".gemini/settings.json").write_text(json.dumps(values))
    (found,) = doctor_clients.findings(facts.place)
    assert found.state == "absent" and "mcp.excluded" in found.what


def test_an_entry_whose_program_is_gone_is_broken(tmp_path: Path) -> None:
    (found,) = clients(Computer(), tmp_path, "/gone/bin/internvl-mcp")
    assert found.state == "broken" and "/gone/bin/internvl-mcp, which is not there" in found.what
    assert found.advice == "To mend it: internvl-mcp install --target claude-code"


@pytest.mark.parametrize(
    ("script", "state", "said"),
    [
        ("echo internvl-mcp 0.0.3", "absent", "version 0.0.3"),
        (f"echo internvl-mcp {__version__}", "ok", "another copy of this version"),
        ("exit 1", "broken", "which does not run"),
    ],
)
def test_an_entry_that_starts_another_installation_is_told_by_its_version(
    tmp_path: Path, script: str, state: str, said: str
) -> None:
    (found,) = clients(Computer(), tmp_path / "c", program(tmp_path, script))
    assert found.state == state and said in found.what


def test_a_file_that_cannot_be_read_is_broken(tmp_path: Path) -> None:
    (found,) = clients(Computer(broken=("claude-code",)), tmp_path)
    assert found.state == "broken" and "Mend the file" in found.advice
