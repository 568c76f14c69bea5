"""Which of the client's roots count."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp_types import ListRootsResult, Root

from mcp_server.client import folders


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///work/project", (Path("/work/project"),)),
        ("file:///work/my%20project", (Path("/work/my project"),)),
        ("file://localhost/work", (Path("/work"),)),
        ("file:///", ()),
        ("file://otherhost/share", ()),
        ("file:///%00", ()),
    ],
)
def test_only_local_folders_below_the_top_of_the_disk_count(uri: str, expected: tuple[Path, ...]) -> None:
    assert folders(ListRootsResult(roots=[Root.model_validate({"uri": uri})])) == expected
