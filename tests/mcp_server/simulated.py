"""Computers that are described: hardware, disks, programs, Python environments and clients' files in a scratch folder.

Only facts are made up. Whatever looks at them is the product's own code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from manifests.clients.place import Place, System
from mcp_server.setup_facts import Facts
from vision.chat.host_spec import HostSpec
from vision.variants import selector
from vision.variants.catalogue import variant_named
from vision.variants.hardware import Gpu, Hardware
from vision.variants.known_gpus import gpu_named

GIB = 1 << 30
NANO = Path(__file__).parents[1] / "nano" / "checkpoint"
# What a client leaves in the home folder, with what it may hold; others appear by their folder alone.
CLIENT_FILES = {
    "claude-code": (".claude.json", '{"numStartups": 3}\n'),
    "codex": (".codex/config.toml", 'model = "gpt" # mine\n'),
    "cursor": (".cursor/mcp.json", '{\n  "mcpServers": {}\n}\n'),
    "gemini": (".gemini/settings.json", "{}\n"),
}
_LOCAL = ("transformers", "accelerate", "safetensors")
_VERSION_PY = "from typing import Optional\n__version__ = '{version}'\ncuda: Optional[str] = {cuda}\n{rest}\n"


@dataclass(frozen=True)
class Torch:
    """An installed torch, as its build describes itself."""

    version: str = "2.15.0"
    cuda: str | None = None
    hip: str | None = None
    xpu: str | None = None


@dataclass(frozen=True)
class Computer:
    """`free_gb`: room on its one disk. `clients`: those that are there; `broken`: of them, whose file is damaged.

    `weights`: variants that are here whole, `half`: in part. `local`: whether the extra but torch is installed.
    `up`: the model that runs was planned for the GPUs with all of their memory free.
    """

    gpus: tuple[Gpu, ...] = ()
    ram_gb: float = 32
    cores: int = 8
    cpu_bf16: bool = False
    notes: tuple[str, ...] = ()
    system: System = "linux"
    processor: str = "x86_64"
    free_gb: float = 500
    kind: str = "venv"
    programs: tuple[str, ...] = ("uv",)
    pip: bool = True
    clients: tuple[str, ...] = ("claude-code",)
    broken: tuple[str, ...] = ()
    torch: Torch | None = None
    local: bool = False
    weights: tuple[str, ...] = ()
    half: tuple[str, ...] = ()
    up: bool = False
    marks: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def facts(self, folder: Path) -> Facts:
        """The computer, made in `folder`."""
        home, root, site = folder / "home", folder / "root", folder / "site"
        for made in (home, root, site, folder / "path"):
            made.mkdir(parents=True)
        prefix = self._prefix(folder)
        self._packages(site)
        self._clients(home)
        self._weights(home / ".cache" / "huggingface" / "hub")
        for program in self.programs:
            _executable(folder / "path" / program)
        for mark in self.marks:
            _write(root / mark.partition("=")[0], mark.partition("=")[2])
        free, hardware = int(self.free_gb * 10**9), self.hardware()
        return Facts(
            place=Place(self.system, home, self._environment(folder), folder / "home", prefix),
            root=root,
            processor=self.processor,
            stdlib=root / "stdlib",
            packages=(str(site),),
            probe=lambda: hardware,
            running=lambda: self._running(folder),
            free_bytes=lambda _: free,
        )

    def hardware(self) -> Hardware:
        ram = int(self.ram_gb * GIB)
        free = int(ram * 0.8)
        return Hardware(
            gpus=self.gpus, cores=self.cores, cpu_bf16=self.cpu_bf16, total_ram=ram, free_ram=free, notes=self.notes
        )

    def _running(self, folder: Path) -> tuple[HostSpec, ...]:
        if not self.up:
            return ()
        idle = tuple(gpu.model_copy(update={"free_bytes": gpu.total_bytes}) for gpu in self.gpus)
        plan = selector.plan(self.hardware().model_copy(update={"gpus": idle}))
        return (HostSpec(plan=plan, folder=folder, idle_unload_s=300),)

    def _environment(self, folder: Path) -> dict[str, str]:
        base = {"PATH": str(folder / "path"), "XDG_CACHE_HOME": str(folder / "home" / ".cache")}
        state = {"XDG_STATE_HOME": str(folder / "home" / ".local" / "state")}
        return base | state | self.environment

    def _prefix(self, folder: Path) -> Path:
        places = {
            "uvx": folder / "home/.cache/uv/archive-v0/Kx91",
            "uv tool": folder / "home/.local/share/uv/tools/internvl-mcp",
            "pipx": folder / "home/.local/share/pipx/venvs/internvl-mcp",
            "npm": folder / "home/.local/share/internvl-mcp/env-0.1.0",
        }
        prefix = places.get(self.kind, folder / "python")
        windows = self.system == "windows"
        for name in ("internvl-mcp", "python"):
            _executable(prefix / ("Scripts" if windows else "bin") / (f"{name}.exe" if windows else name))
        signs = {"uv tool": "uv-receipt.toml", "pipx": "pipx_metadata.json", "conda": "conda-meta/history"}
        if self.kind in signs:
            _write(prefix / signs[self.kind])
        if self.kind == "managed":
            _write(folder / "root/stdlib/EXTERNALLY-MANAGED")
        elif self.kind not in ("system", "conda"):
            _write(prefix / "pyvenv.cfg")
        return prefix

    def _packages(self, site: Path) -> None:
        names = (*(("pip",) if self.pip else ()), *(_LOCAL if self.local else ()))
        for name in names:
            _write(site / name / "__init__.py")
        if self.torch is None:
            return
        _write(site / "torch" / "__init__.py")
        told = {"hip": self.torch.hip, "xpu": self.torch.xpu}
        rest = "\n".join(f"{name}: Optional[str] = {value!r}" for name, value in told.items())
        text = _VERSION_PY.format(version=self.torch.version, cuda=repr(self.torch.cuda), rest=rest)
        _write(site / "torch" / "version.py", text)

    def _clients(self, home: Path) -> None:
        for name in self.clients:
            path, text = CLIENT_FILES[name]
            _write(home / path, "{ broken" if name in self.broken else text)

    def _weights(self, cache: Path) -> None:
        """A whole checkpoint is the nano model's in place of the published one; half of one is its configuration."""
        for name in (*self.weights, *self.half):
            folder = cache / f"models--{variant_named(name).repository.replace('/', '--')}"
            commit = hashlib.sha1(name.encode()).hexdigest()
            snapshot = folder / "snapshots" / commit
            _write(folder / "refs" / "main", commit)
            if name in self.weights:
                snapshot.parent.mkdir(parents=True)
                snapshot.symlink_to(NANO)
            else:
                _write(snapshot / "config.json", (NANO / "config.json").read_text())
                _write(folder / "blobs" / "0123.incomplete", "x" * 5_000)


def named(*names: str, free: Sequence[float] = (), **changes: object) -> tuple[Gpu, ...]:
    """GPUs by name; `free`: GiB that other programs leave; CUDA 13's driver unless told otherwise."""
    gpus: list[Gpu] = []
    for index, name in enumerate(names):
        gpu = gpu_named(name, index)
        driver = (13, 0) if gpu.vendor == "nvidia" else None
        left = {"free_bytes": int(free[index] * GIB)} if free else {}
        gpus.append(gpu.model_copy(update={"driver_cuda": driver, **left, **changes}))
    return tuple(gpus)


def snapshot(folder: Path) -> dict[str, tuple[float, str]]:
    """Every path below a folder with its time of change and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else str(path.is_dir())
        found[str(path.relative_to(folder))] = (path.lstat().st_mtime, content)
    return found


def _write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _executable(path: Path) -> None:
    _write(path, "#!/bin/sh\nexit 9\n")
    path.chmod(0o755)


def server_entry(facts: Facts) -> str:
    """What Claude Code's file holds when the server is there already."""
    script = facts.place.prefix / "bin" / "internvl-mcp"
    entry = {"type": "stdio", "command": str(script), "args": []}
    return json.dumps({"mcpServers": {"internvl": entry}}, indent=2)
