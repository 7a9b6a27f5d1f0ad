"""The commands on a card: what made the run, and what measures the published weights again, every revision named."""

from __future__ import annotations

from typing import Any

from ..hub import DEFAULT_ENDPOINT
from ..places import command_without_places
from .checkpoints import Run
from .links import Links


def made_by(run: Run, links: Links) -> str:
    """What was typed, each command once; `run` does every stage, publishing included."""
    stages = (run.dataset, run.model, run.evaluation)
    typed = [command_without_places(one.command, run.folder) for one in stages if one and one.command]
    if not any(command.startswith("countdown-r1 run ") for command in typed):
        typed.append(f"countdown-r1 publish outputs/{run.name} --push-to {links.namespace}{_hub(links)}")
    return "\n".join(dict.fromkeys(typed))


def measured_again(run: Run, links: Links) -> str:
    """The command that asks the published weights the same puzzles again, '' without an evaluation or a commit."""
    summary, decoding = run.summary, run.summary.get("decoding") or {}
    if not (summary.get("models") and links.dataset and links.dataset_revision and links.weights_revision):
        return ""
    split = (summary.get("dataset") or {}).get("split")
    options: dict[str, Any] = {"split": split, "limit": summary.get("n"), "seed": summary.get("seed")}
    options |= {name: decoding.get(name) for name in ("samples", "temperature", "max_new_tokens", "batch_size")}
    languages = list(summary["models"][0].get("by_language") or {})
    options |= {"language": languages[0] if len(languages) == 1 else None, "backend": decoding.get("backend")}
    words = [f"--{name.replace('_', '-')} {value}" for name, value in options.items() if value is not None]
    words += ["--no-greedy"] if decoding.get("greedy") is False else []
    weights, data = f"{links.model}@{links.weights_revision}", f"{links.dataset}@{links.dataset_revision}"
    return f"countdown-r1 evaluate {weights} --dataset {data} \\\n  {' '.join(words)}{_hub(links)}"


def _hub(links: Links) -> str:
    """The option that names the Hub, where it is not the default one."""
    return "" if links.site == DEFAULT_ENDPOINT else f" --hub {links.site or 'rehearsal'}"
