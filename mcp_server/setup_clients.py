"""The clients that setup adds the server to, each on its own: a broken file does not keep the others from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manifests.clients.known import Client, detected
from manifests.clients.launch import Launch, launch_for
from manifests.clients.place import Place
from manifests.descriptor import descriptor
from manifests.errors import InstallError
from manifests.install.apply import apply
from manifests.install.diff import diff
from manifests.install.plan import Change, clients_named, plan_install
from mcp_server.setup_plan import Problem


@dataclass(frozen=True)
class ClientStep:
    """What adding the server to one client changes, or why it cannot be added."""

    client: Client
    change: Change | None = None
    problem: Problem | None = None

    @property
    def to_do(self) -> bool:
        return self.change is not None and self.change.writes

    @property
    def lines(self) -> list[str]:
        if self.change is None:
            return [f"  {self.client.title}: cannot be changed"]
        notes = [f"    {note}" for note in self.change.notes]
        if not self.to_do:
            return [f"  {self.client.title}: has the server already ({self.change.path})", *notes]
        shown = [f"    {line}" for line in diff(self.change).splitlines()]
        return [f"  {self.client.title}: {self.change.path}", *shown, *notes]


def client_steps(place: Place, targets: Sequence[str] | None) -> list[ClientStep]:
    """A step for each client that was named, or that is on this computer. Raises InstallError: an unknown name."""
    clients = clients_named(targets) if targets else detected(place)
    try:
        launch = launch_for(place, "user", descriptor())
    except InstallError as e:
        return [ClientStep(client, problem=_problem(client, e)) for client in clients]
    return [_step(place, client, launch) for client in clients]


def add(place: Place, step: ClientStep) -> Problem | None:
    """Adds the server to the client; what kept it from that, if anything did."""
    if step.change is None or not step.to_do:
        return step.problem
    try:
        apply(place, [step.change])
    except InstallError as e:
        return _problem(step.client, e)
    return None


def _step(place: Place, client: Client, launch: Launch) -> ClientStep:
    try:
        (change,) = plan_install(place, [client], "user", launch, descriptor())
    except InstallError as e:
        return ClientStep(client, problem=_problem(client, e))
    return ClientStep(client, change)


def _problem(client: Client, error: InstallError) -> Problem:
    return Problem(part=client.title, what=error.message, advice=error.hint)
