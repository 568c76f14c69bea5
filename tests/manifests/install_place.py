"""Simulated computers for the installer's tests."""

from __future__ import annotations

from pathlib import Path

from manifests.clients.known import Client
from manifests.clients.launch import Launch
from manifests.clients.place import Place, Scope, System
from manifests.descriptor import descriptor
from manifests.install.apply import apply
from manifests.install.plan import Change, clients_named, plan_install, plan_uninstall

LAUNCH = Launch(("/opt/bin/internvl-mcp",))


def place_in(tmp_path: Path, system: System = "linux", **environment: str) -> Place:
    """A computer of that system whose home is in a scratch folder."""
    home, project, prefix = tmp_path / "home", tmp_path / "project", tmp_path / "venv"
    for folder in (home, project, prefix):
        folder.mkdir(exist_ok=True)
    return Place(system, home, environment, project, prefix)


def program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def planned(place: Place, *names: str, launch: Launch = LAUNCH, scope: Scope = "user") -> list[Change]:
    return plan_install(place, clients_named(names), scope, launch, descriptor())


def install(place: Place, *names: str, launch: Launch = LAUNCH, scope: Scope = "user") -> list[Change]:
    changes = planned(place, *names, launch=launch, scope=scope)
    apply(place, changes)
    return changes


def uninstall(place: Place, *names: str, scope: Scope = "user") -> list[Change]:
    changes = plan_uninstall(place, clients_named(names), scope, descriptor())
    apply(place, changes)
    return changes


def file_of(place: Place, name: str) -> Path:
    client: Client
    (client,) = clients_named([name])
    return place.path(client.user[place.system][-1].path)


def written(place: Place, name: str, data: bytes) -> Path:
    """The client's file with these bytes."""
    file = file_of(place, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that lies in a folder, but for what the server itself keeps; of folders and links only their names."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if ".local" not in path.relative_to(folder).parts
    }
