"""What installers read of descriptor.json, the one place of the names and texts that plugins and bundles give too."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import metadata, resources
from pathlib import Path


@dataclass(frozen=True)
class Descriptor:
    """`server` is the entry's name in clients, `command` the console script. `_s` is in seconds, `_mb` in 10⁶ bytes."""

    name: str
    server: str
    command: str
    npm: str
    pypi: str
    start_timeout_s: int
    call_timeout_s: int
    download_mb: int
    installed_mb: int
    version: str

    @property
    def launcher(self) -> tuple[str, ...]:
        """The command of entries that are shared: the npm launcher, of the same version as the entry.

        npx, because clients give a server 10 to 30 seconds to answer, and the launcher answers at once while it sets
        up the Python part; uvx would first fetch all of it. With the version, because npx keeps what it once fetched
        for a name without one, and never looks again. With --prefer-offline, because npx would else ask the registry at
        every start, and without a network give up after more than a minute only.
        """
        return ("npx", "-y", "--prefer-offline", f"{self.npm}@{self.version}")


@cache
def descriptor() -> Descriptor:
    values = json.loads(resources.files("manifests").joinpath("descriptor.json").read_text(encoding="utf-8"))
    values["version"] = _version(values["pypi"])
    return Descriptor(**{field.name: values[field.name] for field in fields(Descriptor)})


def _version(package: str) -> str:
    """pyproject.toml's in a checkout, where what is installed may be older; the installed package's elsewhere."""
    project = Path(__file__).parents[1] / "pyproject.toml"
    if project.is_file():
        values = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        if values.get("name") == package:
            return values["version"]
    return metadata.version(package)
