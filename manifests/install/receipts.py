"""What an installation did to a file, and the bytes from before, kept in the user's state folder.

installs/<file's key>/receipt.json   what the file was and is; `uninstall` goes by it
installs/<file's key>/before         the bytes from before, where there was a file
installs/<file's key>/*.backup       the file before each later change, the newest few

Only their owner may read them: settings files hold keys of other servers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from manifests.install.files import remove_empty, replace

MOST_BACKUPS = 5
_VERSION = 1


@dataclass(frozen=True)
class Receipt:
    """`before` is None where there was no file. `after` is the sha256 of what was written. `made` are the keys, and
    `folders` the folders, that came with the entry.
    """

    before: bytes | None
    after: str
    made: tuple[tuple[str, ...], ...]
    folders: tuple[Path, ...]

    def left_as_written(self, data: bytes | None) -> bool:
        return data is not None and digest(data) == self.after


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Receipts:
    """The receipts of one user. `state` is their state folder; nothing is made before something is kept."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "installs"

    def find(self, file: Path, entry: tuple[str, ...]) -> Receipt | None:
        """None as well where it cannot be read: then the entry alone is removed."""
        folder = self._folder(file, entry)
        try:
            values = json.loads((folder / "receipt.json").read_text(encoding="utf-8"))
            if values["version"] != _VERSION:
                return None
            before = (folder / "before").read_bytes() if values["existed"] else None
            made = tuple(tuple(key) for key in values["made"])
            return Receipt(before, values["after"], made, tuple(Path(folder) for folder in values["folders"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, file: Path, entry: tuple[str, ...], receipt: Receipt) -> list[Path]:
        """Where the bytes from before are kept now; of no file there are none. Raises OSError."""
        folder = self._made(file, entry)
        kept: list[Path] = []
        if receipt.before is not None:
            kept.append(folder / "before")
            _write(kept[0], receipt.before)
        values = {
            "version": _VERSION,
            "file": str(file),
            "entry": entry,
            "existed": receipt.before is not None,
            "after": receipt.after,
            "made": receipt.made,
            "folders": [str(folder) for folder in receipt.folders],
        }
        _write(folder / "receipt.json", json.dumps(values, indent=1).encode())
        return kept

    def back_up(self, file: Path, entry: tuple[str, ...], data: bytes) -> Path:
        """Where the bytes are kept now. Raises OSError."""
        folder = self._made(file, entry)
        path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.backup"
        _write(path, data)
        for old in sorted(folder.glob("*.backup"))[:-MOST_BACKUPS]:
            old.unlink(missing_ok=True)
        return path

    def forget(self, file: Path, entry: tuple[str, ...]) -> None:
        """Backups stay; where there are none, nothing does."""
        folder = self._folder(file, entry)
        for name in ("receipt.json", "before"):
            (folder / name).unlink(missing_ok=True)
        remove_empty((self.folder.parent, self.folder, folder))

    def _folder(self, file: Path, entry: tuple[str, ...]) -> Path:
        return self.folder / digest("\0".join((str(file), *entry)).encode())[:16]

    def _made(self, file: Path, entry: tuple[str, ...]) -> Path:
        folder = self._folder(file, entry)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        return folder


def _write(path: Path, data: bytes) -> None:
    replace(path, path.read_bytes() if path.exists() else None, data, private=True)
