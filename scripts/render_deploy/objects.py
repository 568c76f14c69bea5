"""What both forms for Kubernetes are made of."""

from typing import Any

from vision.serving.types import ServingPlan
from vision.variants.catalogue import variant_named

from .descriptor import SERVER, Descriptor, Target
from .files import CACHE, asked, environment

CLIENT = "internvl-client"


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
