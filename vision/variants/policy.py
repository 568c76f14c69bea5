"""What a plan is made for: what the user wants, and what is there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vision.config import Settings
from vision.types import Frozen
from vision.variants.ranking import Goal, Use


class Policy(Frozen):
    """What the user wants. `variant`: a pinned one; `memory_fraction`: share of the free memory that may be used.

    `quantisation`: auto takes int8 or nf4 where that buys a better variant; none, int8 and nf4 leave no choice.
    """

    goal: Goal = "balanced"
    use: Use = "general"
    memory_fraction: float = Field(default=0.9, gt=0, le=1)
    quantisation: Literal["auto", "none", "int8", "nf4"] = "auto"
    variant: str | None = None
    device: Literal["auto", "cpu", "cuda", "mps", "xpu"] = "auto"


class Request(Frozen):
    """What the asker has and needs. `available`: variants whose weights are here, None for any of the catalogue.

    `max_tiles`: tiles that a picture should be cut into. `awq`: the plan is for software that reads the AWQ
    repositories (LMDeploy, vLLM); the model host here does not.
    """

    available: frozenset[str] | None = None
    max_tiles: int | None = Field(default=None, ge=1)
    awq: bool = False


def policy_from(settings: Settings, use: Use = "general") -> Policy:
    """The policy that the settings say."""
    return Policy(
        goal=settings.policy,
        use=use,
        memory_fraction=settings.memory_fraction,
        quantisation=settings.quantisation,
        variant=settings.variant,
        device=settings.device,
    )


def request_from(settings: Settings, available: frozenset[str] | None = None) -> Request:
    """The request that the settings say. Tiles are wanted only where the user set them: the default is no wish."""
    wanted = settings.max_tiles if "max_tiles" in settings.model_fields_set else None
    return Request(available=available, max_tiles=wanted)
