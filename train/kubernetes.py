"""Training on Kubernetes: one command submits an Indexed Job, shows its log, fetches the results, releases the rest."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import InputError, TrainingError
from ..manifest import FILE_NAME, PARTIAL, refuse_foreign, stage_folder
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
PAUSE = 5.0  # seconds between two looks, and between two tries
TRIES = 20  # of a kubectl call, before it is an error
TIMED = re.compile(r"\d{4}-\d\d-\d\dT\S+ ")  # how a line of a log begins, and none of kubectl's own
STATES = "{.status.conditions[?(@.status=='True')].type}"


def submit(start: Start) -> None:
    """Apply the manifests, follow the first pod's log, copy the run's folder to OUT, delete what was made.

    Ctrl-C stops looking and leaves the job; the same command finds it again. Raises ``InputError`` without kubectl or
    while another command's job writes to the same OUT, ``TrainingError`` when the cluster refuses or the job fails,
    whose objects stay to be looked at.
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
    refuse_foreign(start.out, FILE_NAME)
    name, kubectl = job_name(start), Kubectl(start.recipe.kubernetes.namespace)
    if not _begun(start, name, kubectl):
        kubectl("apply", "-f", "-", text=text, tries=1)
    start.echo(f"job {name} in namespace {kubectl.namespace}; Ctrl-C stops looking, the same command looks again")
    _watch(name, kubectl, start.echo)
    _collect(start, name, kubectl)
    kubectl("delete", "job,service,configmap", "--selector", f"app={name}", "--wait=true")


def _begun(start: Start, name: str, kubectl: Kubectl) -> bool:
    """Whether the job is there already. Raises ``InputError`` while another one writes to the same folder."""
    jobs = json.loads(kubectl("get", "job", "--selector", f"out={_folder_label(start)}", "--output=json", tries=1))
    for job in jobs["items"]:
        other, conditions = job["metadata"]["name"], job.get("status", {}).get("conditions", [])
        ended = any(met["type"] in ("Complete", "Failed") and met["status"] == "True" for met in conditions)
        if other != name and not ended:
            raise InputError(
                f"job {other} of another command or recipe writes to {remote_out(start)}: choose another --out, "
                f"wait for it, or end it with kubectl -n {kubectl.namespace} delete job {other}"
            )
    return name in [job["metadata"]["name"] for job in jobs["items"]]


class Kubectl:
    """``kubectl`` in one namespace; what it says when it fails becomes a ``TrainingError``."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(self, *words: str, text: str | None = None, may_fail: bool = False, tries: int = TRIES) -> str:
        """Its output. What fails is tried again every ``PAUSE`` seconds, unless it ``may_fail``."""
        while True:
            done = subprocess.run(self.command(*words), input=text, text=True, capture_output=True, check=False)
            if not done.returncode or may_fail:
                return done.stdout
            tries -= 1
            if not tries:
                said = (done.stderr or done.stdout).strip() or f"status {done.returncode}"
                raise TrainingError(f"kubectl {' '.join(words[:2])} failed: {said}")
            time.sleep(PAUSE)

    def command(self, *words: str) -> list[str]:
        return ["kubectl", "--namespace", self.namespace, *words]


def _watch(name: str, kubectl: Kubectl, echo: Callable[[str], object]) -> None:
    """Show the log of index 0 until the job ends, however long it queues: its own deadline is the only limit.

    Raises ``TrainingError`` when the job fails, with the log's last words, or when kubectl keeps failing.
    """
    log = Log(kubectl, echo)
    describe = f"kubectl -n {kubectl.namespace} describe"
    while True:
        states = kubectl("get", f"job/{name}", f"--output=jsonpath={STATES}").split()
        ended = "Complete" in states or "Failed" in states
        pod = first_pod(name, kubectl)
        if pod and pod["status"]["phase"] != "Pending":
            log.follow(pod["metadata"]["name"])
        elif pod and not ended:
            waiting = pod["metadata"]["name"]
            log.tell(f"waiting for pod {waiting} ({_reason(pod['status'])}); {describe} pod {waiting} tells why")
        elif not ended:
            log.tell(f"waiting for the first pod; {describe} job {name} tells why")
        if "Failed" in states:
            again = f"kubectl -n {kubectl.namespace} delete job {name}"
            raise TrainingError(
                f"job {name} failed: {describe} job {name} tells why; after {again} the same command starts it again, "
                f"from its last checkpoint{log.last_words()}"
            )
        if ended:
            return
        time.sleep(PAUSE)


def first_pod(name: str, kubectl: Kubectl) -> dict[str, Any] | None:
    """The newest pod with index 0, where the first process and the log are, finished or not."""
    selector = f"app={name},batch.kubernetes.io/job-completion-index=0"
    pods = json.loads(kubectl("get", "pod", "--selector", selector, "--output=json"))["items"]
    return max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)


def _reason(status: dict[str, Any]) -> str:
    """The phase of a pod that waits, and what for: its container's reason, or else that of a condition not met."""
    waiting = [container["state"].get("waiting", {}) for container in status.get("containerStatuses", [])]
    unmet = [condition for condition in status.get("conditions", []) if condition["status"] == "False"]
    reasons = [thing["reason"] for thing in [*waiting, *unmet] if thing.get("reason")]
    return ", ".join([status["phase"], *reasons[:1]])


class Log:
    """A log that goes on from pod to pod. A stream that broke off is taken up again, and no line is shown twice."""

    def __init__(self, kubectl: Kubectl, echo: Callable[[str], object]) -> None:
        self.kubectl, self.echo = kubectl, echo
        self.pod = ""
        self.shown: list[str] = []  # the pod's lines of the last second, with their times
        self.told: set[str] = set()

    def follow(self, pod: str) -> None:
        """Show what POD logs after what was shown, until the stream ends; what kubectl says of itself is told once."""
        if pod != self.pod:
            self.pod, self.shown = pod, []
        # Lines may share a time, and kubectl asks for whole seconds: the last second's come again, and are left out.
        since = [f"--since-time={line.partition(' ')[0]}" for line in self.shown[:1]]
        command = self.kubectl.command("logs", "--follow", "--timestamps", "--container=train", *since, pod)
        again = list(self.shown)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                for raw in process.stdout or ():  # bytes: a progress bar's carriage return does not end a line
                    line = raw.decode(errors="replace").rstrip("\n")
                    if line in again:
                        again.remove(line)
                    elif TIMED.match(line):
                        self._show(line)
                    else:
                        self.tell(line)
            finally:
                process.kill()

    def _show(self, line: str) -> None:
        if self.shown and line[:19] > self.shown[0][:19]:
            self.shown = []
        self.shown.append(line)
        self.echo(line.partition(" ")[2])

    def tell(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            self.echo(text)

    def last_words(self) -> str:
        """The last line shown that has a word in it, to end a message with; nothing when there is none."""
        lines = [line.partition(" ")[2].strip() for line in self.shown]
        said = [line for line in lines if re.search(r"\w", line)]
        return f"; last words of pod {self.pod}: {said[-1]}" if said else ""


def _collect(start: Start, name: str, kubectl: Kubectl) -> None:
    """Copy the finished folder out of the claim, through a pod that does nothing else; OUT is whole or as it was."""
    collector = f"{name}-collect"
    kubectl("apply", "-f", "-", text=json.dumps(collector_pod(start, collector)))
    try:
        kubectl("wait", "--for=condition=Ready", f"pod/{collector}", "--timeout=30s")  # tried again: 10 minutes
        with stage_folder(start.out, start.overwrite) as folder:
            kubectl("cp", f"{collector}:{remote_out(start)}", str(folder), "--retries=5")
    finally:
        kubectl("delete", f"pod/{collector}", "--wait=false", may_fail=True)


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
    metadata = {"name": name, "labels": labels | {"out": _folder_label(start)}}
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


def _folder_label(start: Start) -> str:
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
