"""The command line of llama.cpp's server, and how its files are made. Options as of the release in servers.py."""

from __future__ import annotations

from pathlib import Path

from vision.errors import WeightsUnusable
from vision.serving.gguf import gguf_files
from vision.serving.launch import API_KEY, EVERYWHERE, client_of, endpoints_of, replica_steps
from vision.serving.servers import GGUF_REPOSITORIES, SERVERS, original_repository
from vision.serving.types import Launch, ServingPlan
from vision.variants.catalogue import variant_named


def launch(plan: ServingPlan) -> Launch:
    """A process for each replica on a machine."""
    server = SERVERS["llama.cpp"]
    steps = replica_steps(plan, server.port, lambda port: arguments(plan, EVERYWHERE, port))
    endpoints = endpoints_of(plan, server.port, plan.replicas // plan.nodes)
    return Launch(
        server="llama.cpp",
        version=server.version,
        model=plan.variant,
        needs=_files(plan),
        steps=tuple(step.model_copy(update={"env": {"LLAMA_API_KEY": API_KEY} | step.env}) for step in steps),
        endpoints=endpoints,
        client=client_of(endpoints),
    )


def weights_file(plan: ServingPlan) -> str:
    return f"{plan.variant}-{_type(plan).upper()}.gguf"


def projector_file(plan: ServingPlan) -> str:
    return f"mmproj-{plan.variant}-F16.gguf"


def arguments(plan: ServingPlan, host: str, port: int, folder: Path | None = None) -> tuple[str, ...]:
    """`llama-server` with every number of the plan. Its context counts all slots together: each gets a whole one.

    With a folder, the files by the names that they have there. Raises WeightsUnusable where they are not.
    """
    weights, projector = (weights_file(plan), projector_file(plan)) if folder is None else _found(plan, folder)
    argv = ["llama-server", "--model", weights, "--mmproj", projector, "--alias", plan.variant]
    argv += ["--host", host, "--port", str(port)]
    argv += ["--ctx-size", str(plan.context * plan.sequences), "--parallel", str(plan.sequences)]
    argv += ["--batch-size", str(plan.step_tokens), "--gpu-layers", "0" if plan.device == "cpu" else "all"]
    if plan.pipeline > 1:
        argv += ["--split-mode", "layer"]
    return (*argv, "--fit", "off", "--no-slots")


def _found(plan: ServingPlan, folder: Path) -> tuple[str, str]:
    for file in gguf_files(folder, plan.variant):
        if file.quantisation == plan.quantisation:
            return str(folder / file.weights), str(folder / file.projector)
    raise WeightsUnusable(
        f"{folder} does not hold {weights_file(plan)} and {projector_file(plan)}",
        "See how they are made: internvl-mcp plan --serve llama.cpp",
    )


def _type(plan: ServingPlan) -> str:
    return plan.quantisation if plan.quantisation in ("q8_0", "q4_k_m") else "bf16"


def _files(plan: ServingPlan) -> tuple[str, ...]:
    """Where the files come from. Converting keeps 16 bits; the smaller types are made from that file."""
    variant = variant_named(plan.variant)
    original, whole = original_repository(variant), f"{plan.variant}-BF16.gguf"
    folder = original.rpartition("/")[2]
    server = SERVERS["llama.cpp"]
    found = [f"llama-server, built for your hardware; its options as in {server.package} {server.version} on PyPI"]
    if plan.variant in GGUF_REPOSITORIES:
        found.append(
            f"the makers of llama.cpp publish {GGUF_REPOSITORIES[plan.variant]}; or make the files from {original} "
            "(the first layout: the converter does not read -hf), downloaded to a folder of that name:"
        )
    else:
        found.append(f"files made from {original} (the first layout), downloaded to a folder of that name:")
    found.append(f"python convert_hf_to_gguf.py {folder} --outtype bf16 --outfile {whole}")
    found.append(f"python convert_hf_to_gguf.py {folder} --mmproj --outtype f16 --outfile {projector_file(plan)}")
    if _type(plan) != "bf16":
        found.append(f"llama-quantize {whole} {weights_file(plan)} {_type(plan).upper()}")
    return tuple(found)
