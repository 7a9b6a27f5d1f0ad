"""What another program trained, read for publishing: an output folder of TRL or transformers, full model or adapter.

Only what its files say is taken over: the base model, the log of the trainer, the checkpoints, the owner's card.
Nothing is unpickled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import InputError
from ..manifest import Manifest
from ..weights import PICKLED, loader_of, read_json
from .adopted_cards import adopted_card, shown_change
from .checkpoints import Adopted, Checkpoint, Run, find_checkpoints, hub_id, stage_checkpoint, stage_files, write_json
from .measured import find_measured
from .owner import read_owners_card
from .trial import check_loadable

__all__ = ["adopted_card", "check_adopted", "read_adopted", "shown_change", "stage_adopted"]
_WEIGHTS = ("model*.safetensors*", "adapter_model*.safetensors")
_LICENCE = re.compile(r"(licen[sc]e|notice|copying|use_policy)([-_.][\w-]*)?(\.(txt|md|rst))?", re.IGNORECASE)
_STATE = re.compile(r"(optimizer|scheduler|rng_state|scaler|training_args|trainer_state|global_step|latest|zero_).*")
_SHOWN = 12


def read_adopted(
    folder: Path, base: str | None = None, *, trust_code: bool = False, evaluation: Path | None = None
) -> Run:
    """The output in ``folder`` as a run: its final weights, or the best or last checkpoint where there are none.

    ``base`` names the base model where the files name a path of some computer; ``trust_code`` lets modules beside the
    weights be run and published; ``evaluation`` is a folder of `evaluate`. Raises ``InputError`` when there are
    no safetensors weights, or an adapter whose base nobody else could load.
    """
    folder = folder.resolve()
    checkpoints = tuple(one for one in find_checkpoints(folder, Manifest("train", "")) if _has_weights(one.folder))
    final = Checkpoint("final", max((one.step for one in checkpoints), default=0), folder)
    best = final if _has_weights(folder) else _best(folder, checkpoints)
    if best is None:
        raise InputError(_nothing(folder))
    adopted = replace(_adopted(folder, best.folder, base), code=trust_code)
    measured = find_measured(folder, checkpoints, best, adopted.base, evaluation)
    about: dict[str, Any] = {"summary": measured.summary, "adopted": replace(adopted, note=measured.note)}
    return Run(folder, None, Manifest("train", ""), None, checkpoints=checkpoints, best=best, weights=folder, **about)


def _nothing(folder: Path) -> str:
    pickled = [path for pattern in PICKLED for path in [*folder.glob(pattern), *folder.glob(f"checkpoint-*/{pattern}")]]
    named = sorted(path.name for path in pickled if path.name.startswith(("pytorch_model", "adapter_model", "model")))
    fix = f"; {named[0]} is pickled: load it where you trust it and save_pretrained() it again" if named else ""
    return f"{folder} holds no *.safetensors weights, nor does any checkpoint-N in it: nothing to adopt{fix}"


def _has_weights(folder: Path) -> bool:
    """Whether there are weights and a configuration, be they whole or not."""
    configs = (folder / name for name in ("config.json", "adapter_config.json"))
    named = any(path.is_file() or path.is_symlink() for path in configs)
    return named and any(path for pattern in _WEIGHTS for path in folder.glob(pattern))


def _best(folder: Path, checkpoints: tuple[Checkpoint, ...]) -> Checkpoint | None:
    """What the trainer called the best checkpoint, else the last one."""
    if not checkpoints:
        return None
    named = Path(str(read_json(checkpoints[-1].folder / "trainer_state.json").get("best_model_checkpoint"))).name
    return next((one for one in checkpoints if one.label == named), checkpoints[-1])


def _adopted(folder: Path, weights: Path, given: str | None) -> Adopted:
    """What the files say of the weights. The base: as ``given``, as the owner's card has it, as the files call it."""
    model, adapter = read_json(weights / "config.json"), read_json(weights / "adapter_config.json")
    if given and not _is_id(given):
        raise InputError(f"--base {given}: it takes the id of a model on the Hub, NAMESPACE/NAME")
    card = next(filter(None, map(read_owners_card, _readmes(folder, weights))), None)
    named = adapter.get("base_model_name_or_path") if adapter else model.get("_name_or_path")
    stated = card.values.get("base_model") if card else None
    says = [named, *(stated if isinstance(stated, list) else [stated])]
    loading = [named] if adapter else reversed(says)  # of an adapter what its settings say is what is loaded
    ids = [found for name in loading if (found := hub_id(name, folder, folder.parent))]
    base = given or next(iter(ids), None)
    if adapter and base is None:
        why = "which is no Hub id or may be a folder of some computer: pass --base NAMESPACE/NAME"
        raise InputError(f"the adapter in {weights} names its base '{named}', {why}")
    local = (name for name in says if isinstance(name, str) and name and hub_id(name, folder, folder.parent) is None)
    relation = ("adapter" if adapter else "finetune") if base else None
    licence = next((path.name for path in sorted(folder.iterdir()) if _is_licence(path)), None)
    return Adopted(
        base,
        relation,
        "peft" if adapter else "transformers",
        _log(folder, weights),
        local_bases=tuple(local),
        loader=_peft_loader(adapter) if adapter else loader_of(model),
        licence=licence or _text(model.get("license")),
    )


def _peft_loader(settings: dict[str, Any]) -> str:
    return "AutoPeftModelForCausalLM" if settings.get("task_type") in ("CAUSAL_LM", None) else "AutoPeftModel"


def _is_id(name: str) -> bool:
    """Whether a name that the user calls a Hub id can be one, even where a folder is called the same."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name, re.ASCII) is not None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[\w .+-]{1,60}", value) else None


def _is_licence(path: Path) -> bool:
    return path.is_file() and _LICENCE.fullmatch(path.name) is not None


def _readmes(folder: Path, weights: Path) -> list[Path]:
    return [folder / "README.md", weights / "README.md"]


def _log(folder: Path, weights: Path) -> tuple[dict[str, Any], ...]:
    """The numbers that the trainer logged, each entry as it is."""
    states = [weights / "trainer_state.json", folder / "trainer_state.json"]
    steps = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=lambda path: path.stat().st_mtime)
    path = next((path for path in [*states, *reversed(steps)] if path.is_file()), states[0])
    entries = read_json(path).get("log_history")
    numbers = [
        {str(key): value for key, value in entry.items() if isinstance(value, int | float)}
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]
    return tuple(filter(None, numbers))


def stage_adopted(run: Run, checkpoint: Checkpoint, out: Path) -> None:
    """A checkpoint's files with the licence of the folder, an adapter's with the base that it was given."""
    assert run.adopted is not None
    stage_checkpoint(checkpoint, out)
    extra = [path.name for path in run.folder.iterdir() if _is_licence(path)]
    stage_files(run.folder, extra, out)
    if run.adopted.code:
        modules = [path.name for path in checkpoint.folder.glob("*.py") if not _STATE.fullmatch(path.name)]
        stage_files(checkpoint.folder, modules, out)
    config = out / "adapter_config.json"
    settings = read_json(config)
    if settings and settings.get("base_model_name_or_path") != run.adopted.base:
        config.unlink()  # it may be a link to the owner's own file
        write_json(config, settings | {"base_model_name_or_path": run.adopted.base, "revision": None})


def check_adopted(run: Run, echo: Callable[[str], None]) -> None:
    """Load everything that would leave as a user would, and name what would not."""
    assert run.adopted is not None
    for note in filter(None, [run.adopted.note]):
        echo(note)
    for checkpoint in dict.fromkeys([run.best, *run.checkpoints]):
        with TemporaryDirectory(prefix="countdown-r1-adopt-") as name:
            out = Path(name)
            stage_adopted(run, checkpoint, out)
            if note := check_loadable(out, str(checkpoint.folder), trust_code=run.adopted.code):
                echo(note)
            taken = {path.relative_to(out).parts[0] for path in out.rglob("*")} | {"README.md"}
        left = [f"{path.name} ({why})" for path, why in _left_out(checkpoint.folder, taken)]
        more = [f"and {len(left) - _SHOWN} more"] if len(left) > _SHOWN else []
        if left:
            echo(f"left out of {checkpoint.folder.name}: {', '.join(left[:_SHOWN] + more)}")


def _left_out(folder: Path, taken: set[str]) -> Iterator[tuple[Path, str]]:
    """What lies beside the weights and is not published, each with the reason."""
    for path in sorted(folder.iterdir()):
        own = path.name in ("runs", "published", "evaluation") or path.name.startswith(".publish")
        if path.name in taken or own or (path.is_dir() and _has_weights(path) and path.name.startswith("checkpoint-")):
            continue
        if _STATE.fullmatch(path.name):
            yield path, "training state"
        elif path.suffix == ".py":
            yield path, "code; pass --trust-remote-code to publish it"
        elif path.match("*.safetensors*"):
            yield path, "weights that from_pretrained does not read"
        elif any(path.match(pattern) for pattern in PICKLED):
            yield path, "pickled"
        else:
            yield path, "a folder" if path.is_dir() else "not read by from_pretrained"
