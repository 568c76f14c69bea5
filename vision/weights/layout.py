"""Where checkpoints lie: the cache that huggingface_hub and every tool built on it share.

    models--ORG--NAME/blobs/DIGEST            the files, by content
                      refs/main               the commit a branch or tag stood for when it was last fetched
                      snapshots/COMMIT/FILE   links to the files of one commit

Sources: huggingface_hub's documentation of its cache, and its `constants` for the variables; a test compares the two.
Nothing here imports that library: the server asks for its weights at every start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")
_SNAPSHOT = re.compile(r"models--(?P<name>[^/\\]+)")


def hub_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of the hub's cache. Reads HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME and XDG_CACHE_HOME."""
    base = environment.get("XDG_CACHE_HOME") or str(Path("~") / ".cache")
    home = environment.get("HF_HOME") or str(Path(base) / "huggingface")
    cache = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE") or str(Path(home) / "hub")
    return Path(os.path.expandvars(os.path.expanduser(cache)))  # noqa: PTH111 - never raises


@dataclass(frozen=True)
class RepositoryFolder:
    """One repository's place in the cache."""

    path: Path

    @classmethod
    def of(cls, repository: str, cache: Path | None = None) -> RepositoryFolder:
        return cls((cache or hub_cache()) / f"models--{repository.replace('/', '--')}")

    @property
    def locks(self) -> Path:
        return self.path.parent / ".locks" / self.path.name

    def blob(self, digest: str) -> Path:
        return self.path / "blobs" / digest

    def snapshot(self, commit: str) -> Path:
        return self.path / "snapshots" / commit

    def ref(self, revision: str) -> Path:
        return self.path / "refs" / revision

    def commit_of(self, revision: str) -> str | None:
        """The commit that a branch or tag stood for when it was fetched; a commit stands for itself."""
        if COMMIT.fullmatch(revision):
            return revision
        try:
            commit = self.ref(revision).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return commit if COMMIT.fullmatch(commit) else None

    def snapshots(self) -> list[Path]:
        """Every snapshot that was begun, the latest first."""
        try:
            found = [path for path in (self.path / "snapshots").iterdir() if COMMIT.fullmatch(path.name)]
            return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
        except OSError:
            return []


def repository_of(folder: Path) -> str | None:
    """The repository whose snapshot a folder is; None for a folder outside a cache."""
    named = _SNAPSHOT.fullmatch(folder.parent.parent.name)
    return named["name"].replace("--", "/", 1) if named and folder.parent.name == "snapshots" else None
