"""Whether a dataset is the one that a recipe describes, and what the rows are like that a run trains on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import manifest
from ..build_dataset.dataset import load
from ..build_dataset.location import download
from ..errors import InputError
from ..names import HUB_ID
from .reach import on_hub
from .recipe import Dataset, Recipe


def about(rows: Iterable[Mapping[str, Any]], languages: Sequence[str]) -> dict[str, Any]:
    """How many puzzles have how many numbers, both ranges, and the languages, as in the manifest of a dataset."""
    found = list(rows)
    numbers = [number for row in found for number in row["nums"]]
    targets = [row["target"] for row in found]
    return {
        "numbers": {str(count): n for count, n in sorted(Counter(len(row["nums"]) for row in found).items())},
        "number_range": [min(numbers), max(numbers)],
        "target_range": [min(targets), max(targets)],
        "languages": list(languages),
    }


def disagreement(recipe: Recipe, dataset: str) -> str | None:
    """One line that says in what ``dataset`` is not what the recipe's 'dataset' section describes; None when it is.

    A recipe that describes no dataset takes any. One of the Hub is downloaded as far as its manifest.
    """
    wanted = recipe.dataset
    if recipe.grpo is None or wanted == Dataset(languages=wanted.languages, rows=wanted.rows, seed=wanted.seed):
        return None
    found = _record(dataset)
    if found is not None:
        settings, facts = found.settings, found.results
    else:
        settings, facts = {}, about(load(dataset, wanted.languages[0], "train").to_list(), wanted.languages)
    differing = [*_source(wanted, settings), *_drawn(wanted, settings, facts)]
    return f"{dataset} is not the dataset of recipe {recipe.name}: {'; '.join(differing)}" if differing else None


def _record(dataset: str) -> manifest.Manifest | None:
    """The manifest of a built dataset, None for any other table."""
    match, folder = HUB_ID.fullmatch(dataset), Path(dataset)
    if match is not None and not folder.exists():
        folder = download(match[1], match[2], [manifest.FILE_NAME])
    found = manifest.read(folder) if (folder / manifest.FILE_NAME).is_file() else None
    return found if found is not None and found.stage == "dataset" else None


def _source(wanted: Dataset, settings: Mapping[str, Any]) -> list[str]:
    """Where the puzzles come from; a file is known by its name alone."""
    if not settings:
        return []
    asked = (
        None if wanted.source is None else Path(wanted.source).name if Path(wanted.source).is_file() else wanted.source
    )
    made = settings.get("source")
    return [] if made == asked else [f"its puzzles are {_origin(made)}, not {_origin(asked)}"]


def _origin(source: str | None) -> str:
    return f"from {source}" if source else "generated"


def _drawn(wanted: Dataset, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """What decides generated puzzles; imported ones are as their source has them."""
    if wanted.source is not None:
        return []
    found: list[str] = []
    counts = sorted(int(count) for count in facts["numbers"])
    if counts != sorted(set(wanted.numbers)):
        found.append(f"numbers per puzzle are {_listed(counts)}, not {_listed(sorted(set(wanted.numbers)))}")
    for name, title in (("number_range", "numbers"), ("target_range", "targets")):
        asked, (low, high) = list(getattr(wanted, name)), facts[name]
        stated = settings.get(name, asked) if settings.get("source") is None else asked
        if list(stated) != asked or low < asked[0] or high > asked[1]:
            low, high = stated if list(stated) != asked else (low, high)
            found.append(f"{title} are {low} to {high}, not {asked[0]} to {asked[1]}")
    shares = None if wanted.wish.levels is None else {str(level): share for level, share in wanted.wish.levels.items()}
    if settings and settings.get("levels") != shares:
        found.append(f"shares of levels are {settings.get('levels') or 'as drawn'}, not {shares or 'as drawn'}")
    return found


def _listed(counts: Sequence[int]) -> str:
    return " and ".join(map(str, counts))


def check_data(recipe: Recipe, dataset: str, named: bool, echo: Callable[[str], object]) -> None:
    """Compare the dataset with the recipe's: one that the user ``named`` is trained on all the same, after a line.

    Raises ``InputError`` for one that was only found where the recipe's should be. Paths of other machines are not
    looked at.
    """
    if not on_hub(dataset) and not Path(dataset).exists():
        return
    line = disagreement(recipe, dataset)
    if line and named:
        echo(f"note: {line}")
    elif line:
        raise InputError(
            f"{line}; build that with countdown-r1 build-dataset --recipe {recipe.name} --overwrite, or name this one "
            "with --dataset to train on it all the same"
        )
