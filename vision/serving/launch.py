"""What the servers' commands have in common, and how they are written for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from vision.serving.types import ServingPlan, Step
from vision.variants.hardware import Vendor

# Filled in by whoever runs the command: a key in a command line would show in the list of processes.
API_KEY = '"$(cat <key file>)"'

# For servers that ask for a key, which others are to reach.
EVERYWHERE = "0.0.0.0"  # noqa: S104

# Variables by which drivers show a process some of the GPUs, and what stands before the numbers.
_SHOWN: dict[Vendor, tuple[str, str]] = {
    "nvidia": ("CUDA_VISIBLE_DEVICES", ""),
    "amd": ("HIP_VISIBLE_DEVICES", ""),
    "intel": ("ONEAPI_DEVICE_SELECTOR", "level_zero:"),
}


def client_of(endpoints: tuple[str, ...], key: bool = True) -> tuple[str, ...]:
    """Our own side: the server for agents, asking these endpoints, with a key where they want one."""
    addresses = (part for one in endpoints for part in ("--endpoint", one))
    return ("internvl-mcp", "--engine", "remote", *addresses, *(("--endpoint-key-file", "<key file>") if key else ()))


def devices_of(plan: ServingPlan, replica: int | None = None) -> dict[str, str]:
    """Which GPUs a process sees: those of one replica, or all that are used; nothing where that is every GPU."""
    used = plan.devices
    if replica is not None:
        size = plan.tensor * plan.pipeline
        used = used[replica * size : (replica + 1) * size]
    if not used or plan.vendor is None or (plan.all_devices and len(used) == len(plan.devices)):
        return {}
    shown = _SHOWN.get(plan.vendor)
    return {} if shown is None else {shown[0]: shown[1] + ",".join(str(device) for device in used)}


def replica_steps(plan: ServingPlan, port: int, argv: Callable[[int], tuple[str, ...]]) -> tuple[Step, ...]:
    """A process for each replica on a machine, with its own GPUs and port. `argv`: the command for a port."""
    inside = plan.replicas // plan.nodes
    where = f"on each of the {plan.nodes} nodes" if plan.nodes > 1 else "on the server"
    return tuple(
        Step(
            where=where if inside == 1 else f"{where}, replica {i + 1} of {inside}",
            argv=argv(port + i),
            env=devices_of(plan, i if inside > 1 else None),
        )
        for i in range(inside)
    )


def endpoints_of(plan: ServingPlan, port: int, processes: int, host: str = "<address>") -> tuple[str, ...]:
    """Where so many processes on each machine answer."""
    hosts = [f"<address of node {i}>" for i in range(plan.nodes)] if plan.nodes > 1 else [host]
    return tuple(f"http://{name}:{port + i}/v1" for name in hosts for i in range(processes))


def shell_lines(step: Step) -> list[str]:
    """The command as one would type it, an option with its values a line; placeholders in angle brackets stay bare."""
    lines = [" ".join([*(f"{name}={value}" for name, value in step.env.items()), *_head(step.argv)])]
    for part in step.argv[len(_head(step.argv)) :]:
        if part.startswith("-"):
            lines.append(part)
        else:
            lines[-1] += f" {_quoted(part)}"
    return [f"{line} \\" for line in lines[:-1]] + [lines[-1]]


def _head(argv: tuple[str, ...]) -> list[str]:
    """The program, its command and what stands before the first option."""
    first = next((i for i, part in enumerate(argv) if part.startswith("-")), len(argv))
    return [_quoted(part) for part in argv[:first]]


def _quoted(part: str) -> str:
    return f'"{part}"' if part.startswith("<") or "//<" in part else shlex.quote(part)
