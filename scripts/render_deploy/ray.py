"""The form for Ray, by KubeRay: one replica over several machines."""

from typing import Any

from vision.serving.launch import shell_lines
from vision.serving.types import Step

from .descriptor import SERVER, START_S, Descriptor, command
from .files import gpus, new_key, ours, text
from .objects import container_parts, network_policy, pod, probe, raylet_probe, service, volume_claim

OPERATOR = {
    "from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}}}]
}


def ray(told: Descriptor) -> str:
    target, named = told.ray, told.model_copy(update={"name": f"{told.name}-ray"})
    plan = target.plan
    labels = {"app": named.name}
    return text(
        [
            f"One replica of vLLM with {plan.variant} over {target.nodes} machines, {gpus(target)} each:",
            f"tensor parallel {plan.tensor} within a machine, pipeline parallel {plan.pipeline} over them, by KubeRay.",
            "",
            f"  docker build --tag {image(told)} --file ray.Dockerfile .      (your registry instead)",
            f"  docker push {image(told)}",
            new_key(told.secret),
            f"  kubectl create secret generic {told.secret.name} --from-file={told.secret.key}",
            "  kubectl apply --filename ray.yaml",
            f"  {ours(f'http://{named.name}', told.secret.key)}",
            "",
            "Ray has no keys of its own: the network policy keeps its ports among these pods and the operator.",
        ],
        [
            volume_claim(named, plan),
            cluster(named, labels),
            service(named, labels | {"role": "head"}),
            network_policy(named, labels, [{"from": [{"podSelector": {"matchLabels": labels}}]}, OPERATOR]),
        ],
    )


def cluster(named: Descriptor, labels: dict[str, str]) -> dict[str, Any]:
    workers = named.ray.nodes - 1
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": named.name,
            "labels": labels,
            # The containers start Ray themselves, so that vLLM follows it on the head.
            "annotations": {"ray.io/overwrite-container-cmd": "true"},
        },
        "spec": {
            "rayVersion": named.ray.version,
            "headGroupSpec": {
                "rayStartParams": {},
                "template": {"metadata": {"labels": labels | {"role": "head"}}, "spec": pod(named, [head(named)])},
            },
            "workerGroupSpecs": [
                {
                    "groupName": "gpu",
                    "replicas": workers,
                    "minReplicas": workers,
                    "maxReplicas": workers,
                    "rayStartParams": {},
                    "template": {"metadata": {"labels": labels}, "spec": pod(named, [worker(named)])},
                }
            ],
        },
    }


def head(told: Descriptor) -> dict[str, Any]:
    """Ray's head, which runs vLLM."""
    served = shell_lines(Step(where="", argv=(*command(told.ray.plan), "--distributed-executor-backend", "ray")))
    # vLLM waits up to half an hour for the other nodes' GPUs.
    lines = ["ray start --head --port=6379 --disable-usage-stats &&", "exec " + served[0], *served[1:]]
    return {
        "name": "ray-head",
        "image": image(told),
        "command": ["/bin/bash", "-c"],
        "args": ["\n".join(lines)],
        **container_parts(told, told.ray),
        "ports": [{"name": "http", "containerPort": SERVER.port}, {"name": "gcs", "containerPort": 6379}],
        "startupProbe": probe(10, START_S // 10),
        "readinessProbe": probe(10, 3),
        "livenessProbe": probe(30, 4),
    }


def worker(told: Descriptor) -> dict[str, Any]:
    """What gives the head the GPUs of one more machine."""
    parts = container_parts(told, told.ray)
    return {
        "name": "ray-worker",
        "image": image(told),
        "command": ["/bin/bash", "-c"],
        "args": ['exec ray start --address="${FQ_RAY_IP}:6379" --disable-usage-stats --block'],
        **{name: part for name, part in parts.items() if name not in ("ports", "env")},
        "env": parts["env"][:-1],  # the key is the head's alone
        # KubeRay's own probes need wget, which the image may not have: the same address, by Python.
        "readinessProbe": raylet_probe(10),
        "livenessProbe": raylet_probe(120),
    }


def image(told: Descriptor) -> str:
    return f"{told.ray.image}:{SERVER.version}-{told.ray.version}"


def ray_image(told: Descriptor) -> str:
    return (
        "# Made by scripts/render from descriptor.json.\n"
        "# vLLM's requirements do not name Ray: every node has the same release of it here.\n"
        f"FROM {told.pinned}\n"
        f'RUN python3 -m pip install --no-cache-dir "ray[default]=={told.ray.version}"\n'
    )
