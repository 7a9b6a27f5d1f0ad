"""Training on Hugging Face Jobs: this package as a wheel, one ``uv`` job, results pushed to a private repository.

The shape of the request is tested against the rehearsal Hub; it was never run on the real one.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StageError, TrainingError
from ..hub_errors import plain_errors
from ..repo_names import run_name
from .reach import check_reach
from .recipe import Recipe, recipe_text

if TYPE_CHECKING:
    from .launch import Start

INPUT = "/input"  # where the job sees the repository with wheel and recipe
ROOT = Path(__file__).resolve().parents[1]


def submit(start: Start) -> None:
    """Upload wheel and recipe to a private repository, start the job, show its log.

    Ctrl-C stops looking, not the job. Raises ``InputError`` for a dataset that only this machine has, ``HubError``
    when the Hub refuses, ``TrainingError`` when the job fails.
    """
    check_reach(start.recipe, start.dataset)
    if start.dry_run or start.hub is None:
        start.echo(f"would start a job: {job_request(start, 'YOU', 'countdown_r1.whl')}")
        return
    api = start.hub.api
    with plain_errors(start.hub.endpoint, "start a job", "log in with `hf auth login`; Jobs need a paid plan"):
        owner = start.recipe.hf_jobs.namespace or api.whoami()["name"]
        wheel = _upload_input(api, f"{owner}/{start.recipe.name}-input", start.recipe)
        secrets = {"HF_TOKEN": start.hub.token} if start.hub.token else None
        job = api.run_uv_job(**job_request(start, owner, wheel), secrets=secrets)
        start.echo(f"job {job.url}; Ctrl-C stops looking, `hf jobs cancel {job.id}` ends it")
        for line in api.fetch_job_logs(job_id=job.id, namespace=owner, follow=True):
            start.echo(line)
        stage = str(api.inspect_job(job_id=job.id, namespace=owner).status.stage)
    if stage != "COMPLETED":
        raise TrainingError(f"job {job.id} ended as {stage}; see {job.url}")
    start.echo(f"results: {start.hub.endpoint}/{owner}/{start.recipe.name}-run")


def job_request(start: Start, owner: str, wheel: str) -> dict[str, Any]:
    """The arguments of ``run_uv_job``, all but its secrets."""
    from huggingface_hub import Volume

    recipe, settings = start.recipe, start.recipe.hf_jobs
    volume = Volume(type="dataset", source=f"{owner}/{recipe.name}-input", mount_path=INPUT, read_only=True)
    return {
        "script": "bash",
        "script_args": ["-c", _script(start, owner)],
        "dependencies": [f"{INPUT}/{wheel}[{','.join(extras(recipe))}]"],
        "python": settings.python,
        "flavor": settings.flavor,
        "timeout": f"{settings.hours:g}h",
        "name": f"countdown-r1-{recipe.name}",
        "namespace": owner,
        "volumes": [volume],
    }


def extras(recipe: Recipe) -> list[str]:
    """This package's extras that a recipe's training needs."""
    launch = recipe.launch
    names = ["train"] + ["vllm"] * (launch.vllm != "none") + ["deepspeed"] * launch.sharding.startswith("zero")
    return names + ["qlora"] * (recipe.lora is not None)


def _script(start: Start, owner: str) -> str:
    """Train, and push whatever there is then: an unfinished run's checkpoints too."""
    name, run = start.recipe.name, run_name(start.out, start.recipe.name)
    train = ["countdown-r1", "train", f"{INPUT}/recipe.yaml", "--dataset", start.dataset, "--out", f"{run}/model"]
    train += ["--launcher", "accelerate" if start.recipe.launch.gpus > 1 else "local", *start.forwarded]
    push = ["hf", "upload", f"{owner}/{name}-run", run, ".", "--private"]
    return f"{shlex.join(train)}; s=$?; {shlex.join(push)}; exit $s"


def _upload_input(api: Any, repo: str, recipe: Recipe) -> str:
    """The wheel's file name, once it and the recipe are in the repository."""
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build_wheel(Path(scratch))
        (wheel.parent / "recipe.yaml").write_text(recipe_text(recipe), encoding="utf-8")
        api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(folder_path=wheel.parent, repo_id=repo, repo_type="dataset", commit_message="Input of a job")
        return wheel.name


def build_wheel(folder: Path) -> Path:
    """This package as a wheel in ``folder``. Raises ``StageError`` outside a checkout."""
    if not (ROOT / "pyproject.toml").is_file():
        raise StageError(
            "a job needs this program's source; run it from a checkout (git clone), not an installed wheel"
        )
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StageError(f"the wheel could not be built: {done.stderr.strip().splitlines()[-1]}")
    return next(folder.glob("*.whl"))
