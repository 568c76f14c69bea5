"""What servers and hosts on one machine know of each other: folders, the launch order, the record of a running host.

Sockets, locks and records lie in a folder of this machine and user (the runtime folder): a home directory may be
shared by several machines, a socket cannot. Logs lie in the state folder and outlive a restart.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from vision.chat.host_spec import HostSpec
from vision.errors import AccessDenied, EngineUnavailable
from vision.serving.types import ServingPlan
from vision.types import Frozen

_NAME = "internvl-mcp"
# sockaddr_un holds 104 bytes on macOS and 108 on Linux, with the final zero.
_MAX_SOCKET_PATH = 100


@dataclass(frozen=True)
class StateFolder:
    """`run`: sockets, locks and records, on this machine; `logs`: the hosts' logs."""

    run: Path
    logs: Path

    def prepare(self) -> None:
        """Makes the folders, for this user alone.

        Raises AccessDenied where somebody else could get at them, EngineUnavailable where they cannot be made.
        """
        for folder in (self.run, self.logs):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _require_private(folder)
            except OSError as e:
                raise EngineUnavailable(
                    f"the folder {folder} for the model host cannot be used ({e.strerror})",
                    "Set XDG_RUNTIME_DIR and XDG_STATE_HOME to folders you may write to.",
                ) from e

    def lock(self, key: str) -> Path:
        return self.run / f"{key}.lock"

    def record(self, key: str) -> Path:
        return self.run / f"{key}.json"

    def log(self, key: str) -> Path:
        return self.logs / f"host-{key}.log"

    def socket(self, key: str) -> Path | None:
        """Where the host's socket lies; None where the system has none or its path would be too long."""
        path = self.run / f"{key}.sock"
        return path if sys.platform != "win32" and len(os.fsencode(path)) <= _MAX_SOCKET_PATH else None


def state_folder(environment: Mapping[str, str]) -> StateFolder:
    """The folders that the XDG rules, or the system's own, give this user. Nothing is made yet.

    The caller passes the environment, as settings do. Servers of one user must come to the same folder although some
    are started by a desktop and some by ssh or cron, which may lack XDG_RUNTIME_DIR: its usual place is tried as well.
    """
    if sys.platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or tempfile.gettempdir()) / _NAME
        return StateFolder(base / "run", base / "log")
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - never raises
    state = Path(environment.get("XDG_STATE_HOME") or home / ".local" / "state")
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    if runtime.is_dir() and os.access(runtime, os.W_OK):
        run = runtime / _NAME
    else:
        run = Path(tempfile.gettempdir()) / f"{_NAME}-{os.getuid()}"
    return StateFolder(run, state / _NAME)


def _require_private(folder: Path) -> None:
    if sys.platform == "win32":
        return  # LOCALAPPDATA is the user's own
    found = folder.lstat()  # a link planted in /tmp is not followed
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise AccessDenied(
            f"{folder} belongs to somebody else", "Remove it, or set XDG_RUNTIME_DIR to your own folder."
        )
    if found.st_mode & 0o022:
        raise AccessDenied(f"others may write to {folder}", "Remove it: it is made anew, for you alone.")
    if found.st_mode & 0o077:
        folder.chmod(0o700)


def host_key(spec: HostSpec) -> str:
    """Names the host for a spec: 16 hex digits of what must be equal for a host to be shared.

    Not the limits of the plan (tiles, context, batch): they follow the memory that was free when it was made, and the
    host itself has taken some since.
    """
    plan = spec.plan
    same = [
        plan.variant,
        str(spec.folder.absolute()),
        plan.revision,
        plan.quantisation,
        plan.dtype,
        plan.device,
        list(plan.devices),
    ]
    if isinstance(plan, ServingPlan):
        same.append(plan.server)
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()[:16]


class Address(Frozen):
    """Where a host listens: a Unix socket, or a port of 127.0.0.1."""

    socket: Path | None = None
    port: int | None = None


class Launch(Frozen):
    """What a host is started with, as JSON on its standard input: paths and the secret stay out of `ps`."""

    spec: HostSpec
    key: str
    version: str
    secret: str = Field(repr=False)
    socket: Path | None
    record: Path
    log: Path


def _readable(value: Any, validate: ValidatorFunctionWrapHandler) -> HostSpec | None:
    """None for a spec of another version that this one does not understand: the record is good without it."""
    try:
        return validate(value)
    except ValidationError:
        return None


class Record(Frozen):
    """A running host: the file that servers find it by. Written and removed by the host, readable to the user alone.

    `spec`: what it was started with; another server takes that plan, as it sees less memory than there was before.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # a later version may write more

    pid: int
    key: str
    version: str
    variant: str
    secret: str = Field(repr=False)
    address: Address
    spec: Annotated[HostSpec | None, WrapValidator(_readable)] = None


class Health(Frozen):
    """How a host is. `loaded`: share of the weights in place; `error`: code, message and hint of a failed load."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: Literal["loading", "ready", "failed", "ending"]
    loaded: float
    error: tuple[str, str, str] | None = None
    version: str
    variant: str
    key: str
    pid: int
    working: int
    waiting: int
    device_bytes: int | None = None
    feature_cache_bytes: int = 0
    prefix_cache_bytes: int = 0
    idle_unload_s: float


def write_record(path: Path, record: Record) -> None:
    """Puts the record in place in one step, so that a reader sees all of it or none."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(record.model_dump_json())
    draft.replace(path)


def read_record(path: Path) -> Record | None:
    """The record; None where there is none or it is unreadable, which counts as none."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
