"""The Gemini CLI extension: its manifest at the repository's root, where `gemini extensions install` looks for it."""

from __future__ import annotations

from pathlib import Path

from .source import ROOT, SKILL, as_json, told

CONTEXT = ROOT / "manifests" / "gemini" / "GEMINI.md"


def rendered() -> dict[Path, str]:
    """The manifest, and the skill as the context that the extension brings along."""
    it = told()
    manifest = {
        "name": it["name"],
        "version": it.version,
        "description": it["summary"],
        "mcpServers": {it["server"]: {**it.server(), "timeout": it["call_timeout_s"] * 1000}},
        "contextFileName": CONTEXT.relative_to(ROOT).as_posix(),
    }
    return {ROOT / "gemini-extension.json": as_json(manifest), CONTEXT: skill_text()}


def skill_text() -> str:
    """The skill without the head that tells a client when to load it. Raises ValueError where it has none."""
    _, _, text = SKILL.read_text(encoding="utf-8").split("---\n", 2)
    return text.lstrip("\n")
