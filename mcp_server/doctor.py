"""`internvl-mcp doctor`: tries what the server needs on this machine and says what to do about the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from mcp_server import doctor_clients, doctor_machine, doctor_model, self_test
from mcp_server.finding import Finding
from mcp_server.setup_facts import Facts
from vision.config import Settings
from vision.errors import VisionError
from vision.service import VisionService

_MARKS = {"ok": "ok    ", "absent": "absent", "broken": "BROKEN"}


def examine(settings: Settings, facts: Facts | None = None) -> int:
    """Prints a line for each check; 1 when something that the server needs is broken."""
    broken = False
    for finding in anyio.run(_findings, settings, facts or Facts()):
        sys.stdout.write(f"{_MARKS[finding.state]}  {finding.what}\n")
        if finding.advice:
            sys.stdout.write(f"        {finding.advice}\n")
        broken = broken or finding.state == "broken"
    return 1 if broken else 0


async def _findings(settings: Settings, facts: Facts) -> list[Finding]:
    findings = doctor_machine.findings(facts, settings)
    with VisionService(settings, Path.cwd()) as service:
        try:
            findings.append(Finding("ok", f"text recognition: {await self_test.reads_a_picture(service)}"))
        except VisionError as e:
            findings.append(Finding("broken", f"text recognition: {e.message}", e.hint))
        findings += [doctor_machine.clipboard(), *await doctor_model.findings(facts, service.engine)]
    return [*findings, *doctor_clients.findings(facts.place)]
