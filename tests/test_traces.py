"""Synthetic thoughts: every claim is exact, every ending is honest, both languages tell the same search."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from random import Random

import pytest

from countdown_r1.build_dataset.generate import Wish, generate
from countdown_r1.build_dataset.puzzles import as_puzzles
from countdown_r1.game.answer import judge, parse
from countdown_r1.game.puzzle import Puzzle, Status
from countdown_r1.game.solver import level
from countdown_r1.game.split import split_of
from countdown_r1.train.packing import draw_puzzles, write_samples
from countdown_r1.train.recipe import ColdStart
from countdown_r1.train.traces import Habits, Trace, search, write_trace

CLAIM = re.compile(r"([\d()][\d+\-*/() ]*?) = (-?\d+)")
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
AIM = re.compile(r"(?i:working backwards, |倒推\W)(\d+ [-+*/] \d+) = (\d+)\W+?(?:Aim for |先凑出)(\d+)\D+([\d, ]+)")
CLOSEST = {"en": r"The closest is (\d+), not (\d+)\.", "zh": r"最接近的是(\d+)\W不是(\d+)。"}
CUE = re.compile("Wait, what about|Hmm, working|突然想到|等等")


def exact(expression: str) -> Fraction:
    """Value of an expression by Python's own parser, independent of the project's."""

    def value(node: ast.expr) -> Fraction:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return Fraction(node.value)
        assert isinstance(node, ast.BinOp), ast.dump(node)
        return OPERATIONS[type(node.op)](value(node.left), value(node.right))

    return value(ast.parse(expression.strip(), mode="eval").body)


@cache
def puzzles_of(count: int) -> list[Puzzle]:
    return as_puzzles(generate(500, Wish((count,)), seed=count))


def traces(counts: tuple[int, ...], n: int, habits: Habits, language: str) -> Iterator[tuple[Puzzle, Trace]]:
    for count in counts:
        for place, puzzle in enumerate(puzzles_of(count)[:n]):
            yield puzzle, write_trace(puzzle, language, Random(f"{place}"), habits)


def outcomes(puzzle: Puzzle, text: str) -> Iterator[int]:
    """What each attempt in ``text`` makes of the whole puzzle, where that is whole and positive.

    After ``72 - 7 = 65`` an attempt makes the sub-goal, so the number set aside is still to be added.
    """
    number_last = {"-": "{0} + {1}", "+": "{0} - {1}", "/": "{0} * {1}", "*": "{0} / {1}"}
    number_first = {"-": "{1} - {0}", "/": "{1} / {0}", "+": "{0} - {1}", "*": "{0} / {1}"}
    whole = "{0}"
    for line in text.splitlines():
        claims = CLAIM.findall(line)
        if re.search(r"Left: |剩下", line):
            whole = "{0}"
        elif aimed := AIM.search(line):
            left, sign, right = aimed[1].split()
            ending = number_last[sign] if int(left) == puzzle.target else number_first[sign]
            whole = ending.replace("{1}", right if int(left) == puzzle.target else left)
        elif claims and not line.startswith(("Check", "检查")):
            made = exact(whole.format(claims[-1][1]))
            if made > 0 and made.denominator == 1:
                yield int(made)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("stop_chance", [0.0, 0.5, 1.0])
def test_every_claim_in_hundreds_of_traces_is_exact(language: str, stop_chance: float) -> None:
    claims = 0
    for _, trace in traces((2, 3, 4), 80, Habits(stop_chance=stop_chance, reflect_chance=0.3), language):
        for claim in CLAIM.finditer(trace.completion):
            assert exact(claim[1]) == int(claim[2]), claim[0]
            claims += 1
    assert claims > 1_000 or (stop_chance == 1.0 and claims > 500)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_equals_sign_escapes_the_test_above(language: str) -> None:
    for _, trace in traces((3, 4), 60, Habits(stop_chance=0.5, reflect_chance=0.3), language):
        assert len(CLAIM.findall(trace.completion)) == trace.completion.count("=")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_solved_trace_is_judged_solved_and_well_formed(language: str) -> None:
    solved = [
        (puzzle, trace)
        for puzzle, trace in traces((2, 3, 4), 150, Habits(stop_chance=0.3, reflect_chance=0.2), language)
        if trace.solved
    ]
    assert len(solved) > 100
    for puzzle, trace in solved:
        assert judge(puzzle, trace.completion).solved
        assert parse(trace.completion).well_formed
        assert trace.language == language


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_stopped_trace_is_well_formed_uses_every_number_and_is_wrong(language: str) -> None:
    habits = Habits(stop_chance=0.8, reflect_chance=0.2)
    stopped = [(puzzle, trace) for puzzle, trace in traces((2, 3, 4), 150, habits, language) if not trace.solved]
    assert len(stopped) > 100
    for puzzle, trace in stopped:
        assert parse(trace.completion).well_formed
        assert judge(puzzle, trace.completion).status is Status.WRONG_VALUE


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_stopped_trace_names_the_closest_of_its_tries_and_hands_it_in(language: str) -> None:
    stopped = 0
    for puzzle, trace in traces((3, 4), 150, Habits(stop_chance=0.8, reflect_chance=0.2), language):
        if trace.solved:
            continue
        named = re.search(CLOSEST[language], trace.completion)
        assert named is not None
        value, target = int(named[1]), int(named[2])
        assert target == puzzle.target
        assert judge(puzzle, trace.completion).value == value
        if puzzle.target in puzzle.nums:
            continue  # which of two equal numbers a sub-goal sets aside cannot be read
        tried = list(outcomes(puzzle, trace.completion))
        assert value in tried
        assert abs(value - target) == min(abs(result - target) for result in tried)
        stopped += 1
    assert stopped > 100


def test_every_number_a_step_leaves_is_on_the_table() -> None:
    """After ``a + b = c`` exactly the other numbers and ``c`` are left."""
    step = re.compile(r"^(?:Try |Wait, what about )(\d+) [-+*/] (\d+) = (\d+)\. Left: ([\d, ]+)\.", re.MULTILINE)
    steps = 0
    for puzzle, trace in traces((4,), 80, Habits(reflect_chance=0.3), "en"):
        for first, second, result, listed in step.findall(trace.completion):
            left = list(puzzle.nums)
            left.remove(int(first))
            left.remove(int(second))
            assert sorted([*left, int(result)]) == sorted(map(int, listed.split(", ")))
            steps += 1
    assert steps > 80


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_attempt_uses_each_number_on_the_table_once(language: str) -> None:
    """``a + b = c, c * d = e`` takes what the line before it left, or the three numbers of the puzzle."""
    attempts = 0
    for puzzle, trace in traces((3, 4), 80, Habits(reflect_chance=0.3), language):
        table = sorted(puzzle.nums)
        for line in trace.completion.splitlines()[2:]:
            claims = CLAIM.findall(line)
            if opened := re.search(r"(?:Left: |剩下\W)([\d, ]+)", line) or AIM.search(line):
                table = sorted(map(int, opened[opened.re.groups].split(", ")))
            elif len(claims) == 2:
                (first, made), (second, _) = claims
                used = [*map(int, re.findall(r"\d+", first)), *map(int, re.findall(r"\d+", second))]
                used.remove(int(made))
                assert sorted(used) == table, line
                attempts += 1
    assert attempts > 300


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_sub_goal_is_what_the_numbers_named_still_have_to_make(language: str) -> None:
    """``72 - 7 = 65``: the target, a number of the puzzle, and their result, to be made of the other numbers."""
    aims = 0
    for puzzle, trace in traces((4,), 100, Habits(), language):
        for line in trace.completion.splitlines():
            if not (aimed := AIM.search(line)):
                continue
            left, _, right = aimed[1].split()
            assert puzzle.target in (int(left), int(right))
            aside = int(right) if int(left) == puzzle.target else int(left)
            assert exact(aimed[1]) == int(aimed[2]) == int(aimed[3])
            assert sorted([aside, *map(int, aimed[4].split(", "))]) == sorted(puzzle.nums)
            aims += 1
    assert aims > 50


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_miss_names_the_aim_that_it_missed(language: str) -> None:
    misses = 0
    for puzzle, trace in traces((3, 4), 80, Habits(), language):
        aim = puzzle.target
        for line in trace.completion.splitlines():
            if re.search(r"Left: |剩下", line):
                aim = puzzle.target
            elif aimed := AIM.search(line):
                aim = int(aimed[3])
            elif missed := re.search(r"= (\d+)(?:, not |\W不是)(\d+)", line):
                assert int(missed[2]) == aim != int(missed[1])
                misses += 1
    assert misses > 300


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_plain_arm_has_the_same_search_without_cue_comparison_or_check(language: str) -> None:
    plain = Habits(stop_chance=0.2, reflect_chance=0.0, reflective=False)
    told = Habits(stop_chance=0.2, reflect_chance=0.0)
    for (_, bare), (_, full) in zip(
        traces((3, 4), 60, plain, language), traces((3, 4), 60, told, language), strict=True
    ):
        assert not CUE.search(bare.completion)
        assert not re.search("not |Check|Yes|closest|不是|检查|找到|最接近", bare.completion)
        claims = CLAIM.findall(full.completion)
        assert CLAIM.findall(bare.completion) == (claims[:-1] if full.solved else claims)
        assert bare.solved == full.solved
        assert parse(bare.completion).answer == parse(full.completion).answer
        assert parse(bare.completion).well_formed


@pytest.mark.parametrize("counts", [2, 3, 4])
def test_the_same_random_numbers_give_the_same_search_in_both_languages(counts: int) -> None:
    habits = Habits(stop_chance=0.5, reflect_chance=0.5)
    english, chinese = (list(traces((counts,), 60, habits, language)) for language in ("en", "zh"))
    for (_, left), (_, right) in zip(english, chinese, strict=True):
        assert CLAIM.findall(left.completion) == CLAIM.findall(right.completion)
        assert left.solved == right.solved
        assert len(CUE.findall(left.completion)) == len(CUE.findall(right.completion))
        assert parse(left.completion).answer == parse(right.completion).answer


def test_a_trace_is_decided_by_its_random_numbers() -> None:
    puzzle = Puzzle((55, 36, 7, 19), 65)
    first, again, other = (write_trace(puzzle, "en", Random(seed), Habits()).completion for seed in (1, 1, 2))
    assert first == again != other


def test_each_trace_speaks_one_language() -> None:
    for _, trace in traces((3,), 40, Habits(stop_chance=0.5, reflect_chance=0.5), "en"):
        assert trace.completion.isascii()
    for _, trace in traces((3,), 40, Habits(stop_chance=0.5, reflect_chance=0.5), "zh"):
        assert not re.search(r"[A-Za-z]", re.sub(r"</?(think|answer)>", "", trace.completion))


def test_a_searcher_that_never_stops_solves_every_solvable_three_number_puzzle_without_fractions() -> None:
    solved = 0
    for puzzle, trace in traces((3,), 500, Habits(stop_chance=0.0), "en"):
        if level(puzzle) == 3:  # needs a fraction on the way, which the searcher never writes
            assert not trace.solved
            continue
        assert trace.solved, puzzle
        solved += 1
    assert solved > 450


@pytest.mark.parametrize(
    ("nums", "target"), [((11, 91, 1), 1000), ((77, 13, 1), 1002), ((100, 30, 7), 2993), ((50, 20, 9, 1), 100)]
)
def test_targets_far_above_the_generated_ones_are_found_too(nums: tuple[int, ...], target: int) -> None:
    puzzle = Puzzle(nums, target)
    assert level(puzzle) is not None
    assert write_trace(puzzle, "en", Random(0), Habits(stop_chance=0.0)).solved


def test_a_searcher_that_stops_at_once_tries_one_first_move() -> None:
    """Unless nothing whole came of it, for then there is nothing to hand in."""
    turned = 0
    for puzzle, trace in traces((3, 4), 150, Habits(stop_chance=1.0, reflect_chance=1.0), "en"):
        *before, _ = CUE.split(trace.completion)
        turned += bool(before)
        assert puzzle.target in puzzle.nums or not any(outcomes(puzzle, "".join(before)))
    assert turned < 30


@pytest.mark.parametrize("count", [3, 4])
def test_reflective_cues_are_written_as_often_as_the_habit_says(count: int) -> None:
    lead = "- |Wait" if count == 3 else "Try |Working|Wait|Hmm"
    turns = {0.0: 0, 0.5: 0, 1.0: 0}
    moves = dict.fromkeys(turns, 0)
    for chance in turns:
        for _, trace in traces((count,), 150, Habits(reflect_chance=chance), "en"):
            turns[chance] += len(CUE.findall(trace.completion))
            moves[chance] += len(re.findall(f"^(?:{lead})", trace.completion, re.MULTILINE)) - 1
    assert turns[0.0] == 0
    assert turns[1.0] == moves[1.0] > 50
    assert 0.4 < turns[0.5] / moves[0.5] < 0.6


def test_a_stronger_hint_finds_the_answer_in_fewer_attempts() -> None:
    lengths = {
        hint: sum(len(trace.completion) for _, trace in traces((4,), 100, Habits(hint=(hint, hint)), "en"))
        for hint in (1.0, 50.0)
    }
    assert lengths[50.0] < 0.7 * lengths[1.0]


def test_stopping_follows_its_chance() -> None:
    rarely, often = (
        sum(not trace.solved for _, trace in traces((3,), 200, Habits(stop_chance=chance), "en"))
        for chance in (0.2, 0.8)
    )
    assert rarely < often


def test_a_single_number_cannot_be_searched() -> None:
    with pytest.raises(ValueError, match="nothing to try"):
        write_trace(Puzzle((5,), 7), "en", Random(0), Habits())


def test_an_unsolvable_puzzle_ends_in_a_stop() -> None:
    trace = write_trace(Puzzle((2, 4, 6), 99), "en", Random(0), Habits(stop_chance=0.0))
    assert not trace.solved
    assert "I stop here" in trace.completion
    assert [step.kind for step in search(Puzzle((2, 4, 6), 99), Random(0), Habits(stop_chance=0.0))][-1] == "stop"


def test_a_cold_start_draws_solvable_puzzles_of_the_train_split_alone() -> None:
    drawn = draw_puzzles(ColdStart(numbers=(3, 4), puzzles=400))
    assert [len(table) for table in drawn] == [400, 400]
    for count, table in zip((3, 4), drawn, strict=True):
        puzzles = as_puzzles(table)
        assert {len(puzzle.nums) for puzzle in puzzles} == {count}
        assert {split_of(puzzle.nums) for puzzle in puzzles} == {"train"}
    assert all(level(puzzle) is not None for puzzle in as_puzzles(drawn[0]))


def test_cold_start_samples_mix_languages_and_counts_by_their_weights() -> None:
    settings = ColdStart(numbers=(3, 4), number_weights=(0.8, 0.2), puzzles=50)
    puzzles = draw_puzzles(settings)
    samples = write_samples(settings, puzzles, Random(0))
    prompts = [next(samples)[0] for _ in range(600)]
    english = sum("Using the numbers" in prompt for prompt in prompts)
    three = sum(re.search(r"\[\d+, \d+, \d+\]", prompt) is not None for prompt in prompts)
    assert 240 < english < 360
    assert 420 < three < 540
