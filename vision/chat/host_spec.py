"""What a model host is started with: passed as JSON from the server that starts it."""

from __future__ import annotations

from pathlib import Path

from vision.serving.types import ServingPlan
from vision.types import Frozen
from vision.variants.plan import Plan


class HostSpec(Frozen):
    """`plan`: of the model that the host runs itself, or of the server that it starts and watches. `folder`: the
    checkpoint (config.json, *.safetensors, tokenizer), or the GGUF files. Two servers with equal specs share a host,
    whatever their `idle_unload_s`.
    """

    plan: Plan | ServingPlan
    folder: Path
    idle_unload_s: float

    @property
    def own(self) -> Plan:
        """The plan of a model that the host runs itself, as whoever runs one knows."""
        assert isinstance(self.plan, Plan)
        return self.plan
