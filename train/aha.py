"""Aha moments, found without wishful thinking.

Both articles look for reflective words in the completions (突然意识到, 突然想到, "wait"), and one warns that
such answers are often wrong. A word alone proves nothing, so an Aha here is a reflective cue inside the
thought of a completion whose final answer is right, where the cue is not the thought's first words and what
follows it contains the winning step: the answer is found after the turn, not before it. Counts are always
reported beside the same count for the base model, because a cold start that wrote such words plants them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..game.answer import THINK, parse

CUES = re.compile(
    r"\bwait\b|\bhold on\b|\baha\b|let me (?:re-?check|reconsider|re-?think)|\bactually,|"
    r"突然(?:意识到|想到|发现)|等等|等一下|重新(?:考虑|检查|思考)",
    re.IGNORECASE,
)
_CLAIM = re.compile(
    r"= ?(-?[0-9]+)(?!\.?[0-9]| ?[-+*/×÷] ?[0-9(])"
)  # a whole result: not 20.5, nor the 74 of = 74 / 66
_FIELDS = ("test_id", "generation", "target", "score")


@dataclass(frozen=True)
class Aha:
    """A reflective turn: the cue, the text around it, and whether the completion was right."""

    test_id: int
    cue: str
    excerpt: str
    solved: bool


def find_ahas(records: Iterable[Mapping[str, Any]]) -> list[Aha]:
    """Every completion with a reflective turn after its first claim; ``solved`` marks the true Ahas.

    ``records`` are evaluation records (``generation``, ``score``, ``target``, ``test_id``).
    """
    found = (_aha(record) for record in records)
    return [aha for aha in found if aha is not None]


def _aha(record: Mapping[str, Any]) -> Aha | None:
    thought = parse(record["generation"]).thought
    first_claim = _CLAIM.search(thought)
    if first_claim is None:
        return None
    cues = list(CUES.finditer(thought, first_claim.end()))
    if not cues:
        return None
    goal = str(record["target"])
    reached = [claim.start() for claim in _CLAIM.finditer(thought) if claim[1] == goal]
    turned = [cue for cue in cues if reached and cue.start() < reached[0]]
    cue = (turned or cues)[-1]
    excerpt = thought[max(0, cue.start() - 80) : cue.end() + 160]
    return Aha(int(record["test_id"]), cue[0], excerpt, bool(turned) and bool(record["score"]))


def summarise(records: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """``n``: completions with a reflective turn; ``solved``: those that turned and then found the answer."""
    ahas = find_ahas(records)
    return {"n": len(ahas), "solved": sum(aha.solved for aha in ahas)}


def read_records(path: Path) -> list[dict[str, Any]]:
    """Records of a ``records.jsonl``, of every model in an evaluation folder, or of a samples text file.

    A samples file carries no puzzle, so only the presence of cues can be read from it, not their truth:
    its records are judged by the reward written above each sample. Raises ``InputError`` for anything else.
    """
    if path.is_dir():
        files = sorted(path.glob("*/records.jsonl"))
        if not files:
            raise InputError(f"{path} holds no LABEL/records.jsonl; give an evaluation folder")
        return [record for file in files for record in read_records(file)]
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".txt":
            return _samples(text)
        return [_record(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is neither evaluation records nor completion samples: {error}") from error


def _record(line: str) -> dict[str, Any]:
    record = json.loads(line)
    if not isinstance(record, dict) or not all(name in record for name in _FIELDS):
        raise ValueError(f"a line is no object with {', '.join(_FIELDS)}")
    return record


def _samples(text: str) -> list[dict[str, Any]]:
    parts = text.split("\n==============\n[reward ")
    if len(parts) == 1:
        raise ValueError("no sample starts with a line of = and its reward")
    return [_sample(number, part) for number, part in enumerate(parts[1:])]


def _sample(number: int, text: str) -> dict[str, Any]:
    head, _, body = text.partition("\n")
    thought = body[body.rfind(THINK) + len(THINK) :].rstrip("\n") if THINK in body else body
    targets = re.findall(r"(?:equals |等于)(-?[0-9]+)", body)
    return {
        "test_id": number,
        "score": int(head == "1]"),
        "generation": thought,
        "target": int(targets[0]) if targets else 0,
        "checkpoint": "samples",
    }


def report(records: Iterable[Mapping[str, Any]], as_json: bool = False) -> str:
    """What was found, model by model, with a few excerpts; or every Aha as JSON lines."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(str(record.get("checkpoint", "records")), []).append(record)
    if as_json:
        found = [asdict(aha) | {"checkpoint": label} for label, group in groups.items() for aha in find_ahas(group)]
        return "\n".join(json.dumps(aha, ensure_ascii=False) for aha in found)
    lines = []
    for label, group in groups.items():
        counts = summarise(group)
        lines.append(
            f"{label}: {counts['n']} of {len(group)} completions turn at a reflective cue, "
            f"{counts['solved']} of them then find the right answer"
        )
        true = [aha for aha in find_ahas(group) if aha.solved][:2]
        lines += [f"  puzzle {aha.test_id}: ...{' / '.join(aha.excerpt.split(chr(10)))}..." for aha in true]
    return "\n".join(lines) or "no records"
