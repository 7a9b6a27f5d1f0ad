"""Completions to look at: evaluation records, the completions that training saved, and other people's sample files.

Whatever is read becomes records with ``test_id``, ``generation``, ``nums``, ``target``, ``checkpoint`` (a label) and
``puzzle_from``: ``record``, ``prompt``, ``thought`` or ``answer``, or None where the puzzle could not be recovered.
What could not be read is counted, never passed over in silence.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..game.answer import ANSWER, END_THINK, THINK
from ..game.puzzle import Puzzle
from .recover import recover, recover_from_answer

Record = dict[str, Any]
RECORDS = ("records.jsonl", "greedy.jsonl")
NAMES = (*RECORDS, "completions*.parquet", "completion_samples.txt")  # in a folder the first that is there is read
_SEPARATOR = re.compile(r"(?:^|\n)={5,}[ \t]*(?=\r?\n|$)")
_REWARD = re.compile(r"\s*\[reward [^\]\n]{0,20}\]\n")
# The tag that the prompt ends in; one that the prompt speaks of has its closing tag right behind it.
_THOUGHT = re.compile(rf"{THINK}(?!\s{{0,3}}(?:and|or|to|和|与|、|,|，|\.\.\.|…)?[\s.…]{{0,6}}{END_THINK})")
_SUCCESSES = "success"  # in the name of a file that holds right answers alone
_TURN = "<|im_start|>assistant"


@dataclass
class Samples:
    """``records``, and ``notes``: how often something had to be passed over or made up for, by what it was."""

    records: list[Record] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


def read_records(path: Path) -> list[Record]:
    """The records of ``read_samples``."""
    return read_samples(path).records


def read_samples(path: Path) -> Samples:
    """Everything in a file (.jsonl, .json, .parquet or .txt), or in the folder of an evaluation or a training run.

    Raises ``InputError`` when there is nothing of the kind, or when a file that holds something has no completion.
    """
    samples = Samples()
    for file in _files(path):
        _read_file(file, samples)
    unknown = sum(record["puzzle_from"] is None for record in samples.records)
    samples.notes += Counter({"completions whose puzzle could not be recovered": unknown})
    return samples


def _files(path: Path) -> list[Path]:
    """What to read of a folder: the best of what lies in it or up to two folders below, in the order of steps."""
    if not path.is_dir():
        return [path]
    for name in NAMES:
        for below in ("", "*/", "*/*/"):
            found = [file for file in path.glob(below + name) if file.is_file()]
            if found:
                return sorted(_of_one_run(path, found), key=lambda file: (place_of(file.parent.name), str(file)))
    raise InputError(f"{path} holds none of {', '.join(NAMES)}; give an evaluation folder, a training folder or a file")


def _of_one_run(path: Path, found: list[Path]) -> list[Path]:
    """The files, which lie in one folder or in folders side by side. Raises ``InputError`` when they are of several."""
    places = sorted({file.parent for file in found})
    runs = sorted({place.parent for place in places})
    if len(runs) > 1 or (len(places) > 1 and found[0].name not in RECORDS):
        several = runs if len(runs) > 1 else places
        names = ", ".join(str(place.relative_to(path)) for place in several[:3])
        raise InputError(f"{path} holds {len(several)} of them ({names}); name one")
    return found


def step_of(label: str) -> int | None:
    """The training step that a label names: 30 for ``checkpoint-30``, 0 for ``base``; None when it names none."""
    number = re.search(r"(?:^|step|checkpoint)[^0-9A-Za-z]{0,2}([0-9]{1,12})$", label)
    return int(number[1]) if number else 0 if label == "base" else None


def place_of(label: str) -> tuple[int, str]:
    """What labels are sorted by: the step; before all steps what names none, but ``final`` at the end."""
    step = step_of(label)
    return (step if step is not None else 10**12 if label == "final" else -1), label


def _read_file(path: Path, samples: Samples) -> None:
    before = len(samples.records)
    try:
        if path.suffix == ".parquet":
            samples.records += _parquet(path)
        elif path.suffix == ".txt":
            samples.records += _text(_decoded(path.read_bytes(), samples), path)
        else:
            samples.records += _lines(path, samples)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is neither evaluation records nor completion samples: {reason}") from error
    if len(samples.records) == before:
        samples.notes["empty files"] += 1


def _decoded(data: bytes, samples: Samples) -> str:
    """The text of a file; bytes that are no UTF-8 are replaced and counted."""
    text = data.decode("utf-8-sig", errors="replace")
    replaced = text.count("\ufffd") - data.count("\ufffd".encode())
    samples.notes += Counter({"characters that are not UTF-8 and were replaced": max(replaced, 0)})
    return text


def _lines(path: Path, samples: Samples) -> list[Record]:
    """A record for each line that holds one; a file without any is not of this kind. A JSON list counts as lines."""
    records: list[Record] = []
    damaged = 0
    data = path.read_bytes()
    for value in _values(data, path, samples):
        if not isinstance(value, dict) or not isinstance(value.get("generation"), str):
            damaged += 1
            continue
        records.append(_record(value, len(records), path))
    if damaged and not records:
        raise ValueError("no line is an object with 'generation'")
    samples.notes += Counter({"records that are cut short or hold no generation": damaged})
    return records


def _values(data: bytes, path: Path, samples: Samples) -> Iterator[Any]:
    text = _decoded(data, samples)
    whole = _json(text) if path.suffix == ".json" else None
    if isinstance(whole, list):
        yield from whole
        return
    for line in text.split("\n"):
        if line.strip():
            yield _json(line)


def _json(text: str) -> Any:
    """The value, None when there is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _record(value: Mapping[str, Any], number: int, path: Path) -> Record:
    test_id = value.get("test_id")
    known = {
        "generation": _encodable(value["generation"]),
        "test_id": test_id if isinstance(test_id, int) else number,
        "checkpoint": _encodable(str(value.get("checkpoint") or path.parent.name or path.stem)[:80]),
    }
    puzzle = stated_puzzle(value)
    found = (puzzle, "record") if puzzle else _found(str(value.get("prompt") or ""), value["generation"], path)
    return dict(value) | known | _of(*found)


def _encodable(text: str) -> str:
    """JSON may hold halves of a surrogate pair, which no file can."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def stated_puzzle(record: Mapping[str, Any]) -> Puzzle | None:
    """The puzzle of a record's own ``nums`` and ``target``, as they come; None when they are missing or make none."""
    nums = record.get("nums")
    try:
        return Puzzle(tuple(map(_whole, () if nums is None else nums)), _whole(record.get("target")))
    except (InputError, TypeError, ValueError, OverflowError):
        return None


def _whole(value: Any) -> int:
    """A whole number that may be written as a text or a float. Raises ``ValueError`` or ``TypeError``."""
    number = int(value)
    if isinstance(value, float) and value != number:
        raise ValueError(value)
    return number


def _of(puzzle: Puzzle | None, source: str | None) -> Record:
    if puzzle is None:
        return {"nums": None, "target": None, "puzzle_from": None}
    return {"nums": list(puzzle.nums), "target": puzzle.target, "puzzle_from": source}


def _found(prompt: str, completion: str, path: Path) -> tuple[Puzzle | None, str | None]:
    """The puzzle out of the prompt, the answer where only right ones are kept, or the beginning of the thought."""
    sources = [("prompt", recover(prompt))]
    if _SUCCESSES in path.name:
        answers = re.findall(rf"{ANSWER}([^<]{{1,1000}})</answer>", completion)
        sources.append(("answer", recover_from_answer(answers[-1]) if answers else None))
    sources.append(("thought", recover(completion)))
    return next(((puzzle, source) for source, puzzle in sources if puzzle), (None, None))


def _parquet(path: Path) -> list[Record]:
    """The completions that TRL saves at each step: columns ``step``, ``prompt`` and ``completion``."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    names = [name for name in ("step", "prompt", "completion", "nums", "target") if name in file.schema_arrow.names]
    if "completion" not in names:
        raise ValueError("it has no column 'completion'")
    rows = file.read(columns=names).to_pylist()
    return [_saved(row, number, path) for number, row in enumerate(rows)]


def _saved(row: Mapping[str, Any], number: int, path: Path) -> Record:
    step = row.get("step")
    label = f"step {step}" if isinstance(step, int) else path.stem
    value = {"generation": _said(row["completion"]), "prompt": _said(row.get("prompt")), "checkpoint": label}
    return _record(value | {name: row[name] for name in ("nums", "target") if name in row}, number, path)


def _said(content: object) -> str:
    """A text, or the turns of a chat."""
    if isinstance(content, list):
        return "\n".join(str(turn.get("content") or "") for turn in content if isinstance(turn, dict))
    return content if isinstance(content, str) else ""


def _text(text: str, path: Path) -> list[Record]:
    """Blocks behind lines of ``=``; what stands before the first is one only when it is all there is."""
    blocks: Iterable[str] = _SEPARATOR.split(text)
    blocks = [block for block in blocks if block.strip()]
    if blocks and not _SEPARATOR.search(text) and THINK not in text and ANSWER not in text:
        raise ValueError("no sample begins behind a line of = and no text has the tags of one")
    return [_block(block, number, path) for number, block in enumerate(blocks)]


def _block(block: str, number: int, path: Path) -> Record:
    body = _REWARD.sub("", block, count=1).strip("\n")
    opening = _THOUGHT.search(body, max(body.find(_TURN), 0))
    begin = opening.end() if opening else 0
    prompt, completion = body[: opening.start() if opening else 0], body[begin:]
    return _record({"generation": completion, "prompt": prompt, "checkpoint": path.stem}, number, path)
