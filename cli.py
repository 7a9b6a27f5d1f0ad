"""The command line: one click group, each command a thin door to the function that does the work.

Heavy libraries are imported inside the commands, so that ``countdown-r1 --help`` answers at once. ``CountdownError``,
a full disk and a missing package are one line on stderr, exit status 1. Ctrl-C leaves finished stages as they are.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from .errors import CountdownError, HubError, InputError, disk_is_full
from .names import near
from .repo_names import check_namespace, check_repo_id, run_name

STOPPED = {  # what is left after Ctrl-C; a training says it itself
    "build-dataset": "; nothing was written",
    "evaluate": "; the answers so far are kept, run the same command again to go on",
    "publish": "; run the same command again to complete what was begun",
    "run": "; finished stages are intact, run the same command again to go on",
}
REPLACE_HELP = "Overwrite and delete what others wrote in the repository too [default: refuse]."
HUB_HELP = "Hub to use: 'hub' (the real one), 'rehearsal' (a loopback server of its own), or a URL."


class Commands(click.Group):
    """Turns errors made on purpose into one line, and Ctrl-C into exit status 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CountdownError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt as stop:
            click.echo(f"\nstopped{str(stop) or STOPPED.get(ctx.invoked_subcommand or '', '')}", err=True)
            sys.exit(130)
        # A full disk surfaces as OSError, ArrowInvalid, SafetensorError or RuntimeError, as the library has it.
        except Exception as error:
            if (message := _plain(error, ctx.invoked_subcommand)) is None:
                raise
            raise click.ClickException(message) from error


def _plain(error: Exception, command: str | None) -> str | None:
    """One line for what no stage can foresee: a full disk, a package that is missing or broken."""
    if disk_is_full(error):
        message = "no space is left to write to; free some and run the same command again"
        return f"{message} ({str(error).splitlines()[0][:160]})"
    from .extras import explained

    return explained(error, command)


class Existing(click.Path):
    """A path that is there; for one that is not, the message names the nearest."""

    def __init__(self, *, file_okay: bool = True) -> None:
        super().__init__(exists=True, file_okay=file_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            hint = "" if Path(value).exists() else near(str(value))
            raise click.BadParameter(error.message + hint, ctx, param) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="countdown-r1", prog_name="countdown-r1")
def main() -> None:
    """Teach a model to reason on the Countdown numbers game, measure it, and publish it.

    The stages chain: build-dataset, train, evaluate, publish, space. `countdown-r1 run demo` does them all on
    a laptop, without an account: it publishes to a rehearsal Hub on this computer.
    """


def command_line() -> str:
    """The command as typed, for manifests."""
    return shlex.join(["countdown-r1", *sys.argv[1:]])


def numbers(text: str) -> tuple[int, ...]:
    """``"3,4"`` as (3, 4). Raises ``InputError``."""
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InputError(f"expected whole numbers separated by commas or spaces, got '{text}'") from None


def pair(text: str) -> tuple[int, int]:
    """``"1,99"`` as (1, 99). Raises ``InputError``."""
    found = numbers(text)
    if len(found) != 2:
        raise InputError(f"expected the lowest and the highest, such as 1,99; got '{text}'")
    return found[0], found[1]


def shares(text: str | None) -> dict[int, float] | None:
    """``"0:0.25,3:0.75"`` as {0: 0.25, 3: 0.75}. Raises ``InputError``."""
    try:
        found = None if text is None else [part.split(":") for part in text.split(",")]
        return None if found is None else {int(level): float(share) for level, share in found}
    except ValueError:
        raise InputError(f"expected levels with shares, such as 0:0.5,1:0.5; got '{text}'") from None


def from_recipe(context: click.Context, _: click.Parameter, name: str | None) -> None:
    """Let the dataset section of a recipe be what the options default to."""
    if name is None:
        return
    recipe = read_recipe(name, ())
    section = recipe.dataset
    levels = section.wish.levels
    context.default_map = {
        "out": f"outputs/{recipe.name}/dataset",
        "rows": section.rows,
        "counts": ",".join(map(str, section.numbers)),
        "number_range": ",".join(map(str, section.number_range)),
        "target_range": ",".join(map(str, section.target_range)),
        "levels": levels and ",".join(f"{level}:{share}" for level, share in levels.items()),
        "languages": ",".join(section.languages),
        "seed": section.seed,
        "source": section.source,
    }


@main.command("build-dataset")
@click.option(
    "--recipe",
    is_eager=True,
    expose_value=False,
    callback=from_recipe,
    help="Make the dataset of this recipe, in outputs/NAME/dataset; other options change it.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--rows", type=int, help="Puzzles to write [default: 10000 generated ones, or all of --source].")
@click.option("--numbers", "counts", default="3,4", show_default=True, help="Numbers per puzzle.")
@click.option("--number-range", default="1,99", show_default=True, help="Lowest and highest number.")
@click.option("--target-range", default="10,100", show_default=True, help="Lowest and highest target.")
@click.option(
    "--levels", metavar="LEVEL:SHARE,...", help="Shares of difficulty, for example 0:0.25,1:0.25,2:0.4,3:0.1."
)
@click.option(
    "--targets",
    type=click.Choice(["uniform", "natural"]),
    default="uniform",
    show_default=True,
    help="How often each target comes.",
)
@click.option("--languages", default="en,zh", show_default=True, help="Prompt languages; none: puzzles alone.")
@click.option("--seed", default=0, show_default=True)
@click.option("--source", help="Prove and convert existing puzzles: a Hub id, a folder or a data file.")
@click.option("--template", "templates", multiple=True, help="A prompt template of your own (YAML file).")
@click.option("--push-to", metavar="NS/NAME", help="Also push to this Hub repository (private).")
@click.option("--replace", is_flag=True, help=REPLACE_HELP)
@click.option("--hub", "hub_name", default="hub", show_default=True, help=HUB_HELP)
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def build_dataset(
    out: Path,
    rows: int | None,
    counts: str,
    number_range: str,
    target_range: str,
    levels: str | None,
    targets: str,
    languages: str,
    seed: int,
    source: str | None,
    templates: tuple[str, ...],
    push_to: str | None,
    replace: bool,
    hub_name: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Generate or import solvable puzzles and write prompts, splits and a card.

    \b
    Levels: 0 needs + and - alone; 1 needs *; 2 needs / with whole results on the way; 3 needs a fraction.
    Examples:
      countdown-r1 build-dataset --out hard --rows 5000 --numbers 4 --levels 2:0.8,3:0.2
      countdown-r1 build-dataset --out tasks --source Jiayi-Pan/Countdown-Tasks-3to4
      countdown-r1 build-dataset --recipe qwen2.5-3b-1gpu
    """
    if push_to:
        check_repo_id(push_to, "choose another --push-to")
    hub = connect(hub_name) if push_to or (source and hub_name != "hub") else None
    from .build_dataset import dataset
    from .build_dataset.generate import Wish

    wish = Wish(numbers(counts), pair(number_range), pair(target_range), shares(levels), targets == "uniform")
    written = dataset.build(
        out,
        rows=rows,
        wish=wish,
        languages=() if languages == "none" else tuple(languages.split(",")),
        seed=seed,
        source=source,
        templates=templates,
        overwrite=overwrite,
        command=command_line(),
    )
    if as_json:
        click.echo(json.dumps({"out": str(out), "results": written.results}))
    url = pushed_dataset(out, push_to, hub, replace) if push_to and hub else None
    finish(url or out, as_json)


def pushed_dataset(out: Path, repo_id: str, hub: Any, replace: bool) -> str:
    """The page of a built dataset, pushed. What was refused lies in ``out``, which the error says."""
    from .build_dataset import dataset

    try:
        return dataset.push(out, repo_id, hub, replace=replace)
    except HubError as error:
        raise HubError(f"{error}; {out} is built, so the same command takes --overwrite") from error


@main.command("verify-dataset")
@click.argument("target")
@click.option("--hub", "hub_name", default="hub", show_default=True, help=HUB_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify_dataset(target: str, hub_name: str, as_json: bool) -> None:
    """Prove a dataset again: TARGET is a folder, a file or a Hub id. Exit status 1 when something fails.

    Every target is reached again by an exact solver, no set of numbers is in two splits, prompts say what the rows say.

    \b
    Examples:
      countdown-r1 verify-dataset outputs/demo/dataset
      countdown-r1 verify-dataset Jiayi-Pan/Countdown-Tasks-3to4 --json
    """
    connect_if_remote(target, hub_name)
    from .build_dataset.verify import verify

    report = verify(target)
    click.echo(report.to_json() if as_json else report.to_text())
    sys.exit(0 if report.ok else 1)


@main.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option("--dataset", help="Folder, file or Hub id [default: outputs/NAME/dataset].")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write [default: outputs/NAME/model].")
@click.option("--set", "changes", multiple=True, metavar="SECTION.KEY=VALUE", help="Change one value of the recipe.")
@click.option("--reward", "rewards", multiple=True, metavar="FILE.py:FUNCTION", help="Use this reward as well.")
@click.option("--patience", type=int, help="Stop after so many checkpoints that are no better on validation.")
@click.option(
    "--launcher",
    type=click.Choice(["local", "accelerate", "slurm", "kubernetes", "hf-jobs"]),
    help="Who starts the processes: this one alone, one per GPU here, or a cluster.",
)
@click.option("--nodes", type=int, help="Machines.")
@click.option("--gpus-per-node", type=int, help="GPUs of each machine; a vLLM server may take one.")
@click.option("--hub", "hub_name", default="hub", show_default=True, help=HUB_HELP)
@click.option("--push-to", "namespace", metavar="NAMESPACE", help="Push each checkpoint there while training goes on.")
@click.option("--replace", is_flag=True, help=REPLACE_HELP)
@click.option("--mirror", metavar="URL", help="Load models and datasets from here; pushes go to the Hub.")
@click.option("--dry-run", is_flag=True, help="Print what would run, and start nothing.")
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
def train(
    recipe_name: str,
    dataset: str | None,
    out: Path | None,
    changes: tuple[str, ...],
    rewards: tuple[str, ...],
    patience: int | None,
    launcher: str | None,
    nodes: int | None,
    gpus_per_node: int | None,
    hub_name: str,
    namespace: str | None,
    replace: bool,
    mirror: str | None,
    dry_run: bool,
    overwrite: bool,
) -> None:
    """Train with a RECIPE: a YAML file of your own, or one that is shipped.

    \b
    Shipped:
      demo               GRPO on three numbers, from `novice`: minutes on two CPU cores; a right answer counts only in
                         the prompt's language
      tiny-cold-start    random weights learn to search from written-out thoughts: minutes on one GPU
      tiny-grpo          GRPO on what that wrote: minutes on one GPU
      novice-cold-start  the small model that the demo starts from
      qwen2.5-3b-1gpu    the articles' run on one 80 GB GPU; qwen2.5-3b-qlora on one of 24 GB
      qwen2.5-3b-en, qwen2.5-7b-zh, qwen2.5-3b-fast    on a node or a cluster
    Examples:
      countdown-r1 build-dataset --recipe demo
      countdown-r1 train demo --set grpo.learning_rate=5e-5 --set grpo.max_steps=60
      countdown-r1 train qwen2.5-3b-fast --launcher slurm --nodes 2 --dry-run

    Before anything starts it says which GPUs do what, and the time and money to expect; `countdown-r1 doctor RECIPE`
    checks the rest. Ctrl-C writes a checkpoint first, and the same command goes on from the last one.
    """
    if patience is not None:
        changes = (*changes, f"evaluate.patience={patience}")
    launch = {"launcher": launcher, "nodes": nodes, "gpus_per_node": gpus_per_node}
    changes = (*changes, *(f"launch.{key}={value}" for key, value in launch.items() if value is not None))
    recipe = read_recipe(recipe_name, changes, rewards)
    named = dataset is not None
    words = [recipe_name, *repeated("--set", changes), *repeated("--reward", rewards)]
    dataset = dataset or f"outputs/{recipe.name}/dataset"
    out = out or Path("outputs", recipe.name, "model")
    options = (
        ["--push-to", namespace, "--hub", hub_name, *(["--mirror", mirror] if mirror else [])] if namespace else []
    )
    forwarded = options + ["--replace"] * bool(namespace and replace)
    callbacks = live_pushing(recipe, out, namespace, hub_name, mirror, replace, dry_run) if namespace else []
    hub = connect(hub_name) if recipe.launch.launcher == "hf-jobs" and not dry_run else None
    if hub is None and not namespace:
        connect_if_remote(dataset, hub_name)
    from .train.launch import left_behind, run_training  # after connecting, for it imports the Hub's clients

    begun = {"overwrite": overwrite, "dry_run": dry_run, "command": command_line(), "echo": click.echo, "hub": hub}
    begun |= {"callbacks": callbacks, "forwarded": forwarded, "words": words, "named": named}
    try:
        run_training(recipe, dataset, out, **begun)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(left_behind(recipe.launch.launcher, out, command_line())) from None
    if not dry_run:
        finish(out)


@main.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--dataset", required=True, help="Folder, Hub id, or a file with nums and target.")
@click.option("--split", default="test", show_default=True)
@click.option("--language", type=click.Choice(["en", "zh"]), help="One language only [default: both in turn].")
@click.option("--limit", default=500, show_default=True, help="Puzzles to ask.")
@click.option("--validation", default=0, show_default=True, help="Puzzles of split 'validation' to choose the best by.")
@click.option("--samples", default=1, show_default=True, help="Completions for each puzzle: pass@k, majority vote.")
@click.option("--greedy/--no-greedy", default=True, show_default=True, help="Also take the likeliest tokens once.")
@click.option("--temperature", default=1.0, show_default=True, help="Of the samples; 0 is greedy.")
@click.option("--max-new-tokens", default=400, show_default=True)
@click.option("--batch-size", default=128, show_default=True, help="Completions at once; less when memory runs out.")
@click.option("--seed", default=0, show_default=True)
@click.option("--backend", type=click.Choice(["transformers", "vllm"]), help="[default: vllm where it can run]")
@click.option("--allow-leak", is_flag=True, help="Ask puzzles that were trained on too, and say how many.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("outputs/evaluation"), show_default=True)
@click.option("--hub", "hub_name", default="hub", show_default=True, help=HUB_HELP)
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def evaluate(
    models: tuple[str, ...],
    dataset: str,
    split: str,
    language: str | None,
    limit: int,
    validation: int,
    samples: int,
    greedy: bool,
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
    seed: int,
    backend: str | None,
    allow_leak: bool,
    out: Path,
    hub_name: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Ask every MODEL the same held-out puzzles; the first one is the base of the comparison.

    MODEL is a folder, a training folder (its base and every checkpoint), a Hub id with @revision, `tiny` or `novice`.
    An interrupted evaluation goes on where it stopped when the same command is given again.

    \b
    Examples:
      countdown-r1 evaluate novice tiny --dataset outputs/demo/dataset
      countdown-r1 evaluate outputs/demo/model --dataset outputs/demo/dataset --samples 8 --language zh
    """
    connect_if_remote(" ".join((dataset, *models)), hub_name)
    from .train import evaluate as stage
    from .train.generation import Decoding

    summary = stage.evaluate(
        stage.candidates_of(models),
        stage.Questions(dataset, split, language, limit, validation, allow_leak),
        Decoding(temperature, max_new_tokens, batch_size, seed, samples, greedy, backend),
        out,
        overwrite=overwrite,
        command=command_line(),
    )
    click.echo(json.dumps(summary) if as_json else stage.table(summary), nl=as_json)
    finish(out, as_json)


@main.command()
@click.argument("path", type=Existing())
@click.option("--base", metavar="LABEL", help="The model to compare with [default: base].")
@click.option("--out", type=click.Path(path_type=Path), help="Also write report.html, aha.json and aha.png here.")
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print everything that was measured as JSON.")
def aha(path: Path, base: str | None, out: Path | None, overwrite: bool, as_json: bool) -> None:
    """Find Aha moments in PATH, true and only claimed ones, and the behaviours around them.

    PATH is a records.jsonl, the parquet files or completion_samples.txt of a training run, or a folder of them.
    Sample files of other programs are read too (JSON lines, JSON, CSV, Parquet, each perhaps as .gz), by the names
    that TRL, verl, reasoning-gym and others use; numbers and target are recovered where their text states them.

    \b
    Example:
      countdown-r1 aha outputs/demo/evaluation --out outputs/demo/aha
    """
    from .train.aha_report import report
    from .train.aha_text import text_report
    from .train.samples import read_samples

    found = read_samples(path)
    measured = report(found, str(path), out, base=base, overwrite=overwrite, command=command_line())
    click.echo(json.dumps(measured, ensure_ascii=False) if as_json else text_report(measured))
    if out:
        finish(out, as_json)


@main.command()
@click.argument("run_folder", metavar="RUN", type=Existing())
@click.option("--json", "as_json", is_flag=True, help="Print every figure as JSON.")
def cost(run_folder: Path, as_json: bool) -> None:
    """What RUN (outputs/NAME or its model) cost by stage: GPU-hours, money, and elastic against reserved.

    \b
    Example:
      countdown-r1 cost outputs/demo
    """
    from .train.cost import cost_of_run, cost_table

    click.echo(json.dumps(cost_of_run(run_folder)) if as_json else cost_table(run_folder))


@main.command()
@click.argument("run_folder", metavar="RUN", type=Existing(file_okay=False))
@click.option("--push-to", "namespace", required=True, metavar="NAMESPACE", help="User or organisation.")
@click.option("--hub", "hub_name", default="hub", show_default=True, help=HUB_HELP)
@click.option("--mirror", metavar="URL", help="Read other people's cards from here; your token is not sent there.")
@click.option("--public", is_flag=True, help="Make the repositories public [default: private].")
@click.option("--yes", is_flag=True, help="Do not ask before anything becomes public.")
@click.option("--space/--no-space", default=True, show_default=True, help="Make the Space too.")
@click.option("--adopt", is_flag=True, help="RUN is another program's model or PEFT adapter: it alone goes.")
@click.option("--base", metavar="NS/NAME", help="With --adopt: the base model, where the files do not name it.")
@click.option("--evaluation", type=click.Path(path_type=Path), help="With --adopt: what `evaluate` wrote for its card.")
@click.option(
    "--trust-remote-code", "trust_code", is_flag=True, help="With --adopt: run and publish its modules (.py)."
)
@click.option("--allow-email", "addresses", multiple=True, metavar="ADDRESS", help="May become public; repeatable.")
@click.option(
    "--allow-finding",
    "findings",
    multiple=True,
    metavar="FILE:LINE#HASH",
    help="No secret, though it was taken for one; as the refusal names it, repeatable.",
)
@click.option("--read-back", is_flag=True, help="Read everything back again, also what was verified before.")
@click.option("--replace", is_flag=True, help=REPLACE_HELP)
@click.option("--dry-run", is_flag=True, help="List what would be pushed and what it changes there, and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print repositories, revisions and files as JSON.")
@click.option("--overwrite", is_flag=True, hidden=True, expose_value=False, help="Does nothing: kept for scripts.")
def publish(
    run_folder: Path,
    namespace: str,
    hub_name: str,
    mirror: str | None,
    public: bool,
    yes: bool,
    space: bool,
    adopt: bool,
    base: str | None,
    evaluation: Path | None,
    trust_code: bool,
    addresses: tuple[str, ...],
    findings: tuple[str, ...],
    read_back: bool,
    replace: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish RUN (outputs/NAME): dataset, model with a branch per checkpoint, records, cards, Space, collection.

    Everything is read back and compared before it is tagged and called published. The same command completes what
    was interrupted and sends only what changed. Files that this program did not put there are listed, and neither
    overwritten nor deleted without --replace; a card that was changed on the Hub's page is one of them.

    \b
    Examples:
      countdown-r1 publish outputs/demo --push-to me --dry-run          every file and what it changes, nothing sent
      countdown-r1 publish outputs/demo --push-to me --hub rehearsal    look at it first: countdown-r1 hub
      countdown-r1 publish outputs/demo --push-to me                    private, until you say --public
      countdown-r1 publish my-trl-run --adopt --push-to me              a model that another program trained
    """
    if public and not (dry_run or yes):
        click.confirm(f"Everything in this run becomes public under {namespace}. Go on?", abort=True)
    hub = connect(hub_name, write=not dry_run, mirror=mirror)
    from .publish.publish import Wish
    from .publish.publish import publish as publish_run

    if (evaluation or trust_code or base) and not adopt:
        raise InputError("--base, --evaluation and --trust-remote-code are for other programs' models: add --adopt")
    wish = Wish(public, space, adopt, base, read_back, (*addresses, *findings), replace, evaluation, trust_code)
    echo = partial(click.echo, err=as_json)
    published = publish_run(run_folder, namespace=namespace, hub=hub, wish=wish, dry_run=dry_run, echo=echo)
    if as_json:
        click.echo(json.dumps(asdict(published), ensure_ascii=False))
    elif not dry_run:
        finish(run_folder / "published")


@main.command()
@click.argument("run_folder", metavar="RUN", type=Existing(file_okay=False))
@click.option("--hub", "hub_name", default="hub", show_default=True, help=HUB_HELP)
@click.option("--from", "namespace", metavar="NAMESPACE", help="Where it was published to, if to several.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def unpublish(run_folder: Path, hub_name: str, namespace: str | None, yes: bool) -> None:
    """Take a published RUN back: list what would be deleted, ask, and delete it.

    A repository with commits or pull requests of others stays whole. So does a dataset that other models name; only
    this model's line in its card goes.

    \b
    Example:
      countdown-r1 unpublish outputs/demo --hub rehearsal
    """
    hub = connect(hub_name)
    from .publish.unpublish import plan, withdraw

    planned = plan(run_folder, hub, namespace)
    click.echo("\n".join(planned.lines()))
    if not yes:
        click.confirm("This cannot be undone. Delete it?", abort=True)
    withdraw(planned, hub, click.echo)
    ended = "stays published where others had a part in it" if planned.left else "is not published there any more"
    finish(f"{run_folder} {ended}; its own files are as they were")


@main.command()
@click.option("--model", default="tiny", show_default=True, help="Folder, Hub id@revision, or shipped name.")
@click.option("--compare", "others", multiple=True, metavar="MODEL", help="Another model to compare with; repeatable.")
@click.option(
    "--run",
    type=Existing(file_okay=False),
    help="Run whose training story is told [default: the model's own, else the shipped recipe's].",
)
@click.option("--port", default=7860, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets other machines in.")
@click.option(
    "--language", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Unless the browser asks."
)
@click.option("--push-to", metavar="NS/NAME", help="Make a Space on the Hub instead of serving here.")
@click.option("--replace", is_flag=True, help=f"With --push-to: {REPLACE_HELP[0].lower()}{REPLACE_HELP[1:]}")
@click.option("--zero-gpu", is_flag=True, help="With --push-to: for ZeroGPU hardware.")
@click.option("--no-wait", is_flag=True, help="With --push-to: do not wait until the Space runs.")
@click.option("--hub", "hub_name", default="hub", show_default=True, help=HUB_HELP)
def space(
    model: str,
    others: tuple[str, ...],
    run: Path | None,
    port: int,
    host: str,
    language: str,
    push_to: str | None,
    replace: bool,
    zero_gpu: bool,
    no_wait: bool,
    hub_name: str,
) -> None:
    """Serve the demo on this computer, or push it to the Hub as a Space and wait until it runs.

    \b
    Examples:
      countdown-r1 space                                              http://127.0.0.1:7860 with `tiny`
      countdown-r1 space --model outputs/demo/model --compare novice  what training changed, side by side
      countdown-r1 space --model me/countdown-r1-demo --push-to me/countdown --zero-gpu
    """
    if push_to:
        check_repo_id(push_to, "choose another --push-to")
        hub = connect(hub_name)
        from .space.deploy import push_space
        from .space.package import Wishes
        from .space.story import story_of

        wishes = Wishes(story_of(model, run), others, zero_gpu)
        options: dict[str, Any] = {"wishes": wishes, "wait": not no_wait, "replace": replace}
        finish(push_space(model, push_to, hub, **options, echo=click.echo))
        return
    connect_if_remote(model, hub_name)
    from .space.server import serve

    serve(model, port, host=host, language=language, others=others, told=run)


@main.command()
@click.argument("nums", nargs=-1, required=True, metavar="NUMBER...")
@click.option("--target", required=True, type=int, help="What the numbers should make.")
@click.option("--model", default="tiny", show_default=True, help="Folder, Hub id@revision, or shipped name.")
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--show-solution", is_flag=True, help="Also print an exact solver's easiest solution.")
@click.option("--hub", "hub_name", default="hub", show_default=True, help=HUB_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print thought and verdict as JSON, when it is done.")
def solve(
    nums: tuple[str, ...],
    target: int,
    model: str,
    language: str,
    seed: int,
    show_solution: bool,
    hub_name: str,
    as_json: bool,
) -> None:
    """Let a model solve one puzzle, its thinking streamed. Exit status 0 when the answer is right, 2 when it is wrong.

    \b
    Examples:
      countdown-r1 solve 19 36 10 --target 65
      countdown-r1 solve 55 36 7 19 --target 65 --language zh --show-solution
    """
    connect_if_remote(model, hub_name)
    from .space.terminal import solve as solve_puzzle

    puzzle = list(numbers(" ".join(nums)))
    verdict = solve_puzzle(puzzle, target, model, language, seed=seed, show_solution=show_solution, as_json=as_json)
    sys.exit(0 if verdict.solved else 2)


@main.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder [default: outputs/NAME].")
@click.option("--set", "changes", multiple=True, metavar="SECTION.KEY=VALUE", help="Change one value of the recipe.")
@click.option("--push-to", "namespace", default="rehearsal", show_default=True, help="User or organisation.")
@click.option("--hub", "hub_name", default="rehearsal", show_default=True, help=HUB_HELP)
@click.option("--overwrite", is_flag=True, help="Start from nothing, replacing the run's folder.")
@click.option("--replace", is_flag=True, help=REPLACE_HELP)
@click.option("--serve/--no-serve", default=True, show_default=True, help="Serve the Space at the end.")
@click.option("--port", default=7860, show_default=True, help="The Space's port.")
def run(
    recipe_name: str,
    out: Path | None,
    changes: tuple[str, ...],
    namespace: str,
    hub_name: str,
    overwrite: bool,
    replace: bool,
    serve: bool,
    port: int,
) -> None:
    """Run every stage of a RECIPE, one after the other; finished stages are reused.

    Unless told otherwise it publishes to a rehearsal Hub on this computer and cannot reach the real one.

    \b
    Examples:
      countdown-r1 run demo
      countdown-r1 run qwen2.5-3b-fast --hub hub --push-to me --no-serve
    """
    recipe = read_recipe(recipe_name, changes)
    from .chain import Chain, run_chain

    run_chain(
        Chain(recipe, out or Path("outputs", recipe.name), namespace, hub_name, command_line(), replace),
        overwrite=overwrite,
        serve_port=port if serve else None,
        echo=click.echo,
    )


@main.command()
@click.option("--port", default=7870, show_default=True, help="0 takes a free one.")
@click.option("--data", type=click.Path(path_type=Path), default=Path("outputs/rehearsal-hub"), show_default=True)
@click.option("--faults", help="Let a share of the requests fail: 0.2, or KIND=SHARE,... as 429=0.1,lost=0.05.")
@click.option("--fault-seed", default=0, show_default=True, help="Which requests fail.")
@click.option("--xet", is_flag=True, help="Let clients upload through Xet instead of plain LFS.")
def hub(port: int, data: Path, faults: str | None, fault_seed: int, xet: bool) -> None:
    """Serve the rehearsal Hub on 127.0.0.1 until Ctrl-C: see what would be public before it is.

    With --faults it fails as the real one does (429, 500, 503, 412, slow, cut, truncated, lost), to practise with.

    \b
    Examples:
      countdown-r1 hub
      countdown-r1 hub --port 0 --data outputs/practice --faults 429=0.1,cut=0.05
    """
    from .rehearsal.faults import parse_faults
    from .rehearsal.server import serve

    serve(port=port, data=data, faults=parse_faults(faults, fault_seed) if faults else None, xet=xet)


@main.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option("--set", "changes", multiple=True, metavar="SECTION.KEY=VALUE", help="Change one value of the recipe.")
@click.option("--dataset", help="Also check this one: a folder or Hub id [default: outputs/NAME/dataset if there].")
@click.option("--push-to", "namespace", metavar="NAMESPACE", help="Also check that the token may publish there.")
@click.option("--hub", "hub_name", default="hub", show_default=True, help=HUB_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def doctor(
    recipe_name: str,
    changes: tuple[str, ...],
    dataset: str | None,
    namespace: str | None,
    hub_name: str,
    as_json: bool,
) -> None:
    """Check a RECIPE before it costs anything: keys, batch sizes, GPUs, memory, prompts, model, disk.

    Says which GPUs train and which write, and what time and money to expect. Exit 1 on a problem; what cannot be looked
    at without a package that is not installed is unknown.

    \b
    Examples:
      countdown-r1 doctor demo
      countdown-r1 doctor qwen2.5-3b-fast --set launch.gpus_per_node=8 --push-to me
    """
    hub = connect(hub_name) if namespace or hub_name != "hub" else None
    from .train.preflight import inspect

    report = inspect(read_recipe(recipe_name, changes), hub, namespace, dataset)
    click.echo(report.to_json() if as_json else report.to_text())
    sys.exit(0 if report.ok else 1)


def repeated(option: str, values: tuple[str, ...]) -> list[str]:
    """The words of an option that is given once for each value."""
    return [word for value in values for word in (option, value)]


def read_recipe(name: str, changes: tuple[str, ...], rewards: tuple[str, ...] = ()) -> Any:
    """The recipe with the command line's changes on top."""
    from .train.recipe import load_recipe

    recipe = load_recipe(name, changes)
    return recipe.with_rewards(rewards) if rewards else recipe


def connect(hub_name: str, *, write: bool = True, mirror: str | None = None) -> Any:
    """The Hub to talk to; before anything imports its clients, which read their endpoint at import."""
    from .hub import connect as connect_hub

    return connect_hub(hub_name, write=write, mirror=mirror)


def live_pushing(
    recipe: Any, out: Path, namespace: str, hub_name: str, mirror: str | None, replace: bool, dry_run: bool
) -> list[Any]:
    """The callback that pushes checkpoints to the Hub, none in a dry run.

    Raises ``CountdownError`` now for a name that the Hub refuses or a repository that others wrote to.
    """
    from .publish.links import check_names, every_link

    check_namespace(namespace)
    links = every_link(namespace, run_name(out, recipe.name), recipe.publish.dataset_name)
    check_names(links)
    if dry_run:
        return []
    hub = connect(hub_name, mirror=mirror)
    from .publish.live import LivePush
    from .publish.plan import refuse_taken_names

    if not replace and os.environ.get("RANK", "0") == "0":
        refuse_taken_names(out.resolve().parent, hub, links, {"model"})
    return [LivePush(hub, links.model, replace=replace)]


def connect_if_remote(names: str, hub_name: str) -> None:
    """Connect when a Hub other than the real one was named; nothing to do for local folders."""
    if hub_name != "hub" and names:
        connect(hub_name, write=False)


def finish(written: object, quiet: bool = False) -> None:
    """The last line of a stage: the path or URL it wrote."""
    if not quiet:
        click.echo(str(written))


if __name__ == "__main__":
    main()
