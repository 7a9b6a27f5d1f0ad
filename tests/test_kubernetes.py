"""The Kubernetes launcher: manifests against the official schemas, strictly; what is said to kubectl."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from countdown_r1.cli import main
from countdown_r1.errors import InputError, TrainingError
from countdown_r1.train.kubernetes import Kubectl, collector_pod, job_name, manifests, pod_script
from countdown_r1.train.launch import Start
from countdown_r1.train.layout import choose, placed
from countdown_r1.train.recipe import Kubernetes, Launch, Recipe, parse_recipe

VERSIONS = ("1.29", "1.34", "1.37")
STAND_IN = """#!/bin/bash
# kubectl as far as the launcher uses it: notes what it is told, answers for a job that ends well.
echo "$*" >> "$KUBECTL_NOTES"
case "$*" in
*" apply "*) cat >> "$KUBECTL_NOTES.applied" ;;
*" get pod "*) echo countdown-run-0-abcde ;;
*" get job/"*) echo "${KUBECTL_STATE:-SuccessCriteriaMet Complete}" ;;
*" logs "*) echo "step 1 of 1" ;;
*" cp "*) mkdir -p "${@: -2:1}" && echo '{}' > "${@: -2:1}/manifest.json" ;;
esac
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
    config, service, job = manifests(start(3, secret="hub"))
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert (spec["completions"], spec["parallelism"]) == (3, 3)
    assert pod["restartPolicy"] == "Never"
    assert service["spec"]["clusterIP"] == "None"
    assert pod["subdomain"] == service["metadata"]["name"] == job_name(start())
    assert service["spec"]["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    assert pod["volumes"][1]["configMap"]["name"] == config["metadata"]["name"]
    assert spec["ttlSecondsAfterFinished"] > 0
    container = pod["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert container["env"][-1]["valueFrom"]["secretKeyRef"] == {"name": "hub", "key": "token"}
    names = {mount["name"] for mount in container["volumeMounts"]}
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
    assert text.endswith("--out /workspace/outputs/run/model --launcher accelerate\n")


def test_a_dataset_on_this_machine_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="build-dataset --push-to"):
        manifests(start(dataset=str(tmp_path)))


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """A stand-in on the path; calling the fixture reads what it was told."""
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("KUBECTL_NOTES", str(tmp_path / "notes"))
    monkeypatch.chdir(tmp_path)
    return lambda: (tmp_path / "notes").read_text().splitlines()


COMMAND = ["train", "demo", "--launcher", "kubernetes", "--dataset", "me/puzzles", "--out", "run/model"]


def test_one_command_submits_streams_collects_and_releases(kubectl: Callable[[], list[str]], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, COMMAND)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "run/model"
    assert (tmp_path / "run" / "model" / "manifest.json").exists()
    told = [line.removeprefix("--namespace default ").split()[0] for line in kubectl()]
    assert told == ["apply", "get", "wait", "logs", "wait", "get", "apply", "wait", "cp", "delete", "delete"]
    applied = (tmp_path / "notes.applied").read_text()
    assert "kind: Job" in applied and '"kind": "Pod"' in applied


def test_a_failed_job_is_an_error_and_its_objects_stay(
    kubectl: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECTL_STATE", "FailureTarget Failed")
    done = CliRunner().invoke(main, COMMAND)
    assert done.exit_code == 1
    assert "job countdown-demo failed: kubectl -n default describe job countdown-demo" in done.output
    assert not [line for line in kubectl() if " delete " in line]


def test_a_dry_run_tells_kubectl_nothing(kubectl: Callable[[], list[str]], tmp_path: Path) -> None:
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
        Kubectl("x")("apply", "-f", "-", text=json.dumps({}))
