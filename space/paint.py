"""A thought as HTML: attempts one below the other, every claim checked, turns and Ahas marked. All text is escaped.

What counts as an attempt, a turn or an Aha is decided by the rules of ``countdown-r1 aha``, so the page and the
measurements mean the same, whatever words a model uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from ..game.claims import Claim
from ..game.puzzle import Puzzle, show
from ..train.aha import analyse
from ..train.thought import Line, Thought, read_thought
from ..train.truth import false_claims
from ..train.turns import Turn
from .words import Words, translated

MAX_SHOWN_CHARS = 20_000


class Insert(NamedTuple):
    """Markup that belongs at ``at`` of the text."""

    at: int
    html: str


def growing_thought(completion: str, puzzle: Puzzle, words: Words) -> str:
    """The thought so far; what may still change, such as a number at its end, is not judged yet."""
    thought = read_thought(completion[:MAX_SHOWN_CHARS], puzzle.nums)
    return _attempts(thought, puzzle, words, {}, growing=True)


def finished_thought(completion: str, puzzle: Puzzle, words: Words) -> str:
    """The whole thought, its reflective turns judged by what came of them."""
    record = {"generation": completion[:MAX_SHOWN_CHARS], "nums": puzzle.nums, "target": puzzle.target}
    analysis = analyse(record)
    turns = {turn.line.start: turn for turn in analysis.turns}
    return _attempts(analysis.thought, puzzle, words, turns, growing=False)


def _attempts(thought: Thought, puzzle: Puzzle, words: Words, turns: Mapping[int, Turn], growing: bool) -> str:
    text = thought.text.rstrip() if growing else thought.text
    false = {claim.end: claim.said for claim in false_claims(text, thought.steps.claims)}
    items: list[str] = []
    defined: set[str] = set()
    for number, line in enumerate(thought.lines):
        before = thought.lines[number - 1] if number else None
        inserts = [*_claims(line, text, false, words, growing), *_cue(line, words)]
        body = _marked(text, line.start, min(line.end, len(text)), inserts)
        if growing and number == len(thought.lines) - 1:
            body += '<span class="caret"></span>'
        kind, name, definition = _turning(line, before, turns.get(line.start), puzzle, words)
        head = _badge(kind, name, definition, definition in defined) if kind else ""
        defined.add(definition)
        items.append(f'<li class="attempt {kind}">{head}<div class="said">{body}</div></li>')
    return f'<ol class="thought" aria-label="{escape(words["thinking"])}">{"".join(items)}</ol>'


def _claims(line: Line, text: str, false: Mapping[int, str], words: Words, growing: bool) -> Iterator[Insert]:
    """A mark behind each claim that cannot change any more."""
    for claim in line.claims:
        if growing and not text[claim.right.end :].strip(" .,0123456789"):
            continue
        yield Insert(claim.right.end, _mark(claim, false.get(claim.right.end), words))


def _mark(claim: Claim, said: str | None, words: Words) -> str:
    if said is None:
        return f'<span class="yes" role="img" aria-label="{escape(words["claim_true"])}">✓</span>'
    value = claim.right.value if claim.left.decimals is not None else claim.left.value
    truth = show(value) if value is not None else words["by_zero"]
    title = escape(words["claim_false"].format(value=truth))
    return f'<span class="no" role="img" aria-label="{title}" title="{title}">✗ {escape(truth)}</span>'


def _cue(line: Line, words: Words) -> Iterator[Insert]:
    if line.cue:
        yield Insert(line.cue.start, f'<mark title="{escape(words["cue_is"])}">')
        yield Insert(line.cue.end, "</mark>")


def _turning(line: Line, before: Line | None, turn: Turn | None, puzzle: Puzzle, words: Words) -> tuple[str, str, str]:
    """What an attempt is, as a class, a name and its definition; empty for one that is nothing special."""
    if turn and line.cue:
        if turn.solved:
            return "aha", words["aha"], words["aha_is"]
        why = translated(words, "why", turn.why)
        return "claimed", words["claimed"], words["claimed_is"].format(why=why)
    failed = before and before.worked and all(one.value != puzzle.target for one in before.candidates)
    if failed and (line.phrased or line.worked):
        return "turn", words["backtrack"], words["backtrack_is"]
    return "", "", ""


def _badge(kind: str, name: str, definition: str, known: bool) -> str:
    """The name of what an attempt is; what has been defined above in this thought is defined again by its title alone,
    since a long thought turns back dozens of times."""
    said = "" if known else f" <span>{escape(definition)}</span>"
    return f'<p class="badge {kind}" title="{escape(definition)}"><b>{escape(name)}</b>{said}</p>'


def _marked(text: str, start: int, end: int, inserts: Sequence[Insert]) -> str:
    """``text[start:end]``, escaped, with the markup in its places, and without blank lines around it."""
    parts: list[str] = []
    position = start
    for insert in sorted(inserts, key=lambda insert: insert.at):
        at = min(max(insert.at, position), end)
        parts += [escape(text[position:at]), insert.html]
        position = at
    return "".join([*parts, escape(text[position:end])]).strip()
