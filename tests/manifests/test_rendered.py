"""What is rendered for plugins, bundles, extensions, registries: true to the tools, to the settings, to each other.

That the files are as rendered, tests/mcp_server/test_app.py checks with the rest of scripts/render. The formats' own
validators are run by scripts/check_manifests.py.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from manifests.descriptor import descriptor
from manifests.rendering import mcpb, rendered
from manifests.rendering.gemini import CONTEXT, skill_text
from manifests.rendering.registry import SECRET, environment_name
from manifests.rendering.source import AGENT_PLUGIN, PLUGIN, ROOT, SKILL, told
from scripts.draw_icon import ICONS, drawn
from tools.catalogue import TOOLS
from tools.result import EngineUsed, Evidence, ToolResult, Underway, Used
from vision.config import Settings

FILES = rendered()
NAMES = [tool.name for tool in TOOLS]
TEXTS = {path.relative_to(ROOT).as_posix(): text for path, text in FILES.items()}


def content(path: str) -> dict[str, Any]:
    return json.loads(TEXTS[path])


def values(part: Any, key: str) -> list[Any]:
    """Every value of a key, however deep it stands."""
    if isinstance(part, dict):
        own = [value for name, value in part.items() if name == key]
        return own + [found for value in part.values() for found in values(value, key)]
    return [found for value in part for found in values(value, key)] if isinstance(part, list) else []


@pytest.mark.parametrize("path", sorted(TEXTS))
def test_every_rendered_file_is_on_disk_as_rendered(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == TEXTS[path]


def test_every_file_names_the_same_version() -> None:
    version = told().version
    for path, text in TEXTS.items():
        if path.endswith(".json"):
            assert set(values(json.loads(text), "version")) <= {version}, path
        assert set(re.findall(r"internvl-mcp@([0-9][\w.]*)", text)) <= {version}, path
        assert set(re.findall(r"internvl_mcp-([0-9][\w.]*)-py3", text)) <= {version}, path


def test_the_version_stands_in_every_manifest() -> None:
    for path in (
        ".claude-plugin/marketplace.json", "gemini-extension.json", "manifests/mcpb/manifest.json",
        "manifests/registry/server.json", "manifests/plugins/internvl-mcp/.claude-plugin/plugin.json",
        "manifests/plugins/internvl-mcp/.codex-plugin/plugin.json", "manifests/agent-plugins/internvl-mcp/plugin.json",
    ):  # fmt: skip
        assert values(content(path), "version"), path


def test_entries_start_the_launcher_and_never_a_module_of_python() -> None:
    for path in (
        "gemini-extension.json", "manifests/plugins/internvl-mcp/.mcp.json",
        "manifests/agent-plugins/internvl-mcp/mcp.json",
    ):  # fmt: skip
        [entry] = content(path)["mcpServers"].values()
        assert [entry["command"], *entry["args"]] == list(descriptor().launcher), path
    for path, text in TEXTS.items():
        assert "PYTHONPATH" not in text, path
        assert '"-m"' not in text and "python -m" not in text, path


def test_the_skill_names_every_tool_and_no_other() -> None:
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", SKILL.read_text(encoding="utf-8")))
    fields = {
        field
        for model in (ToolResult, Underway, Used, Evidence, EngineUsed)
        for field in model.model_fields
    }  # fmt: skip
    missing, unknown = set(NAMES) - named, named - fields - set(NAMES)
    assert not missing, f"{SKILL.relative_to(ROOT)} does not say when to use {sorted(missing)}"
    assert not unknown, f"{SKILL.relative_to(ROOT)} names what is neither a tool nor a field: {sorted(unknown)}"


def test_the_skill_uses_parameters_that_the_tools_have() -> None:
    parameters = {name for tool in TOOLS for name in tool.parameters.model_fields}
    text = SKILL.read_text(encoding="utf-8")
    used = set(re.findall(r"`(\w+)=", text))
    assert used and used <= parameters
    assert {"source", "sources", "question", "region", "cursor", "start", "end"} <= set(
        re.findall(r"`(\w+)`", text)
    ) | used


def test_the_skill_explains_every_field_that_an_agent_acts_on() -> None:
    text = SKILL.read_text(encoding="utf-8")
    for field in (
        "answer",
        "evidence",
        "unsupported",
        "used",
        "notices",
        "truncated",
        "next_cursor",
        "conversation_id",
    ):
        assert field in ToolResult.model_fields
        assert f"`{field}`" in text
    assert "job_id" in Underway.model_fields and "`job_id`" in text


def test_all_plugins_have_the_one_skill() -> None:
    assert FILES[AGENT_PLUGIN / SKILL.relative_to(PLUGIN)] == SKILL.read_text(encoding="utf-8")
    assert FILES[CONTEXT] == skill_text()
    assert skill_text().startswith("# ") and skill_text() in SKILL.read_text(encoding="utf-8")


def test_a_skill_is_short_and_says_when_to_load_it() -> None:
    head = SKILL.read_text(encoding="utf-8").split("---\n")[1]
    description = head.split("description: ")[1].strip()
    assert f"name: {SKILL.parent.name}\n" in head
    assert "Use it when" in description and len(description) <= 1024
    assert len(skill_text().splitlines()) <= 80


def test_marketplaces_point_at_folders_that_are_there() -> None:
    [claude] = content(".claude-plugin/marketplace.json")["plugins"]
    [codex] = content(".agents/plugins/marketplace.json")["plugins"]
    for source, manifest in ((claude["source"], ".claude-plugin"), (codex["source"]["path"], ".codex-plugin")):
        assert source.startswith("./")
        assert (ROOT / source / manifest / "plugin.json").is_file()
    assert claude["name"] == codex["name"] == told()["name"]


def test_paths_in_manifests_exist() -> None:
    codex = content("manifests/plugins/internvl-mcp/.codex-plugin/plugin.json")
    for path in (codex["skills"], codex["mcpServers"], codex["interface"]["logo"], codex["interface"]["composerIcon"]):
        assert (PLUGIN / path).exists()
    assert (ROOT / content("gemini-extension.json")["contextFileName"]).is_file()
    bundle = content("manifests/mcpb/manifest.json")
    assert (mcpb.FOLDER / bundle["icon"]).is_file()
    assert (mcpb.FOLDER / bundle["server"]["entry_point"]).is_file()


def test_codex_finds_no_manifest_that_would_move_the_server_into_its_own_folder() -> None:
    """Where a plugin has a plugin.json at its root, Codex takes that and starts the server in the plugin's folder."""
    assert not (PLUGIN / "plugin.json").exists()


def test_the_bundle_lists_the_tools_with_what_they_give() -> None:
    listed = {tool["name"]: tool["description"] for tool in content("manifests/mcpb/manifest.json")["tools"]}
    described = json.loads((ROOT / "mcp_server" / "tool_list.json").read_text(encoding="utf-8"))
    assert list(listed) == [tool["name"] for tool in described]
    for tool in described:
        assert tool["description"].startswith(listed[tool["name"]].rstrip("."))


def test_the_bundle_asks_for_settings_that_the_server_has() -> None:
    manifest = content("manifests/mcpb/manifest.json")
    asked = set(manifest["user_config"])
    assert asked <= set(Settings.model_fields)
    config = manifest["server"]["mcp_config"]
    used = set(re.findall(r"\$\{user_config\.(\w+)\}", json.dumps(config)))
    assert used == asked
    for name, value in config["env"].items():
        assert name == environment_name(value.removeprefix("${user_config.").removesuffix("}"))
    assert manifest["user_config"]["endpoint_key"]["sensitive"] is True


def test_the_bundles_entry_gives_the_server_the_folders_that_are_there(tmp_path: Path) -> None:
    """As a host starts it, without the server: what main gets is printed."""
    (tmp_path / "mcp_server").mkdir()
    (tmp_path / "mcp_server" / "__init__.py").write_text("")
    (tmp_path / "mcp_server" / "cli.py").write_text("def main(words):\n    print(words)\n")
    (tmp_path / "server.py").write_text((mcpb.FOLDER / "server.py").read_text(encoding="utf-8"))
    folders = [str(tmp_path), "${HOME}/Desktop", str(tmp_path / "absent"), str(tmp_path / "mcp_server")]
    done = subprocess.run(
        [sys.executable, "-I", "-c", _RUN, str(tmp_path), *folders], capture_output=True, text=True, check=True
    )
    expected = ["--use-working-directory", "no", "--root", folders[0], "--root", folders[3]]
    assert done.stdout.strip() == str(expected)


# Starts server.py of a folder, whose packages come before those that are installed.
_RUN = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
del sys.argv[0]
runpy.run_path(sys.argv[0] + "/server.py", run_name="__main__")
"""


def test_the_registry_entry_names_settings_that_the_server_has() -> None:
    entry = content("manifests/registry/server.json")
    for package in entry["packages"]:
        for variable in package["environmentVariables"]:
            option = variable["name"].removeprefix("INTERNVL_MCP_").lower()
            assert option in Settings.model_fields
            assert variable["isSecret"] == (option in SECRET)


def test_the_registry_finds_our_name_where_it_looks_for_it() -> None:
    """It takes a package only when that names the entry: PyPI's page in a comment, npm's package.json as mcpName."""
    entry = content("manifests/registry/server.json")
    assert f"<!-- mcp-name: {entry['name']} -->" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert content("manifests/npm/package.json")["mcpName"] == entry["name"]
    assert len(entry["description"]) <= 100
    assert {(package["registryType"], package["identifier"]) for package in entry["packages"]} == {
        ("npm", told()["npm"]),
        ("pypi", told()["pypi"]),
    }


def test_links_carry_the_entry_that_they_promise() -> None:
    links = content("manifests/links.json")
    server = {"command": descriptor().launcher[0], "args": list(descriptor().launcher[1:])}
    for editor, link in links["web"].items():
        query = {name: value for name, [value] in parse_qs(urlsplit(link).query).items()}
        packed = query["config"] if "VS Code" in editor else base64.b64decode(query["config"])
        assert query["name"] == "internvl"
        assert json.loads(packed) == server
    vscode = links["editor"]["VS Code"].removeprefix("vscode:mcp/install?")
    assert json.loads(unquote(vscode)) == {"name": "internvl", **server}
    assert links["editor"]["Cursor"].endswith(urlsplit(links["web"]["Cursor"]).query)


@pytest.mark.parametrize("path", ICONS, ids=lambda path: path.parent.name)
def test_the_icon_is_what_its_drawing_shows(path: Path) -> None:
    packed = path.read_bytes()
    assert packed[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", packed[16:24]) == (512, 512)
    import pymupdf

    shown, meant = pymupdf.Pixmap(packed), drawn()
    different = sum(a != b for a, b in zip(shown.samples[::7], meant.samples[::7], strict=True))
    assert different < len(shown.samples) // 7 // 100, "run scripts/draw_icon.py"
