"""The form for Kubernetes: replicas behind a Service."""

from .descriptor import START_S, Descriptor, command
from .files import gpus, new_key, ours, text
from .objects import (
    CLIENT,
    container_parts,
    disruption_budget,
    network_policy,
    pod,
    probe,
    service,
    volume_claim,
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
