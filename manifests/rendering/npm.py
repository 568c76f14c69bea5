"""The npm package: what npm reads of it, and its page.

scripts/build_npm.py puts the launcher and the wheel beside them and packs it.
"""

from __future__ import annotations

from pathlib import Path

from .source import ROOT, Told, as_json, told

FOLDER = ROOT / "manifests" / "npm"
TARGETS = ("claude-code", "claude-desktop", "codex", "cursor", "vscode", "gemini", "windsurf", "zed", "opencode")


def rendered() -> dict[Path, str]:
    it = told()
    return {FOLDER / "package.json": as_json(_package(it)), FOLDER / "README.md": _page(it)}


def _package(it: Told) -> dict[str, object]:
    return {
        "name": it["npm"],
        "version": it.version,
        "description": it["summary"],
        "mcpName": it["registry"],
        "keywords": it["keywords"],
        "license": it["license"],
        "author": it["author"],
        "homepage": f"{it['repository']}#readme",
        "repository": {"type": "git", "url": f"git+{it['repository']}.git", "directory": "manifests/npm"},
        "bugs": f"{it['repository']}/issues",
        "type": "commonjs",
        "bin": {it["command"]: "launcher/main.js"},
        "files": ["launcher", "python"],
        "engines": {"node": ">=18"},
    }


def _page(it: Told) -> str:
    start = f"npx -y {it['npm']}"
    return f"""# {it["npm"]}

{it["summary"]} {it["about_it"]}

{it["privacy"]}

## Start

```sh
{start} install --target claude-code     # shows what it would change, and does it after a yes
```

Other clients: `--target {"`, `".join(TARGETS[1:])}`. Any other: the command `npx`, the arguments
`-y {it["npm"]}`, over standard input and output.

```sh
{start} setup      # InternVL for this computer's hardware, if you want answers beside text and boxes
{start} doctor     # what works here, and what to do about the rest
{start} call read_document report.pdf
```

## What it needs, and what it does

Node 18 or later, and uv or Python 3.11 to 3.14 (uv brings its own Python). This package is the launcher: it has the
Python package of the same version inside. The first start makes an environment for it, downloads about
{it["download_mb"]} MB from the Python package index and takes about {it["installed_mb"]} MB of disk; a client is
answered meanwhile, and its first calls wait or are told how far it is. Every later start takes as long as the Python
program alone.

The environment lies in `~/.local/share/internvl-mcp` (Linux), `~/Library/Application Support/internvl-mcp` (macOS) or
`%LOCALAPPDATA%\\internvl-mcp` (Windows), one folder for each version; those that nothing has used for a month
are removed. Packages have the versions that were tested together; where an index lacks one, others that fit are taken.

| variable | what it does |
|---|---|
| `INTERNVL_MCP_PYTHON` | the Python to use, a path or a name |
| `INTERNVL_MCP_ENVIRONMENT` | the folder for the environments |
| `HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`, `PIP_INDEX_URL`, … | as uv and pip know them; npm's settings count too |

Everything else, with all settings: {it["repository"]}
"""
