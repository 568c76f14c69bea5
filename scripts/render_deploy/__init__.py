"""The files of manifests/deploy, made by scripts/render from their descriptor and the serving plan.

Every number in vLLM's command comes from the plan for the hardware that the descriptor names, as
`internvl-mcp plan --serve vllm` prints it.
"""

from pathlib import Path

from .compose import compose
from .descriptor import FOLDER, Descriptor
from .kubernetes import kubernetes
from .ray import ray, ray_image


def rendered() -> dict[Path, str]:
    """Each file with its text."""
    told = Descriptor.model_validate_json((FOLDER / "descriptor.json").read_text(encoding="utf-8"))
    return {
        FOLDER / "compose.yaml": compose(told),
        FOLDER / "kubernetes.yaml": kubernetes(told),
        FOLDER / "ray.yaml": ray(told),
        FOLDER / "ray.Dockerfile": ray_image(told),
    }
