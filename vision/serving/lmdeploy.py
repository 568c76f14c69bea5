"""The command line of LMDeploy's OpenAI server. Options as of the release in servers.py."""

from __future__ import annotations

from vision.serving.launch import client_of, endpoints_of, replica_steps
from vision.serving.servers import SERVERS
from vision.serving.types import Launch, ServingPlan

# Loopback: LMDeploy takes its keys from the command line alone, where every user of the machine reads them.
_HOST = "127.0.0.1"
_VISION_BATCH = 1


def launch(plan: ServingPlan) -> Launch:
    """A process for each replica on a machine, each on its own GPUs and port."""
    server = SERVERS["lmdeploy"]
    endpoints = endpoints_of(plan, server.port, plan.replicas // plan.nodes, _HOST)
    return Launch(
        server="lmdeploy",
        version=server.version,
        model=plan.variant,
        needs=(f"pip install lmdeploy=={server.version}",),
        steps=replica_steps(plan, server.port, lambda port: arguments(plan, _HOST, port)),
        endpoints=endpoints,
        client=client_of(endpoints, key=plan.nodes > 1),
        notes=_notes(plan),
    )


def backend_of(plan: ServingPlan) -> str:
    """InternVL3.5's cards name the PyTorch engine, those of InternVL3 TurboMind, which also has the faster AWQ."""
    return "pytorch" if plan.variant.startswith("InternVL3.5") else "turbomind"


def cache_share(plan: ServingPlan) -> float:
    """Of all that is free once the weights are there, what the KV cache may take, in hundredths rounded down."""
    part = plan.bytes
    free = part.available / plan.memory_share - part.weights
    return max(1, int(100 * part.kv_cache / free)) / 100


def arguments(plan: ServingPlan, host: str, port: int) -> tuple[str, ...]:
    """`lmdeploy serve api_server` with every number of the plan."""
    argv = ["lmdeploy", "serve", "api_server", plan.repository]
    if plan.revision:
        argv += ["--revision", plan.revision]
    argv += ["--model-name", plan.variant, "--server-name", host, "--server-port", str(port)]
    argv += ["--backend", backend_of(plan), "--dtype", plan.dtype]
    if plan.quantisation == "awq":
        argv += ["--model-format", "awq"]
    if plan.remote_code:
        argv += ["--trust-remote-code"]
    argv += ["--tp", str(plan.tensor), "--session-len", str(plan.context), "--max-batch-size", str(plan.sequences)]
    argv += ["--max-prefill-token-num", str(plan.step_tokens), "--cache-max-entry-count", f"{cache_share(plan):.2f}"]
    argv += ["--vision-max-batch-size", str(_VISION_BATCH), "--enable-prefix-caching", "--enable-abort-handling"]
    return tuple(argv)


def _notes(plan: ServingPlan) -> tuple[str, ...]:
    notes = ["it listens on loopback: its keys would stand in the command line; put a proxy that checks keys before it"]
    if plan.remote_code:
        notes.append(
            f"--trust-remote-code: {plan.repository} describes itself in Python of its own, which LMDeploy runs; "
            "read it first, or leave out --awq"
        )
    return tuple(notes)
