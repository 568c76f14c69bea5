"""Links that add the server to an editor: one click on a page opens the editor, which asks and then writes its entry.

VS Code: code.visualstudio.com/api/extension-guides/ai/mcp; Cursor: cursor.com/docs/context/mcp/install-links. The https
forms stand in README.md, because GitHub shows no other; they lead on to the editors' own addresses.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .source import Told, told


def lines() -> list[str]:
    """The line for README.md."""
    it = told()
    links = {
        "VS Code": f"https://vscode.dev/redirect/mcp/install?{_vscode_query(it)}",
        "VS Code Insiders": f"https://insiders.vscode.dev/redirect/mcp/install?{_vscode_query(it)}&quality=insiders",
        "Cursor": f"https://cursor.com/en/install-mcp?{_cursor_query(it)}",
    }
    return [" · ".join(f"[{editor}]({link})" for editor, link in links.items())]


def vscode() -> str:
    """VS Code's own address, as a terminal opens it: `code --open-url` or the system's way."""
    it = told()
    return f"vscode:mcp/install?{quote(_compact({'name': it['server'], **it.server()}), safe='')}"


def cursor() -> str:
    """Cursor's own address."""
    return f"cursor://anysphere.cursor-deeplink/mcp/install?{_cursor_query(told())}"


def _vscode_query(it: Told) -> str:
    return f"name={quote(it['server'])}&config={quote(_compact(it.server()), safe='')}"


def _cursor_query(it: Told) -> str:
    packed = base64.b64encode(_compact(it.server()).encode()).decode()
    return f"name={quote(it['server'])}&config={quote(packed, safe='')}"


def _compact(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))
