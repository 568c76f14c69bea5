"""The npm package's rendered files, and what the server answers while it is made."""

from __future__ import annotations

import json

from manifests.rendering import npm


def test_rendered_files_are_up_to_date() -> None:
    for path, text in npm.rendered().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: run scripts/render"


def test_package_has_no_dependencies_and_starts_by_its_command() -> None:
    package = json.loads((npm.FOLDER / "package.json").read_text(encoding="utf-8"))
    assert not {"dependencies", "scripts"} & package.keys()
    assert (npm.FOLDER / package["bin"]["internvl-mcp"]).is_file()
