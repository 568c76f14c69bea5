"""Links that add the server to an editor: one click on a page opens the editor, which asks and then writes its entry.

VS Code: code.visualstudio.com/api/extension-guides/ai/mcp; Cursor: cursor.com/docs/context/mcp/install-links. The https
forms stand in README.md, because GitHub shows no other; they lead on to the editors' own addresses.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .source import ROOT, Told, as_json, told


def rendered() -> dict[Path, str]:
    """Both forms of each link, for pages that are not on GitHub."""
    it = told()
    deep = {
        "VS Code": f"vscode:mcp/install?{quote(_compact({'name': it['server'], **it.server()}), safe='')}",
        "Cursor": f"cursor://anysphere.cursor-deeplink/mcp/install?{_cursor_query(it)}",
    }
    return {ROOT / "manifests" / "links.json": as_json({"web": _web(it), "editor": deep})}


def lines() -> list[str]:
    """The line for README.md."""
    return [" · ".join(f"[{editor}]({link})" for editor, link in _web(told()).items())]


def _web(it: Told) -> dict[str, str]:
    return {
        "VS Code": f"https://vscode.dev/redirect/mcp/install?{_vscode_query(it)}",
        "VS Code Insiders": f"https://insiders.vscode.dev/redirect/mcp/install?{_vscode_query(it)}&quality=insiders",
        "Cursor": f"https://cursor.com/en/install-mcp?{_cursor_query(it)}",
    }


def _vscode_query(it: Told) -> str:
    return f"name={quote(it['server'])}&config={quote(_compact(it.server()), safe='')}"


def _cursor_query(it: Told) -> str:
    packed = base64.b64encode(_compact(it.server()).encode()).decode()
    return f"name={quote(it['server'])}&config={quote(packed, safe='')}"


def _compact(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))
