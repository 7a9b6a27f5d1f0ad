"""Training on Kubernetes: one command submits an Indexed Job, shows its log, fetches the results, releases the rest."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import InputError, TrainingError
from .layout import SERVER_PORT
from .recipe import recipe_text
from .servers import SERVER_ENVIRONMENT, serve_command

if TYPE_CHECKING:
    from .launch import Start

WORKSPACE = PurePosixPath("/workspace")  # where the claim is mounted: outputs, datasets and the Hub's cache
RECIPE = PurePosixPath("/recipe/recipe.yaml")
MASTER_PORT = 29500
STATES = "{.status.conditions[?(@.status=='True')].type}"


def submit(start: Start) -> None:
    """Apply the manifests, follow the first pod's log, copy the run's folder to OUT, delete what was made.

    Ctrl-C stops looking and leaves the job; the same command finds it again. Raises ``InputError`` without kubectl,
    ``TrainingError`` when the cluster refuses or the job fails, whose objects stay to be looked at.
    """
    objects = manifests(start)
    text = yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True)
    if start.dry_run:
        start.echo(f"would apply:\n\n{text}")
        return
    if shutil.which("kubectl") is None:
        raise InputError("section 'launch': launcher 'kubernetes' needs kubectl, and a cluster that it may use")
    if start.out.exists() and not start.overwrite:
        raise InputError(f"{start.out} exists already; pass --overwrite to replace it, or choose another folder")
    name, kubectl = job_name(start), Kubectl(start.recipe.kubernetes.namespace)
    kubectl("apply", "-f", "-", text=text)
    start.echo(f"job {name} in namespace {kubectl.namespace}; Ctrl-C stops looking, the same command looks again")
    kubectl("wait", "--for=condition=Ready", f"pod/{first_pod(name, kubectl)}", "--timeout=30m", may_fail=True)
    kubectl("logs", "--follow", f"job/{name}", "--all-containers", "--prefix=false", may_fail=True, shown=True)
    kubectl("wait", f"job/{name}", "--for=jsonpath={.status.conditions[0].type}", "--timeout=5m")
    if "Complete" not in kubectl("get", f"job/{name}", f"--output=jsonpath={STATES}"):
        raise TrainingError(f"job {name} failed: kubectl -n {kubectl.namespace} describe job {name}")
    _collect(start, name, kubectl)
    kubectl("delete", "job,service,configmap", "--selector", f"app={name}", "--wait=true")


class Kubectl:
    """``kubectl`` in one namespace; what it says when it fails becomes a ``TrainingError``."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(self, *words: str, text: str | None = None, may_fail: bool = False, shown: bool = False) -> str:
        """Its output, which ``shown`` lets through to the terminal instead."""
        command = ["kubectl", "--namespace", self.namespace, *words]
        output = None if shown else subprocess.PIPE
        done = subprocess.run(command, input=text, text=True, stdout=output, stderr=output, check=False)
        if done.returncode and not may_fail:
            said = (done.stderr or done.stdout or "").strip() or f"status {done.returncode}"
            raise TrainingError(f"kubectl {' '.join(words[:2])} failed: {said}")
        return done.stdout or ""


def first_pod(name: str, kubectl: Kubectl) -> str:
    """The pod with index 0, where the first process and the log are."""
    selector = f"app={name},batch.kubernetes.io/job-completion-index=0"
    output = "--output=jsonpath={.items[0].metadata.name}"
    return kubectl("get", "pod", "--selector", selector, output, may_fail=True).strip()


def _collect(start: Start, name: str, kubectl: Kubectl) -> None:
    """Copy the finished folder out of the claim, through a pod that does nothing else."""
    collector = f"{name}-collect"
    kubectl("apply", "-f", "-", text=json.dumps(collector_pod(start, collector)))
    try:
        kubectl("wait", "--for=condition=Ready", f"pod/{collector}", "--timeout=10m")
        start.out.parent.mkdir(parents=True, exist_ok=True)
        kubectl("cp", f"{collector}:{remote_out(start)}", str(start.out), "--retries=5")
    finally:
        kubectl("delete", f"pod/{collector}", "--wait=false", may_fail=True)


def manifests(start: Start) -> list[dict[str, Any]]:
    """ConfigMap with the recipe, headless Service for the rendezvous, Indexed Job with one pod a node."""
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
    settings, nodes = start.recipe.kubernetes, start.recipe.launch.nodes
    spec = {
        "completionMode": "Indexed",
        "completions": nodes,
        "parallelism": nodes,
        "backoffLimit": 3 * nodes,  # a preempted pod is started again and goes on from the last checkpoint
        "activeDeadlineSeconds": int(settings.hours * 3600),
        "ttlSecondsAfterFinished": 3600,  # GPUs are free at once; the log stays for an hour
        "template": {"metadata": {"labels": labels}, "spec": _pod(start, name)},
    }
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _pod(start: Start, name: str) -> dict[str, Any]:
    settings = start.recipe.kubernetes
    resources: dict[str, Any] = {"cpu": str(settings.cpus), "memory": f"{settings.memory_gib}Gi"}
    if settings.gpu_resource:
        resources[settings.gpu_resource] = str(start.recipe.launch.gpus_per_node)
    stop = f"touch {remote_out(start)}.partial/stop; while kill -0 1 2>/dev/null; do sleep 1; done"
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
    variables: list[dict[str, Any]] = [
        {"name": "HF_HOME", "value": str(WORKSPACE / "cache")},
        {"name": "OMP_NUM_THREADS", "value": str(max(1, start.recipe.kubernetes.cpus // 2))},
    ]
    if secret := start.recipe.kubernetes.secret:
        variables.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "token"}}})
    return variables


def pod_script(start: Start, name: str) -> str:
    """What each pod runs: alone everything of its node; one of several torchrun, the last one the vLLM server."""
    launch, layout = start.recipe.launch, start.layout
    train = ["--dataset", _dataset(start), "--out", str(remote_out(start))] + ["--overwrite"] * start.overwrite
    if launch.nodes == 1:
        alone = ["countdown-r1", "train", str(RECIPE), *train, "--launcher", "accelerate"]
        return f"cd {WORKSPACE}\nexec {shlex.join(alone)}\n"
    server = f"http://{name}-{layout.train_nodes}.{name}:{SERVER_PORT}"
    torchrun = ["torchrun", "--nnodes", str(layout.train_nodes), "--nproc-per-node", str(layout.per_node)]
    torchrun += ["--master-addr", f"{name}-0.{name}", "--master-port", str(MASTER_PORT)]
    work = ["-m", "countdown_r1.train", str(RECIPE), *train]
    lines = [f"cd {WORKSPACE}"]
    if layout.server_nodes:
        work += ["--set", f"grpo.vllm_server_base_url={server}"]
        lines += [*_server_lines(start), *_wait_lines(server, launch.startup_seconds)]
    return "\n".join([*lines, f"exec {shlex.join(torchrun)} --node-rank $JOB_COMPLETION_INDEX {shlex.join(work)}", ""])


def _server_lines(start: Start) -> list[str]:
    """The last pod writes until the run is finished, and then ends well, so that the job does."""
    environment = " ".join(f"{key}={value}" for key, value in SERVER_ENVIRONMENT.items())
    done = f"[ -e {remote_out(start)}/manifest.json ]"
    return [
        f"if [ $JOB_COMPLETION_INDEX = {start.layout.train_nodes} ]; then",
        f"  {environment} {shlex.join(serve_command(start.recipe, start.layout))} &",
        f"  until {done}; do kill -0 $! || exit 1; sleep 5; done",
        "  kill $!; exit 0",
        "fi",
    ]


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
    """A name that DNS takes, short enough for a pod's suffix."""
    return re.sub(r"[^a-z0-9-]+", "-", f"countdown-{start.recipe.name}".lower()).strip("-")[:50].strip("-")


def remote_out(start: Start) -> PurePosixPath:
    """OUT on the claim."""
    parts: Sequence[str] = [part for part in start.out.parts if part not in ("/", "..", ".")]
    return WORKSPACE.joinpath(*parts)


def _dataset(start: Start) -> str:
    """A Hub id, or a path on the claim. Raises ``InputError`` for a folder that only this machine has."""
    if start.dataset.startswith(str(WORKSPACE)) or not Path(start.dataset).exists():
        return start.dataset
    raise InputError(
        f"dataset {start.dataset} is on this machine, the cluster cannot read it: push it (build-dataset --push-to) "
        f"and give its Hub id, or copy it to the claim and give its path below {WORKSPACE}"
    )
