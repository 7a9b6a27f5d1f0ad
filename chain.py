"""All stages of a recipe, one after the other: what ``countdown-r1 run`` and ``make demo`` do.

A finished stage is reused, so a second run starts in seconds and an interrupted one goes on at the stage that
failed. ``recipe.yaml`` in the run's folder says which recipe it belongs to.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError, StageError
from .extras import SERVING, TRAINING, need
from .hub import Hub, connect
from .manifest import FILE_NAME, damaged_files, refuse_foreign
from .repo_names import check_namespace

if TYPE_CHECKING:
    from .train.recipe import Recipe

Echo = Callable[[str], None]
STAGES = ("dataset", "model", "evaluation", "published")


@dataclass(frozen=True)
class Chain:
    """What to run and where: ``out`` holds one folder per stage."""

    recipe: Recipe
    out: Path
    namespace: str
    hub_name: str
    command: str
    replace: bool = False


def run_chain(chain: Chain, *, overwrite: bool, serve_port: int | None, echo: Echo) -> None:
    """Build, train, evaluate, publish, print the summary and, with a port, serve the published Space's model."""
    need(*TRAINING)
    if serve_port is not None:
        need(*SERVING, command="space")
    hub = connect(chain.hub_name)  # before any stage imports a client of the Hub
    _check_target(chain, hub)
    _claim_folder(chain, overwrite)
    if not (chain.out / "model").exists():
        _check_recipe(chain)
    steps = {"dataset": build, "model": train, "evaluation": evaluate, "published": publish}
    for number, (stage, step) in enumerate(steps.items(), 1):
        folder = chain.out / stage
        with _announced(f"[{number}/{len(steps)}] {stage}", folder, echo) as reused:
            if not reused or stage == "published":  # publishing again sends only what changed
                step(chain, hub, echo)
    echo(summary(chain.out))
    if serve_port is not None:
        serve(chain, serve_port, echo)


def _check_target(chain: Chain, hub: Hub) -> None:
    """Find a name that the Hub refuses, or a repository that others wrote to, now and not after the training."""
    from .publish.links import check_names, every_link
    from .publish.plan import refuse_taken_names

    check_namespace(chain.namespace)
    links = every_link(chain.namespace, chain.out.resolve().name, chain.recipe.publish.dataset_name)
    check_names(links)
    if not chain.replace:
        refuse_taken_names(chain.out.resolve(), hub, links, links.repos)


def _check_recipe(chain: Chain) -> None:
    """Find a mistake in the training section now, not after the dataset has been built."""
    from .train.inputs import check_recipe

    if chain.recipe.grpo is None:
        name = chain.recipe.name
        raise InputError(f"recipe {name} has no 'grpo' section, so there is no chain to run: countdown-r1 train {name}")
    check_recipe(chain.recipe, chain.out / "model")


def build(chain: Chain, hub: Hub, echo: Echo) -> None:
    """Stage 1: the dataset."""
    from .build_dataset import dataset

    section = chain.recipe.dataset
    dataset.build(
        chain.out / "dataset",
        rows=section.rows,
        wish=section.wish,
        languages=section.languages,
        seed=section.seed,
        source=section.source,
        command=chain.command,
    )


def train(chain: Chain, hub: Hub, echo: Echo) -> None:
    """Stage 2: cold start and GRPO."""
    from .train.launch import run_training

    run_training(
        chain.recipe,
        str(chain.out / "dataset"),
        chain.out / "model",
        overwrite=False,
        dry_run=False,
        command=chain.command,
        echo=echo,
    )


def evaluate(chain: Chain, hub: Hub, echo: Echo) -> None:
    """Stage 3: base and checkpoints on held-out puzzles."""
    from .train import evaluate as stage
    from .train.generation import Decoding

    section = chain.recipe.evaluate
    questions = stage.Questions(str(chain.out / "dataset"), n=section.limit, n_validation=section.validation)
    sampling = (section.temperature, section.max_new_tokens, section.batch_size, section.seed)
    decoding = Decoding(*sampling, samples=section.samples, greedy=section.greedy)
    candidates = stage.run_candidates(chain.out / "model")
    results = stage.evaluate(candidates, questions, decoding, chain.out / "evaluation", command=chain.command)
    echo(stage.table(results))


def publish(chain: Chain, hub: Hub, echo: Echo) -> None:
    """Stage 4: dataset, checkpoints, cards and Space; a second time sends only what changed."""
    from .publish.publish import Wish
    from .publish.publish import publish as publish_run

    wish = Wish(public=chain.recipe.publish.public, replace=chain.replace)
    publish_run(chain.out, namespace=chain.namespace, hub=hub, wish=wish, echo=echo)


def serve(chain: Chain, port: int, echo: Echo) -> None:
    """Stage 5: the Space, with the published model."""
    from .space.server import serve as serve_space

    published = json.loads((chain.out / "published" / "published.json").read_text(encoding="utf-8"))
    model = published["model"]
    serve_space(f"{model['id']}@{model['revision']}", port=port, told=chain.out, echo=echo)


def summary(out: Path) -> str:
    """What a run came to, in a few lines."""
    dataset = _json(out / "dataset" / FILE_NAME)["results"]
    results = _json(out / "evaluation" / "summary.json")
    published = _json(out / "published" / "published.json")
    models = {model["label"]: model for model in results["models"]}
    base, best = models["base"], models[results["best"]]
    paired = results.get("paired")
    lines = [
        "",
        f"puzzles     {dataset['rows']:,} proven solvable; {results['n']} held-out ones asked, never trained on",
        f"solved      {_rate(base, 'solve')}  ->  {_rate(best, 'solve')}   ({results['best']}, chosen on validation)",
    ]
    if paired:
        low, high = paired["interval"]
        lines.append(
            f"difference  {paired['difference']:+.1%} on the same puzzles, 95% interval {low:+.1%} to {high:+.1%}"
        )
    lines += [
        f"format      {_rate(base, 'format')}  ->  {_rate(best, 'format')}",
        f"thinking    {base['mean_tokens']:.0f}  ->  {best['mean_tokens']:.0f} tokens on average",
        f"Ahas        {best['ahas']['solved']} true ones; the cold start it began from had {base['ahas']['solved']}",
        "published   " + "\n            ".join(repo["url"] for repo in published["repos"]),
        f"look        {_program()} hub    (what was published, card by card)",
        f"play        {_program()} space --model {out / 'model'}",
    ]
    return "\n".join(lines)


def _program() -> str:
    """How this program was called, so that the hint can be pasted."""
    called = Path(sys.argv[0])
    return os.path.relpath(called) if called.name == "countdown-r1" else "countdown-r1"


def _rate(model: dict[str, Any], kind: str) -> str:
    low, high = model[f"{kind}_interval"]
    return f"{model[f'{kind}_rate']:.1%} [{low:.1%}, {high:.1%}]"


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _claim_folder(chain: Chain, overwrite: bool) -> None:
    """Make the run's folder this recipe's own. Raises ``StageError`` when it holds another recipe's run."""
    from .train.recipe import load_recipe, recipe_text

    record = chain.out / "recipe.yaml"
    refuse_foreign(chain.out, record.name)
    if overwrite and chain.out.exists():
        shutil.rmtree(chain.out)
    # As recipes, not as texts: an older version's text lacks what has been added since, with its default.
    if record.exists() and load_recipe(str(record)) != chain.recipe:
        raise StageError(f"{chain.out} holds a run of another recipe; pass --overwrite or choose another --out")
    chain.out.mkdir(parents=True, exist_ok=True)
    record.write_text(recipe_text(chain.recipe), encoding="utf-8")


@contextmanager
def _announced(title: str, folder: Path, echo: Echo) -> Iterator[bool]:
    """Print a stage's name, then its time and folder. Yields whether the folder is complete already.

    Raises ``StageError`` when a finished stage's files were changed or damaged since.
    """
    reused = (folder / FILE_NAME).is_file()
    if reused and (damaged := damaged_files(folder)):
        raise StageError(f"{folder / damaged[0]} is missing or damaged; remove {folder} to have it made again")
    echo(f"{title}{' (finished before)' if reused else ''}")
    began = time.monotonic()
    yield reused
    echo(f"      {time.monotonic() - began:.1f} s -> {folder}")
