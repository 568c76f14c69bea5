"""The files of manifests/deploy, made by scripts/render from their descriptor and the serving plan.

Every number in vLLM's command comes from the plan for the hardware that the descriptor names, as
`internvl-mcp plan --serve vllm` prints it.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from vision.serving.launch import EVERYWHERE, shell_lines
from vision.serving.selection import serving_plan
from vision.serving.servers import SERVERS
from vision.serving.types import ServingPlan, Step
from vision.serving.vllm import arguments
from vision.types import Frozen
from vision.variants.hardware import Hardware
from vision.variants.known_gpus import gpu_named
from vision.variants.policy import Policy, Request

FOLDER = Path(__file__).resolve().parents[1] / "manifests" / "deploy"
SERVER = SERVERS["vllm"]
CACHE = "/models"
# Weights come over the network at the first start: a minute a GB, and time to compile and to fill the GPUs.
START_S = 3600


class Secret(Frozen):
    name: str
    key: str


class Target(Frozen):
    """A variant on so many GPUs of each of so many machines (Ray), or as so many replicas (Kubernetes)."""

    variant: str
    gpu: str
    gpus: int = Field(ge=1)
    nodes: int = Field(default=1, ge=1)
    replicas: int = Field(default=1, ge=1)
    image: str = ""
    version: str = ""

    @property
    def plan(self) -> ServingPlan:
        hardware = Hardware(gpus=tuple(gpu_named(self.gpu, index) for index in range(self.gpus)))
        return serving_plan(SERVER, hardware, Policy(variant=self.variant), Request(), self.nodes)


class Descriptor(Frozen):
    about: str
    name: str
    image: str
    secret: Secret
    shared_memory_gib: int = Field(ge=1)
    compose: Target
    kubernetes: Target
    ray: Target

    @property
    def pinned(self) -> str:
        """The image of the release that the options were read from."""
        return f"{self.image}:v{SERVER.version}"


def rendered() -> dict[Path, str]:
    """Each file with its text."""
    told = Descriptor.model_validate_json((FOLDER / "descriptor.json").read_text(encoding="utf-8"))
    return {
        FOLDER / "compose.yaml": compose(told),
        FOLDER / "kubernetes.yaml": kubernetes(told),
        FOLDER / "ray.yaml": ray(told),
        FOLDER / "ray.Dockerfile": ray_image(told),
    }


def command(plan: ServingPlan) -> list[str]:
    return list(arguments(plan, EVERYWHERE, SERVER.port))


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


def kubernetes(told: Descriptor) -> str:
    target = told.kubernetes
    plan = target.plan
    labels = {"app": told.name}
    container = {
        "name": "vllm",
        "image": told.pinned,
        "command": command(plan)[:2],
        "args": command(plan)[2:],
        **container_parts(told, target),
        "startupProbe": probe(10, START_S // 10),
        "readinessProbe": probe(10, 3),
        "livenessProbe": probe(30, 4),
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": told.name, "labels": labels},
        "spec": {
            "replicas": target.replicas,
            "selector": {"matchLabels": labels},
            # There are rarely GPUs for one more: an old pod makes room for the new one.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "progressDeadlineSeconds": START_S + 600,
            "template": {"metadata": {"labels": labels}, "spec": pod(told, [container])},
        },
    }
    documents = [volume_claim(told, plan), deployment, service(told, labels), network_policy(told, labels, [])]
    if target.replicas > 1:
        documents.append(disruption_budget(told, labels))
    return text(
        [
            f"{target.replicas} replicas of vLLM with {plan.variant}, each on {gpus(target)}, behind one Service.",
            "",
            new_key(told.secret),
            f"  kubectl create secret generic {told.secret.name} --from-file={told.secret.key}",
            "  kubectl apply --filename kubernetes.yaml",
            f"  {ours(f'http://{told.name}', told.secret.key)}",
            "",
            f"Pods with the label {CLIENT}=true reach it. All replicas share the volume of weights: its storage class",
            "must have ReadWriteMany.",
        ],
        documents,
    )


def ray(told: Descriptor) -> str:
    target, named = told.ray, told.model_copy(update={"name": f"{told.name}-ray"})
    plan = target.plan
    labels = {"app": named.name}
    served = shell_lines(Step(where="", argv=(*command(plan), "--distributed-executor-backend", "ray")))
    parts = container_parts(told, target)
    image = f"{target.image}:{SERVER.version}-{target.version}"
    head = {
        "name": "ray-head",
        "image": image,
        "command": ["/bin/bash", "-c"],
        # vLLM waits up to half an hour for the other nodes' GPUs.
        "args": [
            "\n".join(["ray start --head --port=6379 --disable-usage-stats &&", "exec " + served[0], *served[1:]])
        ],
        **parts,
        "ports": [{"name": "http", "containerPort": SERVER.port}, {"name": "gcs", "containerPort": 6379}],
        "startupProbe": probe(10, START_S // 10),
        "readinessProbe": probe(10, 3),
        "livenessProbe": probe(30, 4),
    }
    worker = {
        "name": "ray-worker",
        "image": image,
        "command": ["/bin/bash", "-c"],
        "args": ['exec ray start --address="${FQ_RAY_IP}:6379" --disable-usage-stats --block'],
        **{name: part for name, part in parts.items() if name not in ("ports", "env")},
        "env": parts["env"][:-1],  # the key is the head's alone
        # KubeRay's own probes need wget, which the image may not have: the same address, by Python.
        "readinessProbe": raylet_probe(10),
        "livenessProbe": raylet_probe(120),
    }
    cluster = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": named.name,
            "labels": labels,
            # The containers start Ray themselves, so that vLLM follows it on the head.
            "annotations": {"ray.io/overwrite-container-cmd": "true"},
        },
        "spec": {
            "rayVersion": target.version,
            "headGroupSpec": {
                "rayStartParams": {},
                "template": {"metadata": {"labels": labels | {"role": "head"}}, "spec": pod(named, [head])},
            },
            "workerGroupSpecs": [
                {
                    "groupName": "gpu",
                    "replicas": target.nodes - 1,
                    "minReplicas": target.nodes - 1,
                    "maxReplicas": target.nodes - 1,
                    "rayStartParams": {},
                    "template": {"metadata": {"labels": labels}, "spec": pod(named, [worker])},
                }
            ],
        },
    }
    return text(
        [
            f"One replica of vLLM with {plan.variant} over {target.nodes} machines, {gpus(target)} each:",
            f"tensor parallel {plan.tensor} within a machine, pipeline parallel {plan.pipeline} over them, by KubeRay.",
            "",
            f"  docker build --tag {image} --file ray.Dockerfile .      (your registry instead)",
            f"  docker push {image}",
            new_key(told.secret),
            f"  kubectl create secret generic {told.secret.name} --from-file={told.secret.key}",
            "  kubectl apply --filename ray.yaml",
            f"  {ours(f'http://{named.name}', told.secret.key)}",
            "",
            "Ray has no keys of its own: the network policy keeps its ports among these pods and the operator.",
        ],
        [
            volume_claim(named, plan),
            cluster,
            service(named, labels | {"role": "head"}),
            network_policy(named, labels, [{"from": [{"podSelector": {"matchLabels": labels}}]}, OPERATOR]),
        ],
    )


def ray_image(told: Descriptor) -> str:
    return (
        "# Made by scripts/render from descriptor.json.\n"
        "# vLLM's requirements do not name Ray: every node has the same release of it here.\n"
        f"FROM {told.pinned}\n"
        f'RUN python3 -m pip install --no-cache-dir "ray[default]=={told.ray.version}"\n'
    )


CLIENT = "internvl-client"
OPERATOR = {
    "from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}}}]
}


def new_key(secret: Secret) -> str:
    """A line that makes a key; a line's end in the file would be part of the key in Kubernetes."""
    return f"  (umask 077; openssl rand -hex 32 | tr -d '\\n' > {secret.key})"


def ours(host: str, key_file: str) -> str:
    """The command of an agent's MCP server."""
    return f"internvl-mcp --engine remote --endpoint {host}:{SERVER.port}/v1 --endpoint-key-file {key_file}"


def environment() -> dict[str, str]:
    return {"HF_HOME": CACHE, "VLLM_NO_USAGE_STATS": "1"}


def container_parts(told: Descriptor, target: Target) -> dict[str, Any]:
    """What every container of vLLM has in Kubernetes."""
    key = {"secretKeyRef": {"name": told.secret.name, "key": told.secret.key}}
    variables = [{"name": name, "value": value} for name, value in environment().items()]
    return {
        "env": [*variables, {"name": "VLLM_API_KEY", "valueFrom": key}],
        "ports": [{"name": "http", "containerPort": SERVER.port}],
        "resources": {
            "requests": {"cpu": str(4 * target.gpus), "memory": f"{2 * told.shared_memory_gib}Gi"},
            "limits": {"nvidia.com/gpu": str(target.gpus)},
        },
        "securityContext": {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumeMounts": [{"name": "models", "mountPath": CACHE}, {"name": "shm", "mountPath": "/dev/shm"}],
    }


def pod(told: Descriptor, containers: list[dict[str, Any]]) -> dict[str, Any]:
    shared = {"medium": "Memory", "sizeLimit": f"{told.shared_memory_gib}Gi"}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 120,
        "containers": containers,
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": f"{told.name}-models"}},
            {"name": "shm", "emptyDir": shared},
        ],
    }


def volume_claim(told: Descriptor, plan: ServingPlan) -> dict[str, Any]:
    from vision.variants.catalogue import variant_named

    gib = variant_named(plan.variant).bytes.bf16 * 5 // 4 // (1 << 30) + 1
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"{told.name}-models"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": f"{gib}Gi"}}},
    }


def service(told: Descriptor, selector: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": told.name},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": SERVER.port, "targetPort": "http"}]},
    }


def network_policy(told: Descriptor, labels: dict[str, str], more: list[dict[str, Any]]) -> dict[str, Any]:
    """vLLM's key guards /v1 alone: nobody else reaches the port."""
    clients = {
        "from": [{"podSelector": {"matchLabels": {CLIENT: "true"}}}],
        "ports": [{"protocol": "TCP", "port": SERVER.port}],
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": told.name},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": [clients, *more]},
    }


def disruption_budget(told: Descriptor, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": told.name},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
    }


def probe(period: int, failures: int) -> dict[str, Any]:
    found = {"path": "/health", "port": "http"}
    return {"httpGet": found, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures}


def raylet_probe(failures: int) -> dict[str, Any]:
    found = {"command": asked("http://localhost:52365/api/local_raylet_healthz")}
    return {"exec": found, "periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": failures}


def asked(address: str) -> list[str]:
    """A command that fails where nothing well answers at the address."""
    return ["python3", "-c", f"from urllib.request import urlopen; urlopen('{address}', timeout=5)"]


def gpus(target: Target) -> str:
    return f"{target.gpus} {target.gpu}" if target.gpus > 1 else f"one {target.gpu}"


def text(comment: list[str], documents: list[dict[str, Any]]) -> str:
    lines = ["Made by scripts/render from descriptor.json.", *comment]
    head = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    return head + yaml.dump_all(documents, Dumper=Indented, sort_keys=False, width=120)


class Indented(yaml.SafeDumper):
    """Lists stand deeper than their key, and no anchors: a part that occurs twice is written twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """A script of several lines is written as it is."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


Indented.add_representer(str, Indented.represent_str)
