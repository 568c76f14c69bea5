"""The form for Docker Compose: one machine, on loopback."""

from .descriptor import SERVER, START_S, Descriptor, command
from .files import CACHE, asked, environment, gpus, new_key, ours, text


def compose(told: Descriptor) -> str:
    target = told.compose
    plan = target.plan
    serve, arguments_ = command(plan)[:2], command(plan)[2:]
    # vLLM takes its key from the environment; read from the secret there, it shows in no inspect.
    shell = f'VLLM_API_KEY="$$(cat /run/secrets/{told.secret.key})" exec {" ".join(serve)} "$$@"'
    gpu = {"driver": "nvidia", "count": target.gpus, "capabilities": ["gpu"]}
    service = {
        "image": told.pinned,
        "entrypoint": ["/bin/sh", "-c", shell, "vllm"],
        "command": arguments_,
        "environment": environment(),
        "secrets": [told.secret.key],
        "ports": [f"127.0.0.1:{SERVER.port}:{SERVER.port}"],
        "volumes": [f"models:{CACHE}"],
        "shm_size": f"{told.shared_memory_gib}gb",
        "deploy": {"resources": {"reservations": {"devices": [gpu]}}},
        "healthcheck": {
            "test": ["CMD", *asked(f"http://127.0.0.1:{SERVER.port}/health")],
            "interval": "30s",
            "timeout": "10s",
            "retries": 3,
            "start_period": f"{START_S}s",
        },
        "restart": "unless-stopped",
    }
    document = {
        "name": told.name,
        "services": {"vllm": service},
        "volumes": {"models": {}},
        "secrets": {told.secret.key: {"file": f"./{told.secret.key}"}},
    }
    return text(
        [
            f"vLLM with {plan.variant} on {gpus(target)}.",
            "",
            new_key(told.secret),
            "  docker compose up --detach",
            "",
            "and as the command of an agent's MCP server:",
            f"  {ours('http://127.0.0.1', f'<full path>/{told.secret.key}')}",
            "",
            "Only this machine reaches the port: put a proxy with TLS before it for others.",
        ],
        [document],
    )
