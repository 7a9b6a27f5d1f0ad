"""Recipes: one YAML file that says everything a run depends on, parsed strictly.

    name: demo                  the run's name; outputs go to outputs/NAME
    base: tiny                  the model GRPO starts from: a folder, a Hub id@revision, or a shipped name
    dataset / cold_start / curriculum / grpo / rewards / evaluate / lora / launch / slurm / kubernetes / hf_jobs /
    cost / publish              sections, all optional; clusters.py holds those from launch to cost

Each section is parsed into its dataclass; ``grpo`` is TRL's own ``GRPOConfig``. An unknown key or a value of
the wrong kind is one line that names the section, the key and the nearest valid name.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from ..build_dataset.generate import Wish
from ..errors import InputError
from ..names import closest, near
from .clusters import Cost, HfJobs, Kubernetes, Launch, Slurm, at_least

Section = TypeVar("Section")
SMALLEST_VOCABULARY = 263  # 256 bytes, three special tokens, four tags
LARGEST_VOCABULARY = 2**15  # ids travel from the trace writers to the trainer as 16-bit numbers
_NAME = re.compile(r"\w[\w.-]*")
# The lowest values of numbers in ``grpo``; below them TRL divides by zero, trains backwards or not at all.
LOWEST_GRPO = {
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "generation_batch_size": 1,
    "steps_per_generation": 1,
    "num_generations": 1,
    "num_iterations": 1,
    "max_completion_length": 1,
    "max_steps": -1,  # by num_train_epochs
    "logging_steps": 0,
    "save_steps": 0,
    "vllm_max_model_length": 1,
    "vllm_tensor_parallel_size": 1,
    "learning_rate": 0,
    "temperature": 0.01,
    "beta": 0,
    "seed": 0,
}


@dataclass(frozen=True)
class Dataset:
    """Puzzles to build: ``build_dataset``'s options. ``source`` proves existing rows instead of generating."""

    rows: int | None = None
    numbers: tuple[int, ...] = (3, 4)
    languages: tuple[str, ...] = ("en", "zh")
    number_range: tuple[int, int] = (1, 99)
    target_range: tuple[int, int] = (10, 100)
    levels: dict[Any, Any] | None = None
    seed: int = 0
    source: str | None = None

    def __post_init__(self) -> None:
        at_least("dataset", vars(self), rows=1, seed=0)
        if not self.languages:
            raise InputError("section 'dataset', key 'languages': name at least one, such as [en]")
        for name in ("number_range", "target_range"):
            if len(getattr(self, name)) != 2:
                raise InputError(f"section 'dataset', key '{name}': expected two numbers, lowest and highest")
        try:
            _ = self.wish
        except (TypeError, ValueError):
            raise InputError("section 'dataset', key 'levels': expected shares such as {0: 0.5, 1: 0.5}") from None

    @property
    def wish(self) -> Wish:
        """What to generate."""
        levels = None if self.levels is None else {int(level): float(share) for level, share in self.levels.items()}
        return Wish(self.numbers, self.number_range, self.target_range, levels)


@dataclass(frozen=True)
class ColdStart:
    """Everything that decides the cold start's weights.

    ``puzzles`` are drawn per count in ``numbers``; every trace takes one of them at random, with counts weighted by
    ``number_weights``. ``hint``, ``patience``, ``stop_chance``, ``reflect_chance`` and ``reflective`` are the habits
    of the written search (``traces.Habits``). A row holds ``row_tokens`` tokens of samples, a step ``batch_rows``.

    Training ends after ``steps``, or after ``minutes`` when that is above 0, and the learning rate falls over what
    is left. A sitting ends after ``sitting_minutes`` (0: never), leaving weights that the next one goes on from.
    ``start`` goes on from a model's weights instead of random ones, its tokenizer kept. Every ``check_minutes`` the
    held-out loss and the solve rate of ``check_puzzles`` validation puzzles of each count are measured.
    """

    numbers: tuple[int, ...] = (3, 4)
    number_weights: tuple[float, ...] = (0.8, 0.2)
    puzzles: int = 200_000
    hint: tuple[float, float] = (1.5, 12.0)
    patience: float = 0.55
    stop_chance: float = 0.0
    reflect_chance: float = 0.15
    reflective: bool = True
    vocab_size: int = 1024
    hidden_size: int = 256
    intermediate_size: int = 704
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    max_positions: int = 2560
    row_tokens: int = 768
    batch_rows: int = 128
    steps: int = 3000
    minutes: float = 0.0
    sitting_minutes: float = 0.0
    start: str | None = None
    learning_rate: float = 2e-3
    check_minutes: float = 1.0
    check_puzzles: int = 200
    workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.numbers) != len(self.number_weights):
            raise InputError("section 'cold_start': 'number_weights' needs one weight for each entry of 'numbers'")
        at_least("cold_start", vars(self), hidden_size=1, intermediate_size=1, layers=1, heads=1, kv_heads=1)
        at_least("cold_start", vars(self), puzzles=1, max_positions=1, row_tokens=1, batch_rows=1, steps=1, workers=0)
        at_least("cold_start", vars(self), minutes=0, sitting_minutes=0, learning_rate=0, check_minutes=0, seed=0)
        at_least("cold_start", vars(self), patience=0, stop_chance=0, reflect_chance=0, check_puzzles=0)
        if not SMALLEST_VOCABULARY <= self.vocab_size <= LARGEST_VOCABULARY:
            between = f"between {SMALLEST_VOCABULARY} and {LARGEST_VOCABULARY}"
            raise InputError(f"section 'cold_start': 'vocab_size' is {between}, not {self.vocab_size}")
        if len(self.hint) != 2 or not 1 <= self.hint[0] <= self.hint[1]:
            raise InputError("section 'cold_start', key 'hint': expected two numbers from 1 on, lowest and highest")
        if self.hidden_size % self.heads or self.heads % self.kv_heads:
            raise InputError("section 'cold_start': 'heads' must divide 'hidden_size', and 'kv_heads' divide 'heads'")


@dataclass(frozen=True)
class Rewards:
    """Reward functions: names from ``train.rewards`` or ``FILE.py:FUNCTION``."""

    functions: tuple[str, ...] = ("equation_reward", "format_reward")

    def __post_init__(self) -> None:
        if not self.functions:
            raise InputError("section 'rewards': 'functions' is empty, so nothing could be learnt")


@dataclass(frozen=True)
class Curriculum:
    """Which puzzles GRPO asks: those that the base solves sometimes, since a group of equal rewards teaches nothing.

    The base answers ``candidates`` train puzzles ``samples`` times each; those with a share of right answers between
    ``lowest`` and ``highest`` stay (0 and 1 excluded by default). ``max_new_tokens`` as in the evaluation.
    """

    candidates: int = 4096
    samples: int = 4
    lowest: float = 0.01
    highest: float = 0.99
    batch_size: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        at_least("curriculum", vars(self), candidates=1, samples=1, batch_size=1, seed=0)
        if not 0 <= self.lowest <= self.highest <= 1:
            raise InputError("section 'curriculum': 'lowest' and 'highest' are shares from 0 to 1, in this order")


@dataclass(frozen=True)
class Evaluate:
    """``limit`` held-out puzzles of ``test`` for the published numbers, ``validation`` ones to choose the best.

    Each gets ``samples`` completions and, with ``greedy``, one of the likeliest tokens. ``patience``: training stops
    after so many checkpoints that solve no more validation puzzles than the best before them; 0 never stops it.
    """

    limit: int = 500
    validation: int = 200
    temperature: float = 1.0
    max_new_tokens: int = 320
    batch_size: int = 128
    seed: int = 0
    samples: int = 1
    greedy: bool = True
    patience: int = 0

    def __post_init__(self) -> None:
        at_least("evaluate", vars(self), limit=1, validation=0, temperature=0, max_new_tokens=1, batch_size=1, seed=0)
        at_least("evaluate", vars(self), samples=1, patience=0)
        if self.temperature == 0 and self.samples > 1:
            raise InputError("section 'evaluate', key 'samples': at temperature 0 they are all the same; set it to 1")
        if self.patience and not self.validation:
            raise InputError("section 'evaluate', key 'patience': it needs 'validation' puzzles to look at")


@dataclass(frozen=True)
class Lora:
    """Train small adapters (PEFT) instead of all weights; with ``bits`` 4 the frozen weights are NF4 (QLoRA)."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: str = "all-linear"
    bits: int = 16

    def __post_init__(self) -> None:
        if self.bits not in (4, 16):
            raise InputError(f"section 'lora', key 'bits': 4 or 16, got {self.bits}")
        at_least("lora", vars(self), rank=1, alpha=1, dropout=0)

    @property
    def packages(self) -> tuple[str, ...]:
        """What has to be installed for it."""
        return ("peft", "bitsandbytes") if self.bits == 4 else ("peft",)


@dataclass(frozen=True)
class Publish:
    """Repository names under the namespace given at publishing time."""

    dataset_name: str = "Countdown-r1-zero"
    public: bool = False


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe; ``grpo`` stays a mapping until ``grpo_config`` hands it to TRL."""

    name: str
    base: str = "tiny"
    dataset: Dataset = field(default_factory=Dataset)
    cold_start: ColdStart | None = None
    grpo: Mapping[str, Any] | None = None
    rewards: Rewards = field(default_factory=Rewards)
    curriculum: Curriculum | None = None
    evaluate: Evaluate = field(default_factory=Evaluate)
    lora: Lora | None = None
    launch: Launch = field(default_factory=Launch)
    slurm: Slurm = field(default_factory=Slurm)
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    hf_jobs: HfJobs = field(default_factory=HfJobs)
    cost: Cost = field(default_factory=Cost)
    publish: Publish = field(default_factory=Publish)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(f"a recipe's name names a folder: letters, digits, '.', '_' and '-', not '{self.name}'")
        at_least("grpo", self.grpo or {}, **LOWEST_GRPO)

    def with_rewards(self, functions: Iterable[str]) -> Recipe:
        """The same recipe with further reward functions, each of weight 1 where the recipe weighs them."""
        added, grpo = tuple(functions), self.grpo
        if grpo and grpo.get("reward_weights"):
            grpo = {**grpo, "reward_weights": [*grpo["reward_weights"], *[1.0] * len(added)]}
        return replace(self, grpo=grpo, rewards=Rewards((*self.rewards.functions, *added)))


def settings(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values that JSON and YAML can hold."""
    return json.loads(json.dumps(asdict(recipe)))


def recipe_text(recipe: Recipe) -> str:
    """The whole recipe, defaults included, as YAML that ``load_recipe`` takes."""
    values = {key: value for key, value in settings(recipe).items() if value is not None}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def shipped_recipes() -> list[str]:
    """Names that ``load_recipe`` takes without a path."""
    folder = resources.files("countdown_r1.train").joinpath("recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """The recipe of a YAML file or a shipped name, with ``section.key=value`` changes applied on top."""
    path = Path(name)
    if path.is_file():
        text = _text_of(path)
    elif name.removesuffix(".yaml") in shipped_recipes():
        shipped = resources.files("countdown_r1.train").joinpath(f"recipes/{name.removesuffix('.yaml')}.yaml")
        text = shipped.read_text(encoding="utf-8")
    else:
        shipped = shipped_recipes()
        raise InputError(f"no recipe '{name}'{near(name, shipped)}: give a YAML file, or one of {', '.join(shipped)}")
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"recipe {name} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"recipe {name} is empty or not a mapping; it needs at least 'name' and a section")
    for change in changes:
        _apply(values, change)
    return parse_recipe(values, path.stem)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"recipe {path} cannot be read as UTF-8 text: {error}") from error


def parse_recipe(values: Mapping[str, Any], default_name: str) -> Recipe:
    """A ``Recipe`` from parsed YAML."""
    return parse_section(Recipe, {"name": default_name} | dict(values), "recipe")


def parse_section(kind: type[Section], values: Any, section: str) -> Section:
    """``values`` as an instance of the dataclass ``kind``; ``InputError`` on the first thing that does not fit."""
    if not isinstance(values, dict):
        raise InputError(f"section '{section}' must be a mapping of keys to values, got {values!r}")
    hints = get_type_hints(kind)
    names = [entry.name for entry in fields(kind) if entry.init]  # pyright: ignore[reportArgumentType]
    parsed = {}
    for key, value in values.items():
        if key not in names:
            raise InputError(f"section '{section}' has no key '{key}'{nearest(key, names)}")
        parsed[key] = convert(hints[key], value, section, key)
    return kind(**parsed)


def convert(hint: Any, value: Any, section: str, key: str) -> Any:
    """``value`` as the annotated type; ``5e-7`` may come as text, since YAML 1.1 reads it so."""
    if is_dataclass(hint):
        return parse_section(hint, value, key)  # pyright: ignore[reportArgumentType]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        kinds = [kind for kind in inner if kind is not type(None)]
        return convert(kinds[0], value, section, key) if len(kinds) == 1 else value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(convert(inner[0], entry, section, key) for entry in value)
    if hint is float and isinstance(value, str | int) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            value = float(value)
    wanted = origin or hint
    plain = isinstance(wanted, type) and wanted in (int, float, str, bool, tuple, dict, list, Mapping)
    endless = section == "grpo" and key not in LOWEST_GRPO  # such as epsilon_high, which then clips nothing
    odd = (wanted is int and isinstance(value, bool)) or (isinstance(value, float) and not math.isfinite(value))
    odd = odd and not (endless and value == math.inf)
    if plain and (odd or not isinstance(value, wanted)):
        raise InputError(f"section '{section}', key '{key}': expected {_kind(wanted)}, got {value!r}")
    return value


def _kind(wanted: type) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", tuple: "a list"}
    names |= {Mapping: "a mapping of keys to values", dict: "a mapping of keys to values", list: "a list"}
    return names.get(wanted, wanted.__name__)


def nearest(key: object, names: list[str]) -> str:
    """The end of an error message: the closest valid name, or the names there are."""
    close = closest(str(key), names)
    return f"; did you mean '{close}'?" if close else f"; it has {', '.join(names[:12])}"


def _apply(values: dict[str, Any], change: str) -> None:
    """One ``section.key=value`` (or ``key=value`` for the top level); the value is read as YAML."""
    path, equals, text = change.partition("=")
    keys = path.strip().split(".")
    if not equals or len(keys) > 2 or not all(keys):
        raise InputError(f"--set takes section.key=value, got '{change}'")
    place = values
    if len(keys) == 2:
        place = values[keys[0]] = {} if values.get(keys[0]) is None else values[keys[0]]
        if not isinstance(place, dict):
            raise InputError(f"--set {change}: '{keys[0]}' is not a section")
    try:
        place[keys[-1]] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {change}: the value is not valid YAML ({' '.join(str(error).split())})") from error
