"""What setup says: lines of text, made from what was found and planned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mcp_server.plan_command import hardware_lines
from mcp_server.pulling import size
from mcp_server.setup_clients import ClientStep
from mcp_server.setup_environment import Environment
from mcp_server.setup_facts import Facts
from mcp_server.setup_model import ModelOffer, Other
from mcp_server.setup_plan import ModelPlan, Problem
from vision.variants.candidates import unusable
from vision.variants.hardware import Hardware

_EXAMPLES = {
    True: (
        "Look at screenshot.png: what does the error dialog say, and which button is highlighted?",
        "Read report.pdf and tell me the three largest figures, with their pages.",
    ),
    False: (
        "Read report.pdf and give me its tables as Markdown.",
        "What text is in screenshot.png, and where does it stand?",
    ),
}


def machine(facts: Facts, hardware: Hardware, environment: Environment) -> list[str]:
    lines = ["This computer", *hardware_lines(hardware), f"  python  {environment.title}"]
    lines += [f"  note: {gpu.name} is not used: {why}" for gpu in hardware.gpus if (why := unusable(gpu))]
    if facts.container:
        lines.append("  note: a container: what is fetched lasts only where its folders lie on a volume")
    if facts.wsl and not hardware.gpus:
        lines.append("  note: WSL shows no GPU; an NVIDIA GPU of this computer needs NVIDIA's driver on Windows")
    return lines


def model(planned: ModelPlan) -> list[str]:
    found = planned.offer
    lines = ["Model"]
    if found.plan is None:
        lines.append(f"  none: {found.why}")
        lines.append("  The embedded engine reads documents, screenshots and labels without one.")
        return [*lines, *([f"  {found.advice}"] if found.advice else [])]
    plan = found.plan
    how = plan.dtype if plan.quantisation == "none" else plan.quantisation
    where = ", ".join(used.device for used in plan.bytes)
    lines.append(f"  {plan.variant} ({how}) on {where}{f', licence {found.licence}' if found.licence else ''}")
    lines += [f"  - {reason}" for reason in plan.reasons[:2]]
    available = sum(used.available for used in plan.bytes)
    lines.append(f"  memory: {size(found.memory)} of the {size(available)} that it may use")
    return [*lines, *_weights(planned), *_packages(planned)]


def _weights(planned: ModelPlan) -> list[str]:
    if not planned.download:
        return ["  weights: here and whole"]
    found = planned.offer
    part = f"{size(found.present)} of {size(found.size)} are here, " if found.present else ""
    return [
        f"  weights: {part}about {size(planned.download)} to fetch into {planned.cache}, "
        f"where {size(planned.free)} are free"
    ]


def _packages(planned: ModelPlan) -> list[str]:
    packages = planned.packages
    if packages is None:
        return ["  packages: installed"]
    sizes = f"about {size(packages.download)} to fetch, {size(packages.installed)} on disk"
    lines = [f"  packages: {packages.build.title} and the extra [local], {sizes} ({packages.why})"]
    lines += [f"    $ {command}" for command in packages.install.shown]
    return [*lines, *([f"    {packages.install.note}"] if packages.install.note and packages.install.by_us else [])]


def clients(steps: Sequence[ClientStep]) -> list[str]:
    none = ["  none was found on this computer: name one with --target, such as --target claude-code"]
    return ["Clients", *([line for step in steps for line in step.lines] or none)]


def problems(title: str, found: Iterable[Problem]) -> list[str]:
    lines: list[str] = []
    for problem in found:
        lines += [f"  {problem.part}: {problem.what}", f"    {problem.advice}"]
    return [title, *lines] if lines else []


def choices(found: Iterable[Other], recommended: ModelOffer) -> list[str]:
    """Variants by number, for somebody who chooses another one."""
    named = recommended.plan.variant if recommended.plan else ""
    return [
        f"  {place}  {other.name}: {size(other.size)}, on the {'CPU' if other.device == 'cpu' else 'GPU'}"
        f"{' (recommended)' if other.name == named else ''}"
        for place, other in enumerate(found, 1)
    ]


def next_words(with_model: bool) -> list[str]:
    return ["Say to your agent, for example", *(f'  "{example}"' for example in _EXAMPLES[with_model])]
