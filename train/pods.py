"""What a run on Kubernetes is made of: a ConfigMap, a Service, an Indexed Job, and what each of its pods does."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ..manifest import PARTIAL
from .layout import SERVER_PORT, Layout
from .reach import check_reach, on_hub
from .recipe import Recipe, recipe_text
from .servers import SERVER_ENVIRONMENT, serve_command, serve_options

if TYPE_CHECKING:
    from .launch import Start

WORKSPACE = PurePosixPath("/workspace")  # where the claim is mounted: outputs, datasets and the Hub's cache
RECIPE = PurePosixPath("/recipe/recipe.yaml")
FINISHED = ".finished"  # beside OUT on the claim: the UID of the job that wrote it
MASTER_PORT = 29500


def manifests(start: Start) -> list[dict[str, Any]]:
    """ConfigMap with the recipe, headless Service for the rendezvous, Indexed Job with one pod a node.

    Raises ``InputError`` for what only this machine can read.
    """
    check_reach(start.recipe, start.dataset, WORKSPACE)
    name = job_name(start)
    labels = {"app": name}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": {RECIPE.name: recipe_text(start.recipe)},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,  # the rendezvous comes before readiness
            "selector": labels,
            "ports": [{"name": "rendezvous", "port": MASTER_PORT}, {"name": "vllm", "port": SERVER_PORT}],
        },
    }
    return [config, service, _job(start, name, labels)]


def _job(start: Start, name: str, labels: dict[str, str]) -> dict[str, Any]:
    """No time to live: a finished job holds no GPU, and stays until its folder is collected."""
    settings, nodes = start.recipe.kubernetes, start.recipe.launch.nodes
    spec = {
        "completionMode": "Indexed",
        "completions": nodes,
        "parallelism": nodes,
        "backoffLimit": 3 * nodes,  # a preempted pod is started again and goes on from the last checkpoint
        "activeDeadlineSeconds": int(settings.hours * 3600),
        "template": {"metadata": {"labels": labels}, "spec": _pod(start, name)},
    }
    metadata = {"name": name, "labels": labels | {"out": folder_label(start)}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _pod(start: Start, name: str) -> dict[str, Any]:
    settings = start.recipe.kubernetes
    resources: dict[str, Any] = {"cpu": str(settings.cpus), "memory": f"{settings.memory_gib}Gi"}
    if settings.gpu_resource:
        resources[settings.gpu_resource] = str(start.recipe.launch.gpus_per_node)
    stop = f"touch {_beside(start, PARTIAL)}/stop; while kill -0 1 2>/dev/null; do sleep 1; done"
    container = {
        "name": "train",
        "image": settings.image,
        "command": ["bash", "-ec", pod_script(start, name)],
        "env": _environment(start),
        "resources": {"requests": resources, "limits": resources},
        # Before a pod is ended the run is asked for a checkpoint, and waited for.
        "lifecycle": {"preStop": {"exec": {"command": ["bash", "-c", stop]}}},
        "volumeMounts": [
            {"name": "workspace", "mountPath": str(WORKSPACE)},
            {"name": "recipe", "mountPath": str(RECIPE.parent), "readOnly": True},
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
    }
    return {
        "subdomain": name,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": settings.grace_seconds,
        "containers": [container],
        "volumes": [
            {"name": "workspace", "persistentVolumeClaim": {"claimName": settings.claim}},
            {"name": "recipe", "configMap": {"name": name}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},  # NCCL's, 64 MiB otherwise
        ],
    }


def _environment(start: Start) -> list[dict[str, Any]]:
    uid = "metadata.labels['batch.kubernetes.io/controller-uid']"
    variables: list[dict[str, Any]] = [
        {"name": "JOB_UID", "valueFrom": {"fieldRef": {"fieldPath": uid}}},
        {"name": "HF_HOME", "value": str(WORKSPACE / "cache")},
        {"name": "OMP_NUM_THREADS", "value": str(max(1, start.recipe.kubernetes.cpus // 2))},
    ]
    if secret := start.recipe.kubernetes.secret:
        variables.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "token"}}})
    return variables


def pod_script(start: Start, name: str) -> str:
    """What each pod runs: alone everything of its node; one of several torchrun, the last one the vLLM server.

    The first pod writes the job's UID into ``OUT.finished`` at the end. An older OUT has no say in that, and a pod
    that is started again afterwards ends at once.
    """
    launch, layout = start.recipe.launch, start.layout
    train = _options(start)
    lines = [f"cd {WORKSPACE}", f"{_finished(start)} && exit 0"]
    if launch.nodes == 1:
        alone = ["countdown-r1", "train", str(RECIPE), *train, "--launcher", "accelerate"]
        return "\n".join([*lines, shlex.join(alone), *_last_lines(start)])
    server = f"http://{name}-{layout.train_nodes}.{name}:{SERVER_PORT}"
    torchrun = ["torchrun", "--nnodes", str(layout.train_nodes), "--nproc-per-node", str(layout.per_node)]
    torchrun += ["--master-addr", f"{name}-0.{name}", "--master-port", str(MASTER_PORT)]
    work = ["-m", "countdown_r1.train", str(RECIPE), *train]
    if layout.server_nodes:
        work += ["--set", f"grpo.vllm_server_base_url={server}"]
        lines += [*_server_lines(start), *_wait_lines(server, launch.startup_seconds)]
    command = f"{shlex.join(torchrun)} --node-rank $JOB_COMPLETION_INDEX {shlex.join(work)}"
    return "\n".join([*lines, command, *_last_lines(start)])


def _finished(start: Start) -> str:
    """A test for bash: whether this job, and no earlier one, has written OUT."""
    return f'grep -qsFx "$JOB_UID" {_beside(start, FINISHED)}'


def _last_lines(start: Start) -> list[str]:
    """The first pod tells that OUT is there. A run that was asked to stop left OUT.partial, and its pod must fail."""
    stopped = "echo 'stopped before the end; the next pod goes on from the checkpoint' >&2; exit 1"
    return [
        "[ $JOB_COMPLETION_INDEX = 0 ] || exit 0",
        f"[ ! -e {_beside(start, PARTIAL)} ] || {{ {stopped}; }}",
        f'echo "$JOB_UID" > {_beside(start, FINISHED)}',
        "",
    ]


def _server_lines(start: Start) -> list[str]:
    """The last pod writes until the run is finished, and then ends well, so that the job does."""
    environment = " ".join(f"{key}={value}" for key, value in SERVER_ENVIRONMENT.items())
    return [
        f"if [ $JOB_COMPLETION_INDEX = {start.layout.train_nodes} ]; then",
        f"  {environment} {_serve_line(start.recipe, start.layout)} &",
        f"  until {_finished(start)}; do kill -0 $! || exit 1; sleep 5; done",
        "  kill $!; exit 0",
        "fi",
    ]


def _serve_line(recipe: Recipe, layout: Layout) -> str:
    """``vllm serve`` as bash reads it. Where a shipped model lies, the pod knows, and what a claim holds."""
    if on_hub(recipe.base):
        return shlex.join(serve_command(recipe, layout))
    find = "import sys; from countdown_r1 import models; print(models.resolve(sys.argv[1]).path_or_id)"
    model = f'"$(python3 -c {shlex.quote(find)} {shlex.quote(recipe.base)})"'
    return f"vllm serve {model} {shlex.join(serve_options(recipe, layout))}"


def _wait_lines(server: str, seconds: int) -> list[str]:
    look = "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5)"
    return [
        f"until python3 -c {shlex.quote(look)} {server}/health 2>/dev/null; do",
        f"  [ $SECONDS -lt {seconds} ] || {{ echo 'the vLLM server does not answer' >&2; exit 1; }}; sleep 2",
        "done",
    ]


def collector_pod(start: Start, name: str) -> dict[str, Any]:
    """A pod that only holds the claim, for ``kubectl cp``."""
    settings = start.recipe.kubernetes
    container = {
        "name": "collect",
        "image": settings.image,
        "command": ["sleep", "3600"],
        "volumeMounts": [{"name": "workspace", "mountPath": str(WORKSPACE), "readOnly": True}],
    }
    volume = {"name": "workspace", "persistentVolumeClaim": {"claimName": settings.claim}}
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [volume],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def job_name(start: Start) -> str:
    """A name that DNS takes, short enough for a pod's suffix, which no other recipe and no other options share."""
    readable = re.sub(r"[^a-z0-9-]+", "-", f"countdown-{start.recipe.name}".lower())[:40].strip("-")
    return f"{readable}-{_digest(recipe_text(start.recipe), *_options(start))}"


def _options(start: Start) -> list[str]:
    """What the training in a pod is told besides the recipe."""
    written = ["--out", str(remote_out(start))] + ["--overwrite"] * start.overwrite
    return ["--dataset", start.dataset, *written, *start.forwarded]


def folder_label(start: Start) -> str:
    """The same for all jobs that write to one folder of one claim."""
    return _digest(start.recipe.kubernetes.claim, str(remote_out(start)))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:10]


def remote_out(start: Start) -> PurePosixPath:
    """OUT on the claim."""
    parts: Sequence[str] = [part for part in start.out.parts if part not in ("/", "..", ".")]
    return WORKSPACE.joinpath(*parts)


def _beside(start: Start, suffix: str) -> str:
    """A path beside OUT on the claim, as bash reads it."""
    return shlex.quote(f"{remote_out(start)}{suffix}")
