"""The command line of vLLM's OpenAI server. Options as of the release in servers.py."""

from __future__ import annotations

import json

from vision.serving.launch import API_KEY, EVERYWHERE, client_of, devices_of, endpoints_of
from vision.serving.servers import SERVERS
from vision.serving.types import Launch, ServingPlan, Step

_HEAD = "<address of node 0>"
# vLLM's own default for --master-port.
_MASTER_PORT = 29501
_USUAL_TILES = 12


def launch(plan: ServingPlan) -> Launch:
    """How to start it: once, once on each machine (replicas), or once with a rank on each (one replica over all)."""
    server = SERVERS["vllm"]
    argv, devices = arguments(plan, EVERYWHERE, server.port), devices_of(plan)
    env = {"VLLM_API_KEY": API_KEY} | devices
    if plan.spans_nodes:
        steps = tuple(
            Step(where=f"on node {rank}", argv=(*argv, *_rank(plan, rank)), env=devices if rank else env)
            for rank in range(plan.nodes)
        )
        endpoints = (f"http://{_HEAD}:{server.port}/v1",)
    else:
        where = f"on each of the {plan.nodes} nodes" if plan.nodes > 1 else "on the server"
        steps = (Step(where=where, argv=argv, env=env),)
        endpoints = endpoints_of(plan, server.port, 1)
    return Launch(
        server="vllm",
        version=server.version,
        model=plan.variant,
        needs=(_package(plan),),
        steps=steps,
        endpoints=endpoints,
        client=client_of(endpoints),
        notes=_notes(plan),
    )


def arguments(plan: ServingPlan, host: str, port: int) -> tuple[str, ...]:
    """`vllm serve` with every number of the plan; without what differs from node to node."""
    argv = ["vllm", "serve", plan.repository]
    if plan.revision:
        argv += ["--revision", plan.revision]
    argv += ["--served-model-name", plan.variant, "--host", host, "--port", str(port), "--dtype", plan.dtype]
    if plan.quantisation == "awq":
        argv += ["--quantization", "awq"]
    if plan.remote_code:
        argv += ["--trust-remote-code"]
    argv += ["--tensor-parallel-size", str(plan.tensor)]
    if plan.pipeline > 1:
        argv += ["--pipeline-parallel-size", str(plan.pipeline)]
    inside = 1 if plan.spans_nodes else plan.replicas // plan.nodes
    if inside > 1:
        argv += ["--data-parallel-size", str(inside)]
    argv += ["--max-model-len", str(plan.context), "--max-num-seqs", str(plan.sequences)]
    argv += ["--max-num-batched-tokens", str(plan.step_tokens)]
    argv += ["--gpu-memory-utilization", f"{plan.memory_share:.2f}"]
    argv += ["--limit-mm-per-prompt", _json(_limits(plan)), "--mm-processor-kwargs", _json(_processor(plan))]
    # Without it vLLM refuses every request that says how many tiles it wants, as ours do.
    return (*argv, "--trust-request-mm-kwargs")


def _limits(plan: ServingPlan) -> dict[str, object]:
    """Pictures (frames are sent as such) and a video's frames. The latter bound what vLLM reserves memory for."""
    return {
        "image": plan.max_frames,
        "video": {"count": 1, "num_frames": plan.max_frames, "width": 448, "height": 448},
    }


def _processor(plan: ServingPlan) -> dict[str, int]:
    """Tiles where a request asks for none, by the name that the repository's processor has for them: transformers' own,
    or InternVL's first one. More than InternVL's own 12 would make every client's pictures dear.
    """
    name = "max_dynamic_patch" if plan.remote_code else "max_patches"
    return {name: min(plan.max_tiles, _USUAL_TILES)}


def _rank(plan: ServingPlan, rank: int) -> tuple[str, ...]:
    place = ("--nnodes", str(plan.nodes), "--node-rank", str(rank))
    return (*place, "--master-addr", _HEAD, "--master-port", str(_MASTER_PORT), *(("--headless",) if rank else ()))


def _package(plan: ServingPlan) -> str:
    version = SERVERS["vllm"].version
    if plan.vendor == "amd":
        return f"vLLM {version} built for ROCm, by its documentation's guide: the package on PyPI is for NVIDIA"
    return f"pip install vllm=={version}, or the image vllm/vllm-openai:v{version}"


def _notes(plan: ServingPlan) -> tuple[str, ...]:
    most = f"a request may ask for up to {plan.max_tiles} tiles a picture, as ours do"
    usual = min(plan.max_tiles, _USUAL_TILES)
    notes = [f"--trust-request-mm-kwargs: {most}, so give the key to clients you trust; without asking it is {usual}"]
    if plan.remote_code:
        notes.append(
            f"--trust-remote-code: {plan.repository} describes itself in Python of its own, which vLLM runs; "
            "read it first, or leave out --awq"
        )
    if plan.spans_nodes:
        notes.append("all nodes must have the weights under the same path, or the same cache, and the same vLLM")
    if plan.device == "cuda" and plan.tensor > 1:
        notes.append("in a container, tensor parallel needs shared memory: --ipc=host or --shm-size 16g")
    return tuple(notes)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
