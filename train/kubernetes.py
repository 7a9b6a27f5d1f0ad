"""Training on Kubernetes: one command submits an Indexed Job, shows its log, fetches the results, releases the rest."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import InputError, TrainingError
from ..manifest import refuse_existing, stage_folder
from .pods import collector_pod, folder_label, job_name, manifests, remote_out

if TYPE_CHECKING:
    from .launch import Start

PAUSE = 5.0  # seconds between two looks, and between two tries
COLLECTING = ".collecting"
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
    refuse_existing(start.out, start.overwrite)
    name, kubectl = job_name(start), Kubectl(start.recipe.kubernetes.namespace)
    if not _begun(start, name, kubectl):
        kubectl("apply", "-f", "-", text=text, tries=1)
    start.echo(f"job {name} in namespace {kubectl.namespace}; Ctrl-C stops looking, the same command looks again")
    _watch(name, kubectl, start.echo)
    _collect(start, name, kubectl)
    kubectl("delete", "job,service,configmap", "--selector", f"app={name}", "--wait=true")


def _begun(start: Start, name: str, kubectl: Kubectl) -> bool:
    """Whether the job is there already. Raises ``InputError`` while another one writes to the same folder."""
    jobs = json.loads(kubectl("get", "job", "--selector", f"out={folder_label(start)}", "--output=json", tries=1))
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
        with stage_folder(start.out, start.overwrite, suffix=COLLECTING) as folder:  # OUT.partial may be a run's
            kubectl("cp", f"{collector}:{remote_out(start)}", str(folder), "--retries=5")
    finally:
        kubectl("delete", f"pod/{collector}", "--wait=false", may_fail=True)
