"""What setup and doctor ask of the machine: facts only, each of which a test can put in.

What is made of them is the same on a described machine as on this one.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from manifests.clients.place import Place, here
from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper
from vision.chat.record import state_folder
from vision.engine.local import HostChats, missing_packages, package_version
from vision.machine import existing, free_bytes
from vision.variants.hardware import Hardware
from vision.variants.probe import probe
from vision.weights.layout import hub_cache


def _running() -> tuple[HostSpec, ...]:
    chats = HostChats(HostKeeper(state_folder(os.environ), package_version()))
    return tuple(host.spec for host in anyio.run(chats.running))


@dataclass(frozen=True)
class Facts:
    """`packages`: where Python finds packages; `stdlib`: its own library; `root`: the system's root; `running`: what
    the models of this user that are up were started with.
    """

    place: Place = field(default_factory=here)
    root: Path = Path("/")
    processor: str = field(default_factory=platform.machine)
    stdlib: Path = field(default_factory=lambda: Path(os.__file__).parent)
    packages: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))
    probe: Callable[[], Hardware] = probe
    running: Callable[[], tuple[HostSpec, ...]] = _running
    free_bytes: Callable[[Path], int] = free_bytes

    @property
    def cache(self) -> Path:
        """Where weights lie."""
        return hub_cache(self.place.environment)

    def may_write(self, folder: Path) -> bool:
        """Whether this user may write in a folder, or make it."""
        at = existing(folder)
        return at is not None and at.is_dir() and os.access(at, os.W_OK | os.X_OK)

    @property
    def offline(self) -> bool:
        """Whether the hub's library was told to stay away from the network, by the words that it takes for yes."""
        return self.place.environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")

    @property
    def container(self) -> bool:
        """By the marks that Docker and Podman leave."""
        return any((self.root / mark).exists() for mark in (".dockerenv", "run/.containerenv"))

    @property
    def wsl(self) -> bool:
        """Linux inside Windows."""
        try:
            return "microsoft" in (self.root / "proc/sys/kernel/osrelease").read_text().lower()
        except OSError:
            return False

    def missing(self) -> tuple[str, ...]:
        """What of the extra [local] is not installed."""
        return missing_packages(self.packages)

    def distribution(self, name: str) -> importlib.metadata.Distribution | None:
        found = importlib.metadata.distributions(name=name, path=list(self.packages))
        return next(iter(found), None)

    def same_disk(self, one: Path, other: Path) -> bool:
        return _device(one) == _device(other)


def _device(folder: Path) -> int | None:
    at = existing(folder)
    return at.stat().st_dev if at else None
