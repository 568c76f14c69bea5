"""What a model host is started with: passed as JSON from the server that starts it."""

from __future__ import annotations

from pathlib import Path

from vision.types import Frozen
from vision.variants.plan import Plan


class HostSpec(Frozen):
    """`folder`: the checkpoint (config.json, *.safetensors, tokenizer). Two servers with equal specs share a host,
    whatever their `idle_unload_s`.
    """

    plan: Plan
    folder: Path
    idle_unload_s: float
