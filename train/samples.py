"""Completions to look at: evaluation records, the completions that training saved, and other people's sample files.

Whatever is read becomes records with ``test_id``, ``generation``, ``prompt``, ``nums``, ``target``, ``checkpoint`` (a
label) and ``puzzle_from``: ``record``, ``prompt``, ``thought`` or ``answer``, or None where the puzzle could not be
recovered. What could not be read is counted, never passed over in silence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..game.answer import ANSWER, END_THINK, THINK
from ..game.puzzle import Puzzle
from .recover import recover, recover_from_answer, recover_from_thought
from .row_puzzle import stated_puzzle
from .sample_fields import SPEAKS, label_of, prompt_of, texts_of, wanting, whole
from .sample_files import kind_of, rows_of, text_of

Record = dict[str, Any]
RECORDS = ("records.jsonl", "greedy.jsonl")
# In a folder the first that is there is read; a program that trains writes 1.jsonl, 2.jsonl.
NAMES = (*RECORDS, "completions*.parquet", "completion_samples.txt", "[0-9]*.jsonl")
_SEPARATOR = re.compile(r"(?:^|\n)={5,}[ \t]*(?=\r?\n|$)")
_REWARD = re.compile(r"\[reward [^\]\n]{0,20}\]\n")
# The tag that the prompt ends in; one that the prompt speaks of has its closing tag right behind it.
_THOUGHT = re.compile(rf"{THINK}(?!\s{{0,3}}(?:and|or|to|和|与|、|,|，|\.\.\.|…)?[\s.…]{{0,6}}{END_THINK})")
_SUCCESSES = "success"  # in the name of a file that holds right answers alone


MAX_KEYS = 100  # that are remembered of rows without a completion


@dataclass
class Samples:
    """``records``, and ``notes``: how often something had to be passed over or made up for, by what it was."""

    records: list[Record] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


def read_records(path: Path) -> list[Record]:
    """The records of ``read_samples``."""
    return read_samples(path).records


def read_samples(path: Path) -> Samples:
    """Everything in a file (.jsonl, .json, .csv, .parquet or .txt, packed as .gz perhaps), or in the folder of an
    evaluation or a training run.

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
        read = _blocks if kind_of(path) == "txt" else _records
        samples.records += read(path, samples.notes)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:400]
        raise InputError(f"{path} is neither evaluation records nor completion samples: {reason}") from error
    if len(samples.records) == before:
        samples.notes["empty files"] += 1


def _records(path: Path, notes: Counter[str]) -> list[Record]:
    """A record for each completion of each row; a file that has rows and no completion is not of this kind."""
    records: list[Record] = []
    found: Counter[str] = Counter()
    keys: dict[str, None] = {}
    for number, row in enumerate(rows_of(path, notes)):
        texts = texts_of(row) if row is not None else []
        records += [_record(row or {}, text, number, path) for text in texts]
        found["records that are cut short or hold no generation"] += not texts
        found["rows that hold several completions, each of which is read"] += len(texts) > 1
        if not texts and row and len(keys) < MAX_KEYS:
            keys |= dict.fromkeys(map(str, row))
    if found and not records:
        raise ValueError(wanting(keys) if keys else "no line is a JSON object with a completion")
    notes.update(+found)
    return records


def _record(row: Mapping[str, Any], completion: str, number: int, path: Path) -> Record:
    prompt = prompt_of(row)
    if prompt and completion.startswith(prompt):
        completion = completion[len(prompt) :]
    elif not prompt and (spoken := _last(SPEAKS, completion)) and recover(completion[: spoken.start()]):
        prompt, completion = completion[: spoken.start()], completion[spoken.end() :]
    test_id, tokens = whole(row.get("test_id")), whole(row.get("n_tokens"))
    place = path.parent.name if path.name in RECORDS else path.name.partition(".")[0]
    known = {
        "generation": _encodable(completion),
        "prompt": _encodable(prompt),
        "test_id": number if test_id is None else test_id,
        "checkpoint": _encodable((label_of(row) or place or path.stem)[:80]),
    }
    stated = stated_puzzle(row)
    found = (stated, "record") if stated else _found(prompt, completion, path)
    return dict(row) | known | ({} if tokens is None else {"n_tokens": tokens}) | _of(*found)


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007
        pass
    return found


def _encodable(text: str) -> str:
    """JSON may hold halves of a surrogate pair, which no file can."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


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
    sources.append(("thought", recover_from_thought(completion)))
    return next(((puzzle, source) for source, puzzle in sources if puzzle), (None, None))


def _blocks(path: Path, notes: Counter[str]) -> list[Record]:
    """Blocks behind lines of ``=``; what stands before the first is one only when it is all there is."""
    text = text_of(path, notes)
    blocks: Iterable[str] = _SEPARATOR.split(text)
    blocks = [block for block in blocks if block.strip()]
    if blocks and not _SEPARATOR.search(text) and THINK not in text and ANSWER not in text:
        raise ValueError("no sample begins behind a line of = and no text has the tags of one")
    return [_block(block, number, path) for number, block in enumerate(blocks)]


def _block(block: str, number: int, path: Path) -> Record:
    """Prompt and completion of a block: the completion begins where the prompt lets the model speak."""
    body = block.lstrip()
    paid = _REWARD.match(body)
    body = (body[paid.end() :] if paid else block).strip("\n")
    spoken = _last(SPEAKS, body)
    opening = _THOUGHT.search(body, spoken.end() if spoken else 0)
    begin = opening or spoken
    if begin is None:
        return _record({}, body, number, path)
    return _record({"prompt": body[: begin.start()]}, body[begin.end() :], number, path)
