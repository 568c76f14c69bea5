"""What setup changes, a step after the other. What fails is told at the end, and the rest is done all the same.

All of it can be begun again: packages are installed as their installer does it, weights go on where they stopped, each
client's file is changed at once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from manifests.descriptor import descriptor
from mcp_server import pulling, self_test, settings
from mcp_server.setup_clients import ClientStep, add
from mcp_server.setup_environment import Install, uv_of
from mcp_server.setup_facts import Facts
from mcp_server.setup_plan import ModelPlan, Problem
from mcp_server.setup_talk import Talk
from vision.config import Settings
from vision.engine.local import LocalMachine
from vision.errors import VisionError
from vision.service import VisionService

_AGAIN = "Look at what is said above, then run `internvl-mcp setup` again: it goes on from there."


def _run(command: Sequence[str]) -> int:
    return subprocess.run(command, check=False).returncode


@dataclass(frozen=True)
class Hands:
    """What reaches outside this process; tests watch it. `run` gives a command's exit status, `pull` as the command."""

    run: Callable[[Sequence[str]], int] = _run
    pull: Callable[[argparse.Namespace, Settings], int] = pulling.pull


@dataclass
class Work:
    options: argparse.Namespace
    settings: Settings
    facts: Facts
    hands: Hands
    talk: Talk
    failed: list[Problem] = field(default_factory=list)
    model_is_ready: bool = False

    def model(self, planned: ModelPlan) -> int | None:
        """Packages, then weights. The exit status of the program that goes on elsewhere, where one does."""
        self.failed += planned.problems
        plan = planned.offer.plan
        if plan is None or any(problem.part == "disk" for problem in planned.problems):
            return None
        packages = planned.packages
        if packages is not None:
            if not packages.install.by_us or not self.talk.agreed("Install these packages?"):
                return None
            if not self._installed(packages.install):
                return None
            if packages.install.elsewhere:
                return self._go_on_elsewhere(planned.offer.named)
        self.model_is_ready = not planned.download or self._fetched(planned)
        if self.model_is_ready:
            self.talk.say(self._how_to_pin(planned))
        return None

    def clients(self, steps: Sequence[ClientStep]) -> None:
        for step in steps:
            if step.to_do and not self.talk.agreed(f"Add the server to {step.client.title}?"):
                continue
            problem = add(self.facts.place, step)
            if problem is not None:
                self.failed.append(problem)
            elif step.to_do:
                self.talk.say([f"Added to {step.client.title}. {step.client.then}"])
        if steps and (given := _settings_given(self.options)):
            again = shlex.join((descriptor().command, "install", "--", *given))
            self.talk.say([f"Settings of this run are not those of the clients. To give them these: {again}"])

    def self_test(self, planned: ModelPlan) -> None:
        """The model answers a question about a drawn picture; without one the embedded engine reads words back."""
        tried = self.settings
        if self.model_is_ready:
            tried = tried.model_copy(update={"engine": "internvl", "variant": planned.offer.named})
        try:
            self.talk.say([f"Self-test: {anyio.run(self._tried, tried)}"])
        except VisionError as e:
            self.failed.append(Problem(part="self-test", what=e.message, advice=e.hint))

    async def _tried(self, settings: Settings) -> str:
        with VisionService(settings, Path.cwd()) as service:
            if not self.model_is_ready:
                return await self_test.reads_a_picture(service)
            try:
                return await self_test.asks_the_model(service, _progress)
            finally:
                await _progress(0, None, "")

    def _installed(self, install: Install) -> bool:
        for command, shown in zip(install.commands, install.shown, strict=True):
            self.talk.say([f"$ {shown}"])
            try:
                status = self.hands.run(command)
            except OSError as e:
                status = f"it could not be started ({e.strerror})"
            if status:
                self.failed.append(Problem(part="packages", what=f"{shown}: {status}", advice=_AGAIN))
                return False
        importlib.invalidate_caches()
        return True

    def _how_to_pin(self, planned: ModelPlan) -> list[str]:
        """What to write into the settings file where servers would choose another model than the one set up."""
        environment = self.facts.place.environment
        named = planned.offer.named
        own = settings.load(argparse.Namespace(config=self.options.config), environment)
        machine = LocalMachine(own, self.facts.cache, self.facts.probe, self.facts.missing)
        # Where the settings demand a model that cannot be had, what they demand is to be changed.
        with contextlib.suppress(VisionError):
            choice = machine.choose(())
            if choice.plan is not None and named in (choice.plan.variant, str(choice.folder)):
                return []
        file = self.options.config or settings.default_file(environment)
        return [f'To have clients served by it, write into {file}: variant = "{named}"']

    def _go_on_elsewhere(self, variant: str) -> int:
        """The tool that uv has installed does the rest, in an environment that lasts."""
        uv = str(uv_of(self.facts))
        given = self.options
        flags = [*_settings_given(given), "--variant", variant]
        flags += ["--yes"] if given.yes else []
        flags += ["--no-clients"] if given.no_clients else []
        flags += ["--no-self-test"] if given.no_self_test else []
        flags += [word for target in given.target or () for word in ("--target", target)]
        return self.hands.run((uv, "tool", "run", descriptor().command, "setup", *flags))

    def _fetched(self, planned: ModelPlan) -> bool:
        if any(problem.part == "weights" for problem in planned.problems):
            return False
        variant = planned.offer.named
        wanted = argparse.Namespace(pulled_variant=variant, revision=None, json=False, yes=True)
        status = self.hands.pull(wanted, self.settings)
        if status == 130:
            raise KeyboardInterrupt
        if status:
            self.failed.append(Problem(part="weights", what=f"{variant} could not be fetched", advice=_AGAIN))
        return status == 0


def _settings_given(options: argparse.Namespace) -> list[str]:
    """The settings' flags of this run, but the variant, which is chosen by now."""
    flags = [] if options.config is None else ["--config", options.config]
    for name, about in settings.settable().items():
        given = None if name == "variant" else getattr(options, name, None)
        values = given if isinstance(given, list) else [] if given is None else [given]
        flags += [f"{settings.flag_of(name, about)}={value}" for value in values]
    return flags


async def _progress(done: float, total: float | None, message: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{message[:100]}\r")
        sys.stderr.flush()
