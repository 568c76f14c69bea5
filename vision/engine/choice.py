"""What was chosen to answer, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from vision.chat.host_spec import HostSpec
from vision.remote.capabilities import ASSUMED_CONTEXT
from vision.remote.servers import RemoteModel
from vision.serving.types import ServingPlan
from vision.types import Frozen
from vision.variants.hardware import Hardware
from vision.variants.plan import Plan

# Of a context, what the pictures may take: the rest is for the words and the answer. A frame is one tile and its name.
_PICTURES_SHARE, _WORDS_TOKENS, _FRAME_TOKENS = 0.75, 400, 270


class Model(Frozen):
    """The model that answers, wherever it runs. `max_tiles`: most tiles a picture; `max_frames`: most frames of a video
    in a prompt; `max_pictures`: most pictures in one, None where there is no bound but the context (tokens of a prompt
    with its answer). `device`: None where it runs on somebody else's. `internvl`: it knows InternVL's own prompts.
    """

    variant: str
    revision: str | None = None
    quantisation: str | None = None
    device: str | None = None
    internvl: bool = True
    max_tiles: int
    max_frames: int
    max_pictures: int | None = None
    context: int


class Choice(Frozen):
    """`reason`: why this engine, and why not a better one. `advice`: what would make it better, a command mostly; ""
    where nothing would.

    The model is one of two: `plan` with `folder` (the checkpoint) where our own host runs it, or starts a server that
    does; `remote` where somebody else's server does. `name` is "internvl" for an InternVL on either, "remote" for
    another server's model.
    """

    name: Literal["ocr", "internvl", "remote"]
    reason: str
    advice: str = ""
    plan: Plan | ServingPlan | None = None
    folder: Path | None = None
    remote: RemoteModel | None = None

    @property
    def says(self) -> str:
        """Reason and advice, for a result."""
        return f"{self.reason}. {self.advice}" if self.advice else self.reason

    @property
    def model(self) -> Model | None:
        """What answers; None for the embedded engine."""
        if self.plan is not None:
            return _local(self.plan)
        return None if self.remote is None else _remote(self.remote)


def _local(plan: Plan | ServingPlan) -> Model:
    frames_at_most = isinstance(plan, ServingPlan) and plan.server == "vllm"  # its --limit-mm-per-prompt
    return Model(
        variant=plan.variant,
        revision=plan.revision,
        quantisation=plan.quantisation,
        device=plan.device,
        max_tiles=plan.max_tiles,
        max_frames=plan.max_frames,
        max_pictures=plan.max_frames if frames_at_most else None,
        context=plan.context,
    )


def _remote(remote: RemoteModel) -> Model:
    known = remote.capabilities
    context = known.context or ASSUMED_CONTEXT
    frames = max(1, int((context * _PICTURES_SHARE - _WORDS_TOKENS) / _FRAME_TOKENS))
    return Model(
        variant=known.name,
        internvl=known.internvl,
        max_tiles=known.max_tiles,
        max_frames=frames if known.max_pictures is None else min(frames, known.max_pictures),
        max_pictures=known.max_pictures,
        context=context,
    )


def served(remote: RemoteModel) -> Choice:
    """The choice of a model that somebody else serves, with what is known and what is taken for granted."""
    known = remote.capabilities
    server = "a server" if known.kind == "unknown" else known.kind
    reason = f"the setting endpoints names {remote.url}, where {server} serves {known.model}"
    if remote.servers > 1:
        reason += f" (one of {remote.servers} that take turns)"
    if not known.listed:
        reason += "; its list of models does not tell of it, so what it takes is assumed by its name"
    if known.context is None:
        reason += f"; it does not tell its context, {ASSUMED_CONTEXT} tokens are assumed"
    advice = "" if known.internvl else "By its name it is no InternVL: boxes and tables may come in another form"
    return Choice(name="internvl" if known.internvl else "remote", reason=reason, advice=advice, remote=remote)


class Machine(Protocol):
    """Looks at the hardware, the weights and the settings. It may take a second: it is called in threads."""

    def choose(self, running: tuple[HostSpec, ...], variant: str | None = None) -> Choice:
        """What answers. `variant`: the only one wanted, and its error is raised.

        `running`: what model hosts were started with that are up; one of them is taken before a new plan, as its own
        memory would make that smaller. Raises the precise VisionError where the settings demand InternVL and it cannot
        be had.
        """
        ...

    def hardware(self) -> Hardware: ...

    def plan(self, variant: str | None) -> Plan | ServingPlan:
        """What would run were its weights here. Raises VisionError: an unknown variant, or nothing that fits."""
        ...
