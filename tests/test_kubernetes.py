"""The Kubernetes launcher: manifests against the official schemas, strictly; what is said to kubectl."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner, Result

from countdown_r1.cli import main
from countdown_r1.errors import InputError, TrainingError
from countdown_r1.models import SHIPPED
from countdown_r1.train.kubernetes import Kubectl
from countdown_r1.train.launch import Start
from countdown_r1.train.layout import Layout, choose, placed
from countdown_r1.train.pods import collector_pod, job_name, manifests, pod_script
from countdown_r1.train.recipe import Kubernetes, Launch, Recipe, load_recipe, parse_recipe

Launched = Callable[..., tuple[Result, list[str]]]
VERSIONS = ("1.29", "1.34", "1.37")
STAND_IN = f"""#!{sys.executable} -IS
# kubectl as far as the launcher uses it: notes what it is told, answers from a list of looks, one for each time that
# the job is asked for and the last one from then on. A log's stream ends with what its look has.
import json, os, sys
from pathlib import Path

words, notes, file = sys.argv[3:], Path(os.environ["KUBECTL_NOTES"]), Path(os.environ["KUBECTL_LOOKS"])
with notes.open("a") as out:
    print(*sys.argv[1:], file=out)
looks, asked = json.loads(file.read_text()), " ".join(words[:2])
if looks[0].get("away", {{}}).get(asked, 0):
    looks[0]["away"][asked] -= 1
    file.write_text(json.dumps(looks))
    sys.exit("Unable to connect to the server: dial tcp: i/o timeout")
if asked.startswith("get job/") and len(looks) > 1:
    looks.pop(0)
    file.write_text(json.dumps(looks))
look = looks[0]
if asked.startswith("get job/"):
    print(look.get("job", ""))
elif asked == "get pod":
    assert "batch.kubernetes.io/job-completion-index=0" in words[3], words
    print(json.dumps({{"items": look.get("pods", [])}}))
elif asked == "get job":
    assert words[3].startswith("out="), words
    print(json.dumps({{"items": look.get("jobs", [])}}))
elif words[0] == "logs":
    if words[-1] not in look.get("logs", {{}}):
        sys.exit(f'Error from server (NotFound): pods "{{words[-1]}}" not found')
    since = [word.partition("=")[2][:19] for word in words if word.startswith("--since-time=")]  # whole seconds
    sys.stdout.writelines(line + "\\n" for line in look["logs"][words[-1]] if [line[:19]] >= since)
elif words[0] == "apply":
    with Path(f"{{notes}}.applied").open("a") as out:
        out.write(sys.stdin.read())
elif words[0] == "cp":
    Path(words[2]).mkdir(parents=True, exist_ok=True)
    Path(words[2], "manifest.json").write_text("{{}}")
    if look.get("cp cut"):
        sys.exit("error: unexpected EOF")
"""


def start(nodes: int = 1, vllm: str = "server", dataset: str = "me/puzzles", **settings: Any) -> Start:
    launch = Launch("kubernetes", nodes, 4, sharding="zero3", vllm=vllm)
    recipe = Recipe("My_Run", base="someone/model@abc", grpo={}, launch=launch, kubernetes=Kubernetes(**settings))
    layout = choose(recipe)
    return Start(placed(recipe, layout), layout, dataset, Path("outputs/run/model"), False, False, "", print)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("nodes", "vllm"), [(1, "server"), (1, "colocate"), (3, "server"), (2, "none")])
def test_every_manifest_is_valid_strictly(version: str, nodes: int, vllm: str) -> None:
    for thing in [*manifests(start(nodes, vllm, secret="hub")), collector_pod(start(), "c")]:
        kubernetes_validate.validate(thing, version, strict=True)


def test_an_unknown_field_would_be_found() -> None:
    job = manifests(start())[2]
    job["spec"]["paralelism"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


def test_what_schemas_do_not_check_is_right() -> None:
    begun = start(3, secret="hub")
    config, service, job = manifests(begun)
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert (spec["completions"], spec["parallelism"]) == (3, 3)
    assert pod["restartPolicy"] == "Never"
    assert service["spec"]["clusterIP"] == "None"
    assert pod["subdomain"] == service["metadata"]["name"] == job_name(begun)
    assert service["spec"]["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    assert pod["volumes"][1]["configMap"]["name"] == config["metadata"]["name"]
    assert "ttlSecondsAfterFinished" not in spec  # a job that is gone would be started anew instead of collected
    container = pod["containers"][0]
    assert "controller-uid" in container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert container["env"][-1]["valueFrom"]["secretKeyRef"] == {"name": "hub", "key": "token"}
    names = {mount["name"] for mount in container["volumeMounts"]}
    (claimed,) = (volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume)
    (kept,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == claimed)
    cache = next(entry["value"] for entry in container["env"] if entry["name"] == "HF_HOME")
    assert cache.startswith(f"{kept}/")  # models are loaded once, whatever becomes of the pods
    assert names == {volume["name"] for volume in pod["volumes"]}
    assert "outputs/run/model.partial/stop" in container["lifecycle"]["preStop"]["exec"]["command"][-1]


def test_the_recipe_reaches_the_pod_whole() -> None:
    begun = start()
    text = manifests(begun)[0]["data"]["recipe.yaml"]
    assert parse_recipe(yaml.safe_load(text), "x") == begun.recipe


@pytest.mark.parametrize(("nodes", "vllm"), [(1, "server"), (3, "server"), (2, "none")])
def test_the_pods_scripts_are_bash(nodes: int, vllm: str) -> None:
    text = pod_script(start(nodes, vllm), "run")
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_of_several_nodes_the_last_serves_and_the_others_meet_at_the_first() -> None:
    text = pod_script(start(3), "run")
    assert "--nnodes 2 --nproc-per-node 4 --master-addr run-0.run" in text
    assert "--node-rank $JOB_COMPLETION_INDEX" in text
    assert "if [ $JOB_COMPLETION_INDEX = 2 ]; then" in text
    assert "vllm serve someone/model --revision abc" in text
    assert "grpo.vllm_server_base_url=http://run-2.run:8000" in text


def test_one_node_runs_the_whole_launcher() -> None:
    text = pod_script(start(1), "run")
    assert "--out /workspace/outputs/run/model --launcher accelerate\n" in text


class Node:
    """Pods of one claim, run by bash itself: the programs that their scripts call stand in a folder of their own."""

    def __init__(self, folder: Path, begun: Start) -> None:
        self.folder, self.begun, self.programs = folder, begun, folder / "bin"
        self.out = folder / begun.out
        self.programs.mkdir()
        self.program("python3", "exit 0")  # the server answers
        self.program("sleep", "exec /bin/sleep 0.05")
        self.program("vllm", 'echo "$@" >> served; exec /bin/sleep 60')

    def program(self, name: str, body: str) -> None:
        (self.programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (self.programs / name).chmod(0o755)

    def pod(self, index: int, job: str = "this-job") -> subprocess.Popen[str]:
        script = pod_script(self.begun, "run").replace("/workspace", str(self.folder))
        values = {"JOB_COMPLETION_INDEX": str(index), "JOB_UID": job, "PATH": f"{self.programs}:{os.environ['PATH']}"}
        return subprocess.Popen(["bash", "-ec", script], env=os.environ | values, text=True, stderr=subprocess.PIPE)

    def run(self, index: int, job: str = "this-job") -> tuple[int, str]:
        pod = self.pod(index, job)
        return pod.wait(20), pod.communicate()[1]


@pytest.fixture
def node(tmp_path: Path) -> Callable[..., Node]:
    """A claim with pods of ``start``'s values, on which an earlier job has written OUT."""

    def build(out: str = "outputs/run/model", **values: Any) -> Node:
        made = Node(tmp_path, replace(start(**values), out=Path(out)))
        made.out.mkdir(parents=True)
        (made.out / "manifest.json").write_text("{}")
        Path(f"{made.out}.finished").write_text("earlier-job\n")
        return made

    return build


@pytest.mark.parametrize("out", ["outputs/run/model", "my run's; touch hacked; :/model"])
def test_the_server_serves_until_its_own_run_is_finished(out: str, node: Callable[..., Node], tmp_path: Path) -> None:
    run = node(out, nodes=3)
    run.program("torchrun", "exit 0")
    server = run.pod(2)
    with pytest.raises(subprocess.TimeoutExpired):
        server.wait(1)
    assert run.run(1) == (0, "")
    assert server.poll() is None  # the first pod's word counts
    assert run.run(0) == (0, "")
    assert server.wait(20) == 0
    assert not list(tmp_path.rglob("hacked"))


def test_before_a_pod_ends_its_run_is_asked_to_stop_wherever_it_writes(tmp_path: Path) -> None:
    begun = replace(start(), out=Path("my run's; touch hacked; :/model"))
    hook = manifests(begun)[2]["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    script = hook[-1].replace("/workspace", str(tmp_path)).replace("kill -0 1", "false")
    partial = tmp_path / begun.out.with_name("model.partial")
    partial.mkdir(parents=True)
    subprocess.run([*hook[:-1], script], check=True, cwd=tmp_path)
    assert [path.name for path in partial.iterdir()] == ["stop"]
    assert not (tmp_path / "hacked").exists()


def test_a_server_that_ends_before_the_run_fails_its_pod(node: Callable[..., Node]) -> None:
    run = node(nodes=3)
    run.program("vllm", "exit 3")
    assert run.run(2)[0] == 1


@pytest.mark.parametrize(("nodes", "index"), [(1, 0), (3, 0), (3, 1), (3, 2)])
def test_a_pod_that_is_started_again_after_the_end_does_nothing(
    nodes: int, index: int, node: Callable[..., Node]
) -> None:
    run = node(nodes=nodes)
    for program in ("torchrun", "countdown-r1", "vllm"):
        run.program(program, "exit 9")
    assert run.run(index, "earlier-job") == (0, "")
    assert run.run(index)[0] in (1, 9)


def test_a_pod_whose_run_was_asked_to_stop_fails_so_that_another_goes_on(node: Callable[..., Node]) -> None:
    run = node(nodes=1)
    run.program("countdown-r1", "exit 0")  # what a stop with a checkpoint ends with
    Path(f"{run.out}.partial").mkdir()
    assert run.run(0) == (1, "stopped before the end; the next pod goes on from the checkpoint\n")
    Path(f"{run.out}.partial").rmdir()
    assert run.run(0) == (0, "")
    assert Path(f"{run.out}.finished").read_text() == "this-job\n"


@pytest.mark.parametrize("dataset", [".", "outputs/demo/dataset", "./puzzles", "/workspaces/x", "data", "me/x; id"])
def test_a_dataset_that_the_job_cannot_read_is_refused_with_the_way_out(dataset: str) -> None:
    with pytest.raises(InputError, match=r"build-dataset --push-to .* below /workspace"):
        manifests(start(dataset=dataset))


@pytest.mark.parametrize(("nodes", "program"), [(1, "countdown-r1"), (2, "torchrun")])
def test_options_that_processes_get_too_reach_them_in_the_pod(
    nodes: int, program: str, node: Callable[..., Node], tmp_path: Path
) -> None:
    run = node(nodes=nodes, vllm="none")
    words = ["--push-to", "me; id", "--hub", "http://hub:1"]
    run.begun = replace(run.begun, forwarded=words)
    run.program(program, f'printf "%s\\n" "$@" > {tmp_path}/told')
    assert run.run(0) == (0, "")
    assert "\n".join(words) in (tmp_path / "told").read_text()
    assert job_name(run.begun) != job_name(start(nodes, "none"))


@pytest.mark.parametrize("base", [".", "./gpt2x", "models/of/mine", "gpt2"])
def test_a_model_that_the_job_cannot_read_is_refused(base: str) -> None:
    begun = start(2, "none")
    with pytest.raises(InputError, match=r"model .* give NAMESPACE/NAME@REVISION, or use tiny or novice"):
        manifests(replace(begun, recipe=replace(begun.recipe, base=base)))
    with pytest.raises(InputError, match="model "):
        recipe = load_recipe("tiny-cold-start", ["launch.launcher=kubernetes", f"cold_start.start={base}"])
        manifests(replace(begun, recipe=recipe))


def test_a_reward_of_a_file_is_refused_unless_the_claim_holds_it() -> None:
    begun = start()
    with pytest.raises(InputError, match=r"reward mine\.py:score is not on the Hub"):
        manifests(replace(begun, recipe=begun.recipe.with_rewards(["mine.py:score"])))
    assert manifests(replace(begun, recipe=begun.recipe.with_rewards(["/workspace/mine.py:score"])))


@pytest.mark.parametrize("base", ["tiny", "/workspace/my model; id"])
def test_a_models_folder_is_looked_up_in_the_pod(base: str, node: Callable[..., Node], tmp_path: Path) -> None:
    run = node(nodes=3)
    run.begun = replace(run.begun, recipe=replace(run.begun.recipe, base=base))
    run.program("python3", f'exec {sys.executable} "$@"')
    (tmp_path / "my model; id").mkdir()
    assert manifests(run.begun) and str(SHIPPED["tiny"]) not in pod_script(run.begun, "run")
    run.program("vllm", f'echo "$2" > {tmp_path}/served; exit 3')
    assert run.run(2)[0] == 1
    assert (tmp_path / "served").read_text().strip() == str(SHIPPED.get(base, tmp_path / "my model; id"))


def test_a_dataset_of_the_hub_with_a_revision_and_one_on_the_claim_are_passed_on() -> None:
    for dataset in ("me/puzzles@v1", "/workspace/puzzles"):
        assert f"--dataset {dataset} --out" in pod_script(start(dataset=dataset), "run")
        assert manifests(start(dataset=dataset))


def test_a_cold_start_alone_needs_no_dataset() -> None:
    begun = start(dataset="outputs/tiny-cold-start/dataset")
    assert manifests(replace(begun, recipe=load_recipe("tiny-cold-start", ["launch.launcher=kubernetes"])))


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launched:
    """A stand-in on the path; calling the fixture runs the command against looks, and reads what kubectl was told."""
    program, looked = tmp_path / "bin" / "kubectl", tmp_path / "looks.json"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("KUBECTL_NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("KUBECTL_LOOKS", str(looked))
    monkeypatch.setattr("countdown_r1.train.kubernetes.PAUSE", 0.0)
    monkeypatch.chdir(tmp_path)

    def run(*looks: dict[str, Any], jobs: Sequence[Any] = (), options: Sequence[str] = ()) -> tuple[Result, list[str]]:
        looked.write_text(json.dumps([{"jobs": jobs}, *looks]))
        done = CliRunner().invoke(main, [*COMMAND, *options])
        told = (tmp_path / "notes").read_text().splitlines()
        return done, [line.removeprefix("--namespace default ") for line in told]

    return run


COMMAND = ["train", "demo", "--launcher", "kubernetes", "--dataset", "me/puzzles", "--out", "run/model"]
DEMO = Start(
    load_recipe("demo", ["launch.launcher=kubernetes"]),
    Layout("none", 1, 1),
    "me/puzzles",
    Path("run/model"),
    False,
    False,
    "",
    print,
)
JOB = job_name(DEMO)
COMPLETE, FAILED = "SuccessCriteriaMet Complete", "FailureTarget Failed"


def a_pod(name: str = "a", phase: str = "Running", created: int = 0, reason: str = "") -> dict[str, Any]:
    status: dict[str, Any] = {"phase": phase}
    if reason:
        status["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": reason}]
    return {"metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:00:{created:02}Z"}, "status": status}


def a_log(*steps: int) -> list[str]:
    """Two lines a second, with the same time: what a runtime does that reads them together."""
    return [f"2026-01-01T00:01:{step // 2:02}.123456789Z step {step}" for step in steps]


def steps_in(done: Result) -> list[int]:
    return [int(line.removeprefix("step ")) for line in done.output.splitlines() if line.startswith("step ")]


def test_one_command_submits_streams_collects_and_releases(kubectl: Launched, tmp_path: Path) -> None:
    done, told = kubectl({"job": COMPLETE, "pods": [a_pod(phase="Succeeded")], "logs": {"a": a_log(1, 2)}})
    assert done.exit_code == 0, done.output
    assert steps_in(done) == [1, 2]
    assert done.output.splitlines()[-1] == "run/model"
    assert (tmp_path / "run" / "model" / "manifest.json").exists()
    verbs = [line.split()[0] for line in told]
    assert verbs == ["get", "apply", "get", "get", "logs", "apply", "wait", "cp", "delete", "delete"]
    applied = (tmp_path / "notes.applied").read_text()
    assert "kind: Job" in applied and '"kind": "Pod"' in applied


def test_a_pod_that_comes_late_is_waited_for_and_that_is_said_once(kubectl: Launched) -> None:
    queued = {"pods": [a_pod(phase="Pending", reason="Unschedulable")]}
    running = {"pods": [a_pod()], "logs": {"a": a_log(1)}}
    done, told = kubectl({}, {}, queued, queued, running, running | {"job": COMPLETE})
    assert done.exit_code == 0, done.output
    waits = [line for line in done.output.splitlines() if line.startswith("waiting")]
    assert waits == [
        f"waiting for the first pod; kubectl -n default describe job {JOB} tells why",
        "waiting for pod a (Pending, Unschedulable); kubectl -n default describe pod a tells why",
    ]
    assert steps_in(done) == [1]
    assert sum(line.startswith("logs ") for line in told) == 2


def test_a_log_whose_stream_ends_early_is_shown_whole_and_once(kubectl: Launched) -> None:
    def look(*steps: int) -> dict[str, Any]:
        return {"pods": [a_pod()], "logs": {"a": a_log(*steps)}}

    rotated = look(6, 7, 8)  # what was shown last stands in a file that the server reads no more
    done, told = kubectl(look(), look(1, 2), look(1, 2), look(1, 2, 3, 4), rotated | {"job": COMPLETE})
    assert done.exit_code == 0, done.output
    assert steps_in(done) == [1, 2, 3, 4, 6, 7, 8]
    assert "--since-time=2026-01-01T00:01:02.123456789Z a" in [line for line in told if line.startswith("logs ")][-1]


def test_a_pod_that_replaces_another_is_followed(kubectl: Launched) -> None:
    first, logs = a_pod("z", "Failed"), {"z": a_log(1, 2)}
    queued = {"pods": [a_pod("b", "Pending", 40), first], "logs": logs}
    running = {"pods": [a_pod("b", created=40), first], "logs": logs | {"b": a_log(2, 3)}}
    done, _ = kubectl({"pods": [a_pod("z")], "logs": logs}, queued, running, running | {"job": COMPLETE})
    assert done.exit_code == 0, done.output
    assert steps_in(done) == [1, 2, 2, 3]


def test_kubectl_may_fail_for_a_moment(kubectl: Launched) -> None:
    away = {f"get job/{JOB}": 2, "get pod": 2, "logs --follow": 1}
    running = {"pods": [a_pod()], "logs": {"a": a_log(1, 2)}}
    ended = running | {"job": COMPLETE, "away": {f"cp {JOB}-collect:/workspace/run/model": 2}}
    done, told = kubectl(running | {"away": away}, running, ended)
    assert done.exit_code == 0, done.output
    assert steps_in(done) == [1, 2]
    assert sum(line.startswith("get job/") for line in told) == 5
    assert done.output.count("Unable to connect to the server") == 1  # said by the log's stream


def test_kubectl_that_keeps_failing_is_an_error(kubectl: Launched) -> None:
    done, _ = kubectl({"away": {"get pod": 1000}})
    assert done.exit_code == 1
    assert "kubectl get pod failed: Unable to connect to the server: dial tcp: i/o timeout" in done.output


def test_a_copy_that_breaks_off_leaves_nothing_and_the_same_command_copies_again(
    kubectl: Launched, tmp_path: Path
) -> None:
    (kept := tmp_path / "run" / "model.partial" / "checkpoint-4").mkdir(parents=True)  # of a run on this machine
    done, told = kubectl({"job": COMPLETE, "cp cut": True})
    assert done.exit_code == 1 and "unexpected EOF" in done.output
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model.partial"] and kept.exists()
    assert not [line for line in told if line.startswith("delete job")]
    done, _ = kubectl({"job": COMPLETE})
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["model", "model.partial"]


def test_overwriting_replaces_the_whole_folder_once_the_new_one_is_here(kubectl: Launched, tmp_path: Path) -> None:
    out = tmp_path / "run" / "model"
    out.mkdir(parents=True)
    for name in ("manifest.json", "stale"):
        (out / name).write_text("old")
    done, _ = kubectl({"job": COMPLETE, "cp cut": True}, options=["--overwrite"])
    assert done.exit_code == 1
    assert (out / "manifest.json").read_text() == (out / "stale").read_text() == "old"
    done, _ = kubectl({"job": COMPLETE}, options=["--overwrite"])
    assert done.exit_code == 0, done.output
    assert [path.name for path in out.iterdir()] == ["manifest.json"]


def test_a_folder_that_is_not_ours_to_replace_is_refused_before_anything_starts(
    kubectl: Launched, tmp_path: Path
) -> None:
    (tmp_path / "run" / "model" / "photos").mkdir(parents=True)
    (tmp_path / "notes").touch()
    done, told = kubectl({"job": COMPLETE}, options=["--overwrite"])
    assert done.exit_code == 1 and "not this program's to replace" in done.output
    assert not told


def test_a_failed_job_is_an_error_with_its_last_words_and_its_objects_stay(kubectl: Launched) -> None:
    log = [*a_log(1), "2026-01-01T00:01:09Z Error: no GPU", "2026-01-01T00:01:09Z =====", "2026-01-01T00:01:09Z "]
    done, told = kubectl({"job": FAILED, "pods": [a_pod(phase="Failed")], "logs": {"a": log}})
    assert done.exit_code == 1
    assert steps_in(done) == [1]
    why = f"job {JOB} failed: kubectl -n default describe job {JOB} tells why; "
    again = f"after kubectl -n default delete job {JOB} the same command starts it again, from its last checkpoint"
    assert done.output.splitlines()[-1] == f"Error: {why}{again}; last words of pod a: Error: no GPU"
    assert not [line for line in told if line.startswith("delete ")]


@pytest.mark.parametrize("pods", [[], [a_pod(phase="Succeeded")]])
def test_a_job_may_end_without_a_log(pods: list[dict[str, Any]], kubectl: Launched, tmp_path: Path) -> None:
    look = {"pods": pods}
    done, _ = kubectl(look, look, look | {"job": COMPLETE})
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "model" / "manifest.json").exists()
    assert done.output.count("NotFound") == len(pods)


def test_a_failed_job_without_a_log_is_an_error_too(kubectl: Launched) -> None:
    done, _ = kubectl({"job": FAILED})
    assert done.output.splitlines()[-1].endswith("starts it again, from its last checkpoint")


def a_job(name: str, state: str = "") -> dict[str, Any]:
    conditions = [{"type": state, "status": "True"}] if state else []
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


@pytest.mark.parametrize("state", ["", "Complete"])
def test_the_same_command_finds_its_job_again_and_changes_nothing(state: str, kubectl: Launched) -> None:
    look = {"job": COMPLETE, "pods": [a_pod()], "logs": {"a": a_log(1)}}
    done, told = kubectl(look, jobs=(a_job("other", "Failed"), a_job(JOB, state)))
    assert done.exit_code == 0, done.output
    verbs = [line.split()[0] for line in told]
    assert verbs == ["get", "get", "get", "logs", "apply", "wait", "cp", "delete", "delete"]  # the collector's apply
    assert told[-1] == f"delete job,service,configmap --selector app={JOB} --wait=true"


def test_a_job_of_another_command_that_writes_to_the_same_folder_is_left_alone(kubectl: Launched) -> None:
    done, told = kubectl(jobs=(a_job("countdown-other"),))
    assert done.exit_code == 1
    (line,) = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert "/workspace/run/model" in line and line.endswith("kubectl -n default delete job countdown-other")
    assert [text.split()[0] for text in told] == ["get"]


def test_no_two_commands_share_a_job() -> None:
    begun = start()
    others = [replace(begun, out=Path("outputs/run/other")), replace(begun, dataset="me/other")]
    others += [replace(begun, recipe=replace(begun.recipe, base="someone/other")), replace(begun, overwrite=True)]
    names = ("run_a", "run.a", "RUN-a", "训练", "試験")
    others += [replace(begun, recipe=replace(begun.recipe, name=name)) for name in names]
    assert len({job_name(one) for one in [begun, *others]}) == len(others) + 1
    assert job_name(start()) == job_name(begun)


@pytest.mark.parametrize("name", ["a" * 300, "训练", "x.-_-" * 20, "A_b.C"])
def test_a_jobs_name_is_one_for_services_labels_and_pods(name: str) -> None:
    begun = replace(start(), recipe=replace(start().recipe, name=name))
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", job_name(begun))
    assert len(f"{job_name(begun)}-100") <= 63 - len("-abcde")
    assert job_name(begun).startswith("countdown-")


def test_a_dry_run_tells_kubectl_nothing(kubectl: Launched, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*COMMAND, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "kind: Job" in done.output
    assert not (tmp_path / "notes").exists()


def test_what_kubectl_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\necho 'error: no such namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(TrainingError, match="kubectl apply -f failed: error: no such namespace"):
        Kubectl("x")("apply", "-f", "-", text=json.dumps({}), tries=1)
