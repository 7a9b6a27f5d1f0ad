"""Reward functions by name, and the files that show what the model wrote while it was rewarded."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import math
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import InputError, TrainingError
from ..game.answer import judge
from ..game.claims import claims
from ..game.language import mixed
from ..game.puzzle import Status
from ..names import near
from .article_rewards import article_equation_reward, article_format_reward
from .messages import said, shown
from .reward_rows import Text, read_languages, read_puzzles, read_texts
from .rewards import consistent_equation_reward, equation_reward, format_reward
from .shaped_rewards import READ_CHARS, language_reward, length_reward, truth_reward

if TYPE_CHECKING:
    from .callbacks import Timeline

RewardFunction = Callable[..., list[float]]
_REWARDS = (equation_reward, format_reward, consistent_equation_reward, article_equation_reward, article_format_reward)
SHIPPED: dict[str, RewardFunction] = {
    reward.__name__: reward for reward in (*_REWARDS, language_reward, length_reward, truth_reward)
}
SAMPLES, SUCCESSES = "completion_samples.txt", "success_completion_samples.txt"
SAMPLE_CHANCE = 0.1
WRONG_ANSWERS, FALSE_CLAIMS = "answers/wrong_ratio", "claims/false_ratio"  # metrics of every logged step
MIXED = "language/mixed_ratio"  # the same
CLAIMS_READ = 128  # completions of a batch whose sums are checked for it: a millisecond each
# What TRL hands to a reward by keyword, besides the dataset's own columns.
_PASSED = ("prompts", "completions", "completion_ids", "nums", "target", "trainer_state", "log_extra", "log_metric")


def check_weights(weights: Sequence[float] | None, functions: Sequence[str]) -> None:
    """Raise ``InputError`` unless there is one weight for each reward, or none at all."""
    if weights is not None and len(weights) != len(functions):
        raise InputError(
            f"section 'grpo', key 'reward_weights': {len(weights)} weights for the rewards {', '.join(functions)}; "
            "give one for each, or null for 1 each"
        )


def load_reward(name: str) -> RewardFunction:
    """A shipped reward, or FUNCTION of ``FILE.py:FUNCTION``, which may be async.

    Raises ``InputError`` when there is none, when its file cannot be imported, or when it would not take what a
    trainer passes: better now than after a model was loaded. A file's function is wrapped so that scores
    which are not one number or None per completion are a ``TrainingError`` that names it.
    """
    if name in SHIPPED:
        return SHIPPED[name]
    path, colon, function = name.rpartition(":")
    if not colon or not Path(path).is_file():
        meant = near(path or name, () if colon else SHIPPED)
        raise InputError(f"no reward '{name}'{meant}: use {', '.join(SHIPPED)}, or FILE.py:FUNCTION")
    reward = getattr(_module(Path(path)), function, None)
    if not callable(reward) or inspect.isclass(reward):
        raise InputError(f"reward file {path} has no function '{function}'")
    if function in SHIPPED:
        raise InputError(f"reward '{name}' has the name of a shipped one and would be logged as it; rename it")
    try:
        inspect.signature(reward).bind(**dict.fromkeys(_PASSED))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"reward '{name}' does not take what a trainer passes ({error}); "
            f"define it as `def {function}(completions, nums, target, **kwargs)`"
        ) from error
    return _checked(reward, name, function)


def _module(path: Path) -> ModuleType:
    """The user's file, run once per process and content, under a name of its own that hides no other module."""
    try:
        content = hashlib.sha256(str(path.resolve()).encode() + b"\0" + path.read_bytes())
    except OSError as error:
        raise InputError(f"reward file {path} cannot be read: {error.strerror}") from error
    name = f"countdown_r1_reward_{content.hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"reward file {path} is not a Python file; its name must end in .py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's own code, which may raise anything
        del sys.modules[name]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"reward file {path} cannot be imported: {reason}") from error
    return module


def _checked(reward: Callable[..., Any], name: str, function: str) -> RewardFunction:
    """``reward`` under the name ``function``, its scores as plain floats; async when it is."""

    def check(scores: Iterable[Any], completions: list[Any]) -> Any:
        return _scores(scores, len(completions), name)

    def score(completions: list[Any], **columns: object) -> Any:
        return check(reward(completions=completions, **columns), completions)

    async def score_later(completions: list[Any], **columns: object) -> Any:
        scores: Any = reward(completions=completions, **columns)
        return check(await scores, completions)

    later = inspect.iscoroutinefunction(reward) or inspect.iscoroutinefunction(type(reward).__call__)
    wrapped: Any = score_later if later else score
    wrapped.__name__ = function  # the name TRL logs the reward under
    wrapped.__doc__ = reward.__doc__
    return wrapped


def _scores(scores: Iterable[Any], wanted: int, name: str) -> list[float | None]:
    """One finite float or None per completion."""
    try:
        plain = [None if score is None else float(score) for score in scores]
    except (TypeError, ValueError) as error:
        raise TrainingError(f"reward '{name}' must return a list of numbers, one per completion: {error}") from error
    if len(plain) != wanted:
        raise TrainingError(f"reward '{name}' returned {len(plain):,} scores for {wanted:,} completions")
    for row, score in enumerate(plain):
        if score is not None and not math.isfinite(score):
            raise TrainingError(f"reward '{name}' scored completion {row} with {score}; return a finite number or None")
    return plain


def recorded(reward: RewardFunction, folder: Path, timeline: Timeline | None = None) -> RewardFunction:
    """``reward``, which also appends one in ten completions to a text file, and those that earned something to another.

    The files are the ones the Mini-R1 tutorial writes, so that readers of it find their way; the first completion
    of its kind always stands there. ``reward`` may be async and may score None, as TRL allows. Every completion's
    numbers, target and verdict go to the trainer's own log (``completions/*.parquet``), and ``timeline`` is told when
    scoring begins and ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples, successes = folder / SAMPLES, folder / SUCCESSES
    rng = random.Random(0)

    def begin(completions: list[Text], prompts: list[Text], columns: dict[str, Any]) -> None:
        if timeline is not None:
            timeline.rewarding()
        _log_verdicts(completions, **columns)
        _log_languages(completions, prompts, **columns)

    def write(prompts: list[Text], completions: list[Text], scores: list[float]) -> list[float]:
        if timeline is not None:
            timeline.rewarded()
        for prompt, completion, score in zip(prompts, completions, scores, strict=False):  # TRL checks the length
            drawn = rng.random() < SAMPLE_CHANCE
            if drawn or not samples.exists():
                _append(samples, prompt, completion, score)
            if score and (drawn or not successes.exists()):
                _append(successes, prompt, completion, score)
        return scores

    @functools.wraps(reward)
    def record(completions: list[Text], prompts: list[Text], **columns: Any) -> list[float]:
        begin(completions, prompts, columns)
        return write(prompts, completions, reward(completions=completions, prompts=prompts, **columns))

    @functools.wraps(reward)
    async def record_later(completions: list[Text], prompts: list[Text], **columns: Any) -> list[float]:
        begin(completions, prompts, columns)
        scores: Any = reward(completions=completions, prompts=prompts, **columns)
        return write(prompts, completions, await scores)

    return record_later if inspect.iscoroutinefunction(reward) else record  # pyright: ignore[reportReturnType]


def timed(reward: RewardFunction, timeline: Timeline) -> RewardFunction:
    """``reward``, which also tells ``timeline`` that scoring went on until it was done."""

    @functools.wraps(reward)
    def score(*args: Any, **columns: Any) -> list[float]:
        scores = reward(*args, **columns)
        timeline.rewarded()
        return scores

    @functools.wraps(reward)
    async def score_later(*args: Any, **columns: Any) -> list[float]:
        scores: Any = reward(*args, **columns)
        scores = await scores
        timeline.rewarded()
        return scores

    return score_later if inspect.iscoroutinefunction(reward) else score  # pyright: ignore[reportReturnType]


def _log_verdicts(
    completions: list[Text],
    nums: Sequence[Any] | None = None,
    target: Sequence[Any] | None = None,
    log_extra: Callable[[str, list[Any]], object] | None = None,
    log_metric: Callable[[str, float], object] | None = None,
    **_: object,
) -> None:
    """Numbers, target and verdict as columns of the trainer's table of completions; what rewards may teach unseen.

    The share of wrong ones among the answers that were given is what a format reward can raise: a claim that is false
    earns it, a search that is cut off does not. The share of false sums in the thoughts can rise under any reward
    that looks at the answer alone.
    """
    if log_extra is None or nums is None or target is None:
        return
    texts, puzzles = read_texts(completions), read_puzzles(completions, nums, target)
    verdicts = [judge(puzzle, text).status for puzzle, text in zip(puzzles, texts, strict=True)]
    log_extra("nums", [list(puzzle.nums) for puzzle in puzzles])
    log_extra("target", [puzzle.target for puzzle in puzzles])
    log_extra("verdict", [verdict.value for verdict in verdicts])
    answered = [verdict for verdict in verdicts if verdict not in (Status.UNFINISHED, Status.NO_ANSWER)]
    if log_metric is not None and answered:
        log_metric(WRONG_ANSWERS, sum(verdict is not Status.SOLVED for verdict in answered) / len(answered))
    if log_metric is not None and (ratio := _false_ratio(texts)) is not None:
        log_metric(FALSE_CLAIMS, ratio)


def _log_languages(
    completions: Sequence[Text],
    prompts: Sequence[Text],
    log_extra: Callable[[str, list[Any]], object] | None = None,
    log_metric: Callable[[str, float], object] | None = None,
    **_: object,
) -> None:
    """Whether each completion mixes its prompt's language with others, and the share that do: no answer shows it."""
    pairs = zip(read_texts(completions), read_languages(completions, prompts), strict=True)
    mixes = [mixed(text, language) for text, language in pairs]
    if log_extra is not None:
        log_extra("mixed", mixes)
    if log_metric is not None and mixes:
        log_metric(MIXED, sum(mixes) / len(mixes))


def _false_ratio(completions: Sequence[str]) -> float | None:
    """Of the arithmetic claims in ``CLAIMS_READ`` completions, spread over the batch; None when they make none."""
    every = max(1, len(completions) // CLAIMS_READ)
    found = [claim.true for text in completions[::every] for claim in claims(text[:READ_CHARS])]
    return 1 - sum(found) / len(found) if found else None


def _append(path: Path, prompt: Text, completion: Text, score: float | None) -> None:
    paid = "none" if score is None else f"{score:g}"
    with path.open("a", encoding="utf-8", errors="replace") as file:
        file.write(f"\n\n==============\n[reward {paid}]\n{shown(prompt)}{said(completion)}\n")
