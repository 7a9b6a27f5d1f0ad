"""Checks of a recipe before it costs anything: each finding says what is wrong and how to fix it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .. import models
from ..errors import CountdownError
from ..extras import explained
from ..manifest import FILE_NAME
from ..weights import check_files
from .agreement import disagreement
from .forecast import expected
from .layout import choose
from .memory import new_tokens, whole
from .preflight_gpu import Finding, machine_findings, memory_findings
from .recipe import Recipe
from .reward_functions import check_weights, load_reward

if TYPE_CHECKING:
    from ..hub import Hub


@dataclass(frozen=True)
class Report:
    """``facts`` worth knowing before a start, ``problems``, of which an empty list means go, and what was not looked at
    for want of a package: ``unchecked``."""

    facts: tuple[str, ...]
    problems: tuple[str, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_text(self) -> str:
        """One line per fact, then one for each thing that was not checked, then one per problem."""
        kinds = (("ok", self.facts), ("unknown", self.unchecked), ("problem", self.problems))
        return "\n".join(f"{kind:<8} {text}" for kind, texts in kinds for text in texts)

    def to_json(self) -> str:
        """``ok`` and the three lists."""
        return json.dumps({"ok": self.ok} | asdict(self), ensure_ascii=False)


def inspect(recipe: Recipe, hub: Hub | None = None, namespace: str | None = None, dataset: str | None = None) -> Report:
    """Everything that can be known without training; with a ``hub`` also whether ``namespace`` may be written to.

    ``dataset`` is looked at too, or the one in its usual place when it is there.
    """
    facts: list[str] = []
    problems: list[str] = []
    unchecked: list[str] = []
    findings = {subject: check(recipe) for subject, check in CHECKS.items()} | {"the dataset": _data(recipe, dataset)}
    if hub and namespace:
        findings["the token"] = _permissions(hub, namespace)
    for subject, found in findings.items():
        try:
            for good, text in found:
                (facts if good else problems).append(text)
        except CountdownError as error:
            problems.append(str(error))
        except ImportError as error:
            if (reason := explained(error)) is None:
                raise
            unchecked.append(f"{subject}: {reason}")
    return Report(tuple(facts), tuple(dict.fromkeys(problems)), tuple(unchecked))


def _configuration(recipe: Recipe) -> Iterator[Finding]:
    if recipe.grpo is None:
        yield True, "no 'grpo' section: cold start only"
        return
    from .inputs import as_one_process
    from .trl_config import generation_steps

    layout = choose(recipe)
    config, processes = as_one_process(recipe, layout), layout.processes
    completions = config.per_device_train_batch_size * config.gradient_accumulation_steps
    generations = config.num_generations or 1
    puzzles = completions / generations
    yield True, f"{completions} completions an update = {puzzles:g} puzzles x {generations}, on {processes} process(es)"
    if config.per_device_train_batch_size * config.gradient_accumulation_steps < (config.generation_batch_size or 0):
        yield True, f"completions of {config.generation_batch_size} serve several updates"
    if (steps := generation_steps(config)) > 1:
        yield True, f"checkpoints fall on every {steps}th step, where no completion is left over"


def _expected(recipe: Recipe) -> Iterator[Finding]:
    yield True, expected(recipe)


def _unread(recipe: Recipe) -> Iterator[Finding]:
    """Keys that are valid and would do nothing, or something that another key does better."""
    grpo, launch = recipe.grpo or {}, recipe.launch
    if launch.completions_per_update is not None and "gradient_accumulation_steps" in grpo:
        yield False, "'gradient_accumulation_steps' is not read beside launch.completions_per_update: remove one"
    if launch.vllm == "none" and not grpo.get("use_vllm"):
        for key in [key for key in grpo if key.startswith("vllm_") and "importance" not in key]:
            yield False, f"section 'grpo', key '{key}' is not read without vLLM: set launch.vllm"
    if "num_train_epochs" in grpo and whole(recipe, "max_steps", 0) > 0:
        yield False, "section 'grpo', key 'num_train_epochs' is not read beside max_steps: remove one"
    for key in [key for key in grpo if key.startswith("eval_") or key == "per_device_eval_batch_size"]:
        yield False, f"section 'grpo', key '{key}' is not read: remove it, countdown-r1 evaluate measures checkpoints"
    if grpo.get("push_to_hub"):
        yield False, "section 'grpo', key 'push_to_hub' would send unchecked files: use countdown-r1 publish"
    if grpo.get("use_liger_kernel"):
        yield False, "section 'grpo', key 'use_liger_kernel' is deprecated in TRL: set launch.compile=true instead"


def _rewards(recipe: Recipe) -> Iterator[Finding]:
    for name in recipe.rewards.functions:
        load_reward(name)
        yield True, f"reward {name}"
    check_weights((recipe.grpo or {}).get("reward_weights"), recipe.rewards.functions)


def _data(recipe: Recipe, dataset: str | None) -> Iterator[Finding]:
    """Rows that can be trained on, and what the recipe's section describes."""
    usual = Path("outputs", recipe.name, "dataset")
    if recipe.grpo is None or (dataset is None and not (usual / FILE_NAME).is_file()):
        return
    from .inputs import as_one_process, train_rows
    from .trl_config import check_rows

    named = dataset or str(usual)
    rows = train_rows(named, recipe.dataset.languages)
    check_rows(as_one_process(recipe, choose(recipe)), len(rows))
    line = disagreement(recipe, named)
    yield line is None, line or f"dataset {named}: {len(rows):,} prompts to train on, as the recipe describes them"


def _model(recipe: Recipe) -> Iterator[Finding]:
    """The base's tokenizer and configuration; a small local model's weights too."""
    if recipe.grpo is None or recipe.cold_start is not None:  # a cold start makes its own model
        return
    from .inputs import SMALL_BYTES
    from .preflight_text import text_findings  # before anything is downloaded for it
    from .saving import rehearsed, save_parts

    source = models.resolve(recipe.base)
    folder = models.local_folder(source, weights=False)
    if source.revision is None and sum(file.stat().st_size for file in folder.glob("*.safetensors")) < SMALL_BYTES:
        model, tokenizer = models.load(recipe.base)
        yield True, f"base {recipe.base}: {model.num_parameters() / 1e6:.1f} M parameters"
        config = model.config
    else:
        from transformers import AutoConfig

        if source.revision is None:
            check_files(folder, recipe.base)
        tokenizer, config = models.load_tokenizer(folder), AutoConfig.from_pretrained(folder)
        yield True, f"base {recipe.base}: {getattr(config, 'model_type', 'a model')}"
    if text := models.left_out(recipe.base):
        yield True, text
    with TemporaryDirectory() as scratch, rehearsed(Path(scratch)) as place:
        save_parts(config, models.generation_settings(folder)[0], tokenizer, place)
    yield True, "what a checkpoint holds beside weights can be saved and loaded again"
    with models.undamaged(recipe.base):
        yield from text_findings(tokenizer, config, folder, recipe.dataset.languages, new_tokens(recipe))


def _machine(recipe: Recipe) -> Iterator[Finding]:
    if recipe.grpo is not None and recipe.cold_start is None:
        yield from machine_findings(recipe, choose(recipe))


def _memory(recipe: Recipe) -> Iterator[Finding]:
    if recipe.grpo is not None and recipe.cold_start is None:
        yield from memory_findings(recipe)


def _permissions(hub: Hub, namespace: str) -> Iterator[Finding]:
    """Whether the token may write to the namespace that a run is going to be published to."""
    from ..hub_errors import plain_errors

    with plain_errors(hub.endpoint, "ask whom the token belongs to", "log in with `hf auth login`"):
        who = hub.api.whoami()
    if problem := refused_to_write(who, namespace):
        yield False, problem
    else:
        yield True, f"may publish to {namespace} on {hub.endpoint}"


def refused_to_write(who: Mapping[str, Any], namespace: str) -> str | None:
    """Why the token of a ``whoami`` answer cannot publish to ``namespace``; None when it can.

    A fine-grained token lists what it may do in each namespace (huggingface.co/docs/hub/security-tokens).
    """
    names = [who["name"], *(entry["name"] for entry in who.get("orgs", []))]
    access = who.get("auth", {}).get("accessToken") or {}
    if namespace not in names:
        return f"namespace '{namespace}' is none of this token's: {', '.join(names)}; use one of them or another token"
    if access.get("role") == "read":
        return "the token may only read: make one that may write"
    if access.get("role") == "fineGrained":
        scopes = access.get("fineGrained", {}).get("scoped", [])
        granted = {right for scope in scopes if scope["entity"]["name"] == namespace for right in scope["permissions"]}
        if "repo.write" not in granted:
            return f"the fine-grained token may not write to repositories of '{namespace}': give it that right"
    return None


CHECKS = {
    "batch sizes and keys of TRL": _configuration,
    "time and money": _expected,
    "unread keys": _unread,
    "rewards": _rewards,
    "model, tokenizer and prompts": _model,
    "GPUs": _machine,
    "memory and disk": _memory,
}
