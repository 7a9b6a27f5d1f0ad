"""Checkpoints that are complete or absent, and where an interrupted run goes on: the last complete one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from ..errors import StageError
from ..manifest import FILE_NAME, write_whole

RECIPE_FILE = "recipe.yaml"
ELSEWHERE = ("name", "slurm", "kubernetes", "hf_jobs", "cost", "publish")  # where a run is, not what it learns
FASTER_ELSEWHERE = ("vllm_server_", "vllm_gpu_memory_utilization", "vllm_enable_sleep_mode")  # prefixes of grpo's keys
FULL_CHECKPOINTS = 2
WHOLE = ".whole"  # behind the name of a checkpoint that a reduced copy has replaced, until that is certain
SEAL = "sealed.json"  # names and sizes of a checkpoint's files, written when all of them are there


def seal(checkpoint: Path) -> None:
    """Write the list of a checkpoint's files, last and at once."""
    write_whole(checkpoint / SEAL, json.dumps(_sizes(checkpoint)))


def thin(folder: Path, kept: int = FULL_CHECKPOINTS) -> None:
    """Reduce all but the last ``kept`` checkpoints to their weights: the rest is for going on, and is much larger."""
    whole = _sealed(folder)
    for checkpoint in whole[:-kept]:
        (checkpoint / SEAL).unlink()
        for pattern in ("optimizer*", "scheduler.pt", "rng_state*", "global_step*", "pytorch_model_fsdp*", "*.distcp"):
            for path in checkpoint.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def last_checkpoint(folder: Path) -> str | None:
    """The path of the checkpoint to go on from, None for a fresh start.

    A checkpoint without a seal was cut short by the interruption; the one before it serves. Raises ``StageError``
    when files of the chosen one are not what its seal says.
    """
    if not (whole := _sealed(folder)):
        return None
    last = whole[-1]
    if reason := _damage(last):
        raise StageError(f"{last} is damaged ({reason}); remove it to go on from the checkpoint before it")
    return str(last)


def drop_unfinished(folder: Path) -> None:
    """Undo what an interruption cut short: whole checkpoints come back, one that was being saved goes.

    Each checkpoint is sealed before the next, so only those after the last sealed one can be incomplete.
    """
    for garbage in folder.glob("checkpoint-*.writing"):
        shutil.rmtree(garbage)
    for whole in folder.glob(f"checkpoint-*{WHOLE}"):
        shutil.rmtree(whole.with_suffix(""), ignore_errors=True)
        whole.rename(whole.with_suffix(""))
    last = step_of(sealed[-1]) if (sealed := _sealed(folder)) else 0
    for path in folder.glob("checkpoint-*"):
        if step_of(path) > last:
            shutil.rmtree(path)


def put_reduced(checkpoint: Path, reduced: Path, keep: bool) -> None:
    """``reduced`` takes the place of ``checkpoint``; with ``keep`` that stays beside it for ``drop_unfinished``."""
    checkpoint.rename(whole := checkpoint.with_suffix(WHOLE))
    reduced.rename(checkpoint)
    if not keep:
        drop_whole(whole)


def drop_whole(whole: Path) -> None:
    """Remove a checkpoint that was replaced; what an interruption leaves of it does not come back."""
    whole.rename(garbage := whole.with_suffix(".writing"))
    shutil.rmtree(garbage)


def has_cold_start(folder: Path) -> bool:
    """Whether the recipe of the run in ``folder`` makes its base itself."""
    path = folder / RECIPE_FILE
    return path.is_file() and "\ncold_start:" in path.read_text(encoding="utf-8")


def as_base(weights: str) -> str:
    """The advice to train on from a run's weights; none where a recipe's ``base`` cannot be that: for adapters, and
    beside a cold start."""
    place = Path(weights)
    usable = (place / "config.json").is_file() and not has_cold_start(place) and not has_cold_start(place.parent)
    return f" (from there with --set base={weights})" if usable else ""


def is_finished(folder: Path) -> bool:
    """Whether only the folder's own name is missing: an interruption came after its last file, the manifest."""
    return (folder / FILE_NAME).is_file()


def refuse_other_run(folder: Path, text: str, overwrite: bool) -> list[str]:
    """Settings in which the run in ``folder`` is another than that of the recipe's ``text``; none where it goes on.

    Raises ``StageError`` rather than lose weights of other settings without ``overwrite``.
    """
    begun = folder / RECIPE_FILE
    changed = differences(begun.read_text(encoding="utf-8"), text) if begun.exists() else [RECIPE_FILE]
    if changed and not overwrite and (weights := _worth_keeping(folder)):
        raise StageError(
            f"{weights} belongs to a run with another {', '.join(changed[:5])}; train to another --out"
            f"{as_base(weights)}, or pass --overwrite to lose it"
        )
    return changed


def _worth_keeping(folder: Path) -> str | None:
    """Weights in ``folder`` that took training: the run's own, its last checkpoint, or what its cold start left."""
    if is_finished(folder):
        return str(folder)
    base = folder / "base"
    made = base.is_dir() and has_cold_start(folder)
    return last_checkpoint(folder) or (str(base) if made else None)


def differences(left: str, right: str) -> list[str]:
    """Settings (``section.key``) that make two recipes' texts different trainings, wherever they run."""
    return sorted(dict(_deciding(left).items() ^ _deciding(right).items()))


def _deciding(text: str) -> dict[str, str]:
    """Each deciding setting with its value as JSON; none for a text that is no recipe."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    if not isinstance(values, dict):
        return {}
    kept = {key: value for key, value in values.items() if key not in ELSEWHERE}
    if not (values.get("evaluate") or {}).get("patience"):
        kept.pop("evaluate", None)
    kept["launch"] = {key: (values.get("launch") or {}).get(key) for key in ("nodes", "gpus_per_node", "sharding")}
    grpo = values.get("grpo") or {}
    kept["grpo"] = {key: value for key, value in grpo.items() if not key.startswith(FASTER_ELSEWHERE)}
    flat = {}
    for section, value in kept.items():
        named = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{section}.{key}".rstrip("."): json.dumps(entry, default=str) for key, entry in named}
    return flat


def _damage(checkpoint: Path) -> str | None:
    try:
        listed = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{SEAL} cannot be read"
    here = _sizes(checkpoint)
    wrong = [name for name, size in listed.items() if here.get(name) != size]
    return f"{wrong[0]} has {here.get(wrong[0], 0):,} of {listed[wrong[0]]:,} bytes" if wrong else None


def _sizes(checkpoint: Path) -> dict[str, int]:
    files = [path for path in checkpoint.rglob("*") if path.is_file() and not path.name.startswith(SEAL)]
    return {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in sorted(files)}


def _sealed(folder: Path) -> list[Path]:
    """Complete checkpoints that a run can go on from, in order."""
    found = [path for path in folder.glob("checkpoint-*") if step_of(path) and (path / SEAL).is_file()]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """The checkpoint's step, 0 for a name that is not one's."""
    number = path.name.removeprefix("checkpoint-")
    return int(number) if number.isdigit() else 0
