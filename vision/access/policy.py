"""What may be read. Every path and address that a client sends is judged here before anything opens it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vision.errors import AccessDenied, SourceNotFound

# Kernel interfaces, not media: refused even when a root contains them.
_KERNEL_FOLDERS = (Path("/proc"), Path("/sys"), Path("/dev"))
_MAX_ROOTS_SHOWN = 8


@dataclass(frozen=True)
class AccessPolicy:
    """What a client may read.

    roots: folders whose files may be read; a root may be a symlink, it counts as where it leads.
    clipboard: whether this machine's clipboard may be read.
    allow_http: whether plain http:// may be fetched beside https://.
    allowed_hosts: host names or IP addresses that may be fetched although they are private or loopback.
    max_bytes: most bytes copied from an address, a data: URI or the clipboard. Local files are opened at any size;
        what size is acceptable depends on their kind, which only their content tells.
    fetch_timeout_s: seconds for fetching one address, name look-up and redirects included.
    clipboard_timeout_s: seconds that the system's clipboard tool may take.
    """

    roots: tuple[Path, ...]
    clipboard: bool = True
    allow_http: bool = False
    allowed_hosts: tuple[str, ...] = ()
    max_bytes: int = 256 << 20
    fetch_timeout_s: float = 30.0
    clipboard_timeout_s: float = 10.0

    def resolve(self, path: Path, shown: str) -> tuple[Path, Path]:
        """The root that holds `path` and the path itself, both free of symlinks; `shown` names it in errors.

        A path outside the roots is refused whether or not it exists, so that nobody learns what is there.
        Raises AccessDenied, SourceNotFound.
        """
        try:
            resolved = path.resolve()
        except RuntimeError as error:  # Python < 3.13 on a symlink loop
            raise SourceNotFound(f"{shown}: the symbolic links go round in a circle", "Give the real path.") from error
        except (OSError, ValueError) as error:
            raise SourceNotFound(f"{shown}: no such file", "Check the path.") from error
        if any(resolved.is_relative_to(folder) for folder in _KERNEL_FOLDERS):
            raise AccessDenied(f"{shown} is a kernel interface, not a file", "Give the path of a picture or document.")
        for root in self.roots:
            real_root = _real_root(root)
            if real_root is not None and resolved.is_relative_to(real_root):
                return real_root, resolved
        raise AccessDenied(f"{shown} lies outside the folders that may be read", self._roots_hint())

    def _roots_hint(self) -> str:
        names = [str(root) for root in self.roots[:_MAX_ROOTS_SHOWN]]
        more = len(self.roots) - len(names)
        listed = ", ".join(names) + (f" and {more} more" if more else "")
        allowed = f"Readable now: {listed}." if names else "No folder is readable now."
        return f"{allowed} To allow another, start the server with --root DIR or set INTERNVL_MCP_ROOTS."


def _real_root(root: Path) -> Path | None:
    try:
        return root.expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        return None
