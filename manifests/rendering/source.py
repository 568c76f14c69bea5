"""What the files are made from: the descriptor, the version and the tool list of a checkout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.descriptor import descriptor

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "manifests" / "plugins" / "internvl-mcp"
SKILL = PLUGIN / "skills" / "internvl-vision" / "SKILL.md"
AGENT_PLUGIN = ROOT / "manifests" / "agent-plugins" / "internvl-mcp"


@dataclass(frozen=True)
class Tool:
    """A tool as the server lists it; `gives` is the first sentence of its description."""

    name: str
    gives: str


@dataclass(frozen=True)
class Told:
    """manifests/descriptor.json, and the version that every file has to name."""

    version: str
    texts: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.texts[key]

    def server(self) -> dict[str, Any]:
        """The server's entry as most clients write it."""
        command, *arguments = descriptor().launcher
        return {"command": command, "args": arguments}


def told() -> Told:
    texts = json.loads((ROOT / "manifests" / "descriptor.json").read_text(encoding="utf-8"))
    return Told(version=descriptor().version, texts=texts)


def tools() -> tuple[Tool, ...]:
    listed = json.loads((ROOT / "mcp_server" / "tool_list.json").read_text(encoding="utf-8"))
    return tuple(Tool(tool["name"], tool["description"].split(". ")[0].rstrip(".") + ".") for tool in listed)


def as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
