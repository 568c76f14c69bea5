"""What an installation, or its removal, would change: nothing is written here, and every file is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from manifests.clients import NAMES
from manifests.clients.known import CLIENTS, Client
from manifests.clients.launch import Launch, flags_in
from manifests.clients.place import Place, Scope
from manifests.descriptor import Descriptor
from manifests.edits import jsonc, toml
from manifests.edits.meaning import found
from manifests.edits.text import Broken, WrongType, without_mark
from manifests.errors import InstallError
from manifests.install import files
from manifests.install.receipts import Receipt, Receipts, digest

Action = Literal["create", "add", "update", "already", "remove", "restore", "delete", "absent"]
_FORMATS: dict[str, ModuleType] = {"json": jsonc, "toml": toml}
# Left out, they mean this.
_DEFAULTS: dict[str, Any] = {"args": [], "type": "stdio"}
_AGAIN = ", and run this again; or name the other clients with --target."
_REMOTE = frozenset({"url", "serverUrl", "httpUrl"})


@dataclass(frozen=True)
class Change:
    """What happens to one client's file. `path` is what the client opens, `file` what lies behind links; `before` and
    `after` are the file's bytes, None: no file. `receipt` is kept with an installation, for its removal.
    """

    client: Client
    scope: Scope
    path: Path
    file: Path
    entry: tuple[str, str]
    action: Action
    before: bytes | None
    after: bytes | None
    receipt: Receipt | None = None
    notes: tuple[str, ...] = ()
    again: Callable[[bytes | None], Change] | None = field(default=None, compare=False, repr=False)

    @property
    def writes(self) -> bool:
        return self.before != self.after

    @property
    def installs(self) -> bool:
        return self.action in ("create", "add", "update")

    def does_the_same(self, other: Change) -> bool:
        """Whether the entry is changed from the same to the same, whatever else is in the file."""
        return self.action == other.action and self._entries() == other._entries()

    def _entries(self) -> tuple[Any, Any]:
        before, after = (
            _entry(self.client, self.path, data or b"", self.entry[1]) for data in (self.before, self.after)
        )
        return before, after


def clients_named(names: Iterable[str]) -> list[Client]:
    """Raises InstallError (unknown_client)."""
    by_name = {client.name: client for client in CLIENTS}
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in by_name:
            raise InstallError("unknown_client", f"there is no client {name}", f"Known are {', '.join(NAMES)}.")
    return [by_name[name] for name in chosen]


def plan_install(
    place: Place, clients: Sequence[Client], scope: Scope, launch: Launch, about: Descriptor
) -> list[Change]:
    """One change a client, in order. Raises InstallError when any of the files cannot be changed."""
    receipts = Receipts(place.state())

    def change(client: Client, path: Path, before: bytes | None) -> Change:
        made = _install(client, scope, path, before, launch, about)
        return replace(made, receipt=_receipt(made, receipts.find(made.file, made.entry)))

    return _plan(place, clients, scope, about, change)


def plan_uninstall(place: Place, clients: Sequence[Client], scope: Scope, about: Descriptor) -> list[Change]:
    """One change a client, in order. Raises InstallError when any of the files cannot be changed."""
    receipts = Receipts(place.state())

    def change(client: Client, path: Path, before: bytes | None) -> Change:
        entry = (client.servers, about.server)
        return _uninstall(client, scope, path, before, entry, receipts.find(files.real(path), entry))

    return _plan(place, clients, scope, about, change)


def _plan(
    place: Place,
    clients: Sequence[Client],
    scope: Scope,
    about: Descriptor,
    change: Callable[[Client, Path, bytes | None], Change],
) -> list[Change]:
    changes: list[Change] = []
    staged: dict[Path, bytes | None] = {}  # of several clients that share a file through links
    for client in clients:
        path = _path(place, client, scope, about)
        file = files.real(path)
        before = staged[file] if file in staged else files.read(file)
        one = change(client, path, before)
        if one.writes:
            files.require_writable(file)
            staged[file] = one.after
        again = partial(change, client, path)
        changes.append(replace(one, again=again))
    return changes


def _path(place: Place, client: Client, scope: Scope, about: Descriptor) -> Path:
    """Of the files that count, the one with the entry; else the first."""
    spots = client.user[place.system] if scope == "user" else client.project
    if not spots:
        raise InstallError(
            "no_project_scope",
            f"{client.title} has no settings of a project",
            f"Leave {client.name} out, or install it with --scope user.",
        )
    paths = [place.path(spot.path) for spot in spots if not spot.when or place.exists(spot.when)]
    for path in paths[1:]:
        data = files.read(files.real(path))
        if data is not None and _entry(client, path, data, about.server) is not None:
            return path
    return paths[0]


def _entry(client: Client, path: Path, data: bytes, server: str) -> Any:
    _, text = without_mark(data)
    return _mapped(path, lambda: found(_FORMATS[client.format].meaning(text), (client.servers, server)))


def _mapped(path: Path, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Broken as e:
        raise InstallError("file_broken", f"{path}: {e}", f"Mend the file, or move it away{_AGAIN}") from e
    except WrongType as e:
        raise InstallError("wrong_type", f"{path}: {e}", f"Mend the file{_AGAIN}") from e


def _install(
    client: Client, scope: Scope, path: Path, before: bytes | None, launch: Launch, about: Descriptor
) -> Change:
    entry = (client.servers, about.server)
    file = files.real(path)
    current = _entry(client, path, before or b"", about.server)
    if current is not None and not isinstance(current, dict):
        raise InstallError(
            "wrong_type", f'{path}: "{about.server}" is no entry of a server', "Remove it, and run this again."
        )
    notes: tuple[str, ...] = ()
    if launch.flags is None and current:
        kept = flags_in(_words(current), about)
        if kept:
            launch, notes = launch.with_flags(kept), (f"keeps the server's flags: {' '.join(kept)}",)
    if current and not _REMOTE & current.keys() and (off := switched_off(current)):
        notes = (*notes, f"the client has it switched off: {off} stands in its entry, and stays")
    mark, text = without_mark(before or b"")
    if out := kept_out(client, before or b"", about.server):
        notes = (*notes, f"the client does not start it: {out}")
    after = mark + _mapped(path, lambda: _edited(client, text, entry, current, launch, about))
    if current is None:
        action: Action = "create" if before is None else "add"
    else:
        action = "update" if after != before else "already"
    return Change(client, scope, path, file, entry, action, before, after, notes=notes)


def _receipt(change: Change, earlier: Receipt | None) -> Receipt | None:
    """What has to be kept so that the removal brings back what was before the first installation."""
    if not change.writes or change.after is None:
        return None
    if change.action == "update" and earlier is not None:
        original = _uninstall(change.client, change.scope, change.path, change.before, change.entry, earlier).after
        return replace(earlier, before=original, after=digest(change.after))
    _, text = without_mark(change.before or b"")
    servers = change.entry[:1]
    there = found(_FORMATS[change.client.format].meaning(text), servers)
    folders = files.missing_folders(change.file) if change.before is None else ()
    return Receipt(change.before, digest(change.after), (servers,) if there is None else (), folders)


def _edited(
    client: Client, text: bytes, entry: tuple[str, str], current: Any, launch: Launch, about: Descriptor
) -> bytes:
    edits = _FORMATS[client.format]
    wanted = client.shape(launch, about)
    if current is None or _REMOTE & current.keys():  # an address's entry has little in common with a program's
        return edits.put(text, entry, {**wanted.starts, **wanted.first})
    for key, value in wanted.starts.items():
        if current.get(key, _DEFAULTS.get(key)) != value:
            text = edits.put(text, (*entry, key), value)
    return text


def switched_off(entry: Any) -> str:
    """What in an entry keeps the client from starting it; "" where nothing does. Each client reads one of these."""
    signs = {"enabled": False, "disabled": True} if isinstance(entry, dict) else {}
    return next((f"{key} = {str(value).lower()}" for key, value in signs.items() if entry.get(key) is value), "")


def kept_out(client: Client, data: bytes, server: str) -> str:
    """What elsewhere in a client's file that can be read keeps it from starting the server; "" where nothing does."""
    lists = _FORMATS[client.format].meaning(without_mark(data)[1]).get("mcp") if client.name == "gemini" else None
    if not isinstance(lists, dict):
        return ""
    allowed, excluded = lists.get("allowed"), lists.get("excluded")
    if isinstance(allowed, list) and allowed and server not in allowed:
        return f'mcp.allowed names others, and not "{server}"'
    return f'mcp.excluded names "{server}"' if isinstance(excluded, list) and server in excluded else ""


def _words(current: dict[str, Any]) -> list[str]:
    command, arguments = current.get("command"), current.get("args") or []
    words = command if isinstance(command, list) else [command]
    return [str(word) for word in (*words, *(arguments if isinstance(arguments, list) else []))]


def _uninstall(
    client: Client, scope: Scope, path: Path, before: bytes | None, entry: tuple[str, str], receipt: Receipt | None
) -> Change:
    change = Change(client, scope, path, files.real(path), entry, "absent", before, before, receipt)
    if before is None:
        return change
    if receipt is not None and receipt.left_as_written(before):
        if receipt.before is None:
            return replace(change, action="delete", after=None)
        earlier = _entry(client, path, receipt.before, entry[1]) is not None
        notes = (f'the entry "{entry[1]}" from before the installation is back',) if earlier else ()
        return replace(change, action="restore", after=receipt.before, notes=notes)
    if _entry(client, path, before, entry[1]) is None:
        return change
    mark, text = without_mark(before)
    edits = _FORMATS[client.format]
    rest = _mapped(path, lambda: edits.take(text, entry, receipt.made if receipt else ()))
    if receipt is not None and not without_mark(receipt.before or b"")[1].strip() and _says_nothing(edits, rest):
        return replace(change, action="delete" if receipt.before is None else "restore", after=receipt.before)
    return replace(change, action="remove", after=mark + rest)


def _says_nothing(edits: ModuleType, text: bytes) -> bool:
    return edits.meaning(text) == {} and not edits.has_comments(text)
