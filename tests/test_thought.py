"""Steps and lines of attack of a thought: claims, candidates, shapes of expressions, the lexicon, false sums."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from countdown_r1.build_dataset.prompt import LANGUAGES
from countdown_r1.errors import InputError
from countdown_r1.game.answer import parse
from countdown_r1.game.claims import claims
from countdown_r1.game.puzzle import Puzzle, evaluate
from countdown_r1.train.lexicon import KINDS, compile_lexicon, find_marks
from countdown_r1.train.shapes import (
    Operation,
    Tree,
    combination,
    first_step,
    leaves,
    parse_tree,
    show,
    value_of,
)
from countdown_r1.train.steps import read_steps
from countdown_r1.train.thought import read_thought
from countdown_r1.train.traces import Habits, write_trace
from countdown_r1.train.truth import false_claims

NUMS = (55, 36, 7, 19)


def random_tree(rng: Random, numbers: list[int]) -> Tree:
    if len(numbers) == 1:
        return numbers[0]
    cut = rng.randrange(1, len(numbers))
    return Operation(rng.choice("+-*/"), (random_tree(rng, numbers[:cut]), random_tree(rng, numbers[cut:])))


def tree_of(expression: str) -> Tree:
    tree = parse_tree(expression)
    assert tree is not None
    return tree


def test_a_tree_is_written_and_read_back_with_its_value() -> None:
    rng = Random(0)
    for _ in range(2_000):
        numbers = [3, 5, 7, 11, 13][: rng.randint(1, 5)]
        rng.shuffle(numbers)
        tree = random_tree(rng, numbers)
        assert leaves(tree_of(show(tree))) == numbers
        assert value_of(tree) == value_of(tree_of(show(tree))) == evaluate(show(tree))[0]


def test_there_are_as_many_combinations_as_the_literature_counts() -> None:
    """OEIS A140606: ways to combine n different numbers, whose negatives count where they can be written."""
    rng = Random(1)
    for numbers, count in (([3, 5], 6), ([3, 5, 7], 68)):
        found = set()
        for _ in range(6_000):
            rng.shuffle(numbers)
            found.add(combination(random_tree(rng, numbers)))
        assert len(found) == count


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("(80 - 77 + 6) + 11", "11 + 80 - (77 - 6)", True),
        ("3 * (4 / 2)", "4 * 3 / 2", True),
        ("(3 - 5) * (2 - 7)", "(5 - 3) * (7 - 2)", True),
        ("3 - 5", "5 - 3", False),
        ("3 - 5 - 7", "3 - (5 - 7)", False),
        ("3 * 5 + 7", "3 * (5 + 7)", False),
        ("3 / 5 / 7", "3 / (5 / 7)", False),
    ],
)
def test_order_and_idle_parentheses_make_no_other_combination(one: str, other: str, same: bool) -> None:
    assert (combination(tree_of(one)) == combination(tree_of(other))) is same


@pytest.mark.parametrize(
    ("expression", "step"),
    [("80 - 77 + 6", ("-", 80, 77)), ("6 + (77 + 11)", ("+", 11, 77)), ("2 + 3 * 5", ("*", 3, 5)), ("7", None)],
)
def test_the_first_step_is_what_is_worked_out_first(expression: str, step: tuple[object, ...] | None) -> None:
    assert first_step(tree_of(expression)) == step


@pytest.mark.parametrize("text", ["7 \\times (3 \\div 2)", "7 × （３ ÷ 2）", "7 x (3 / 2)", "7 * (3/2)"])
def test_every_way_to_write_an_operator_is_one_tree(text: str) -> None:
    assert tree_of(text) == Operation("*", (7, Operation("/", (3, 2))))


@pytest.mark.parametrize(
    "text", ["", "7 +", "(7", "7)", "7 7", "2.5 + 1", "7 ** 2", "x", "9" * 13, "(" * 30 + "7" + ")" * 30]
)
def test_what_is_no_expression_of_whole_numbers_has_no_tree(text: str) -> None:
    assert parse_tree(text) is None


def shown(text: str, nums: tuple[int, ...] = NUMS) -> list[tuple[str, int | None, bool]]:
    found = read_steps(text, nums).candidates
    return [(show(one.tree), None if one.stated is None else int(one.stated), one.written) for one in found]


def test_steps_that_use_each_others_results_are_put_together() -> None:
    assert shown("55 + 36 = 91. Left: 91, 7, 19. 91 - 7 = 84. 84 + 19 = 103, 84 - 19 = 65.") == [
        ("55 + 36 - 7 + 19", 103, False),
        ("55 + 36 - 7 - 19", 65, False),
    ]


def test_a_false_sum_is_followed_as_it_was_written_and_valued_as_it_is() -> None:
    (one,) = read_steps("55 + 36 = 81. 7 + 19 = 26. So 81 - 26 = 55", NUMS).candidates
    assert (show(one.tree), one.value, one.stated) == ("55 + 36 - (7 + 19)", Fraction(65), Fraction(55))


def test_a_result_that_was_also_given_is_read_so_that_all_numbers_are_used() -> None:
    assert shown("45 - 19 = 26. 26 + 26 = 52", (19, 26, 45)) == [("26 + 45 - 19", 52, False)]
    assert shown("5 + 3 = 8. 8 - 4 = 4. 4 + 8 = 12", (8, 3, 5, 4)) == [("5 + 3 - 4 + 8", 12, False)]


def test_expressions_in_prose_and_on_the_right_of_an_equals_sign_are_candidates() -> None:
    assert shown("Maybe 55 + 36 - 7 - 19? Or (1) 55 - 36 + (7 * 19), no.") == [
        ("55 + 36 - 7 - 19", None, True),
        ("55 - 36 + 7 * 19", None, True),
    ]
    assert shown("65 = 55 + 36 - 7 - 19") == [("55 + 36 - 7 - 19", 65, True)]


@pytest.mark.parametrize(
    "text", ["55 + 36 - 7", "55 + 36 - 7 - 19 - 1", "55 + 36 - 7 - 7", "55 + 36 - 7 - 19.5", "55 36 7 19"]
)
def test_what_leaves_numbers_out_or_uses_others_is_no_candidate(text: str) -> None:
    assert shown(text) == []


def test_numbers_out_of_nowhere_are_named() -> None:
    steps = read_steps("55 + 36 = 91. 91 - 8 = 83. 80 - 10 - 5 = 65, 83 - 8 = 75, 36 + 19 = 50 + 5 = 55", NUMS)
    assert [one.number for one in steps.strangers] == [8, 80, 10, 5, 8]


def test_of_a_chain_the_next_number_is_what_a_side_is_said_to_make() -> None:
    steps = read_steps("55 + 36 - 7 - 19 = 84 - 19 = 65 ≠ 64, 36 + 55 - 7 - 19 ≠ 64", NUMS)
    assert [one.stated for one in steps.candidates] == [Fraction(65), None]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("80 / 6 = 13.33", 0),
        ("80 / 6 = 13.34", 0),
        ("80 / 6 = 13.5", 1),
        ("(77 - 11) / (80 / 6) = 66 / 13.33", 0),
        ("(80 - 6) / (77 - 11) = 74 / 66.67", 1),
        ("7 + 8 ≠ 15", 1),
        ("7 + 8 ≠ 16.5", 0),
        ("1 / 0 = 1", 1),
        ("12.3 * 1 = 12.3 = 1 + 1", 1),
    ],
)
def test_a_rounded_number_makes_no_sum_false(text: str, wrong: int) -> None:
    assert len(false_claims(text, claims(text))) == wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_trace_of_the_cold_start_is_read_step_by_step(language: str) -> None:
    """Every try over all numbers is a candidate, its claims are true, and a solved trace ends in its answer."""
    solved = 0
    for seed in range(40):
        puzzle = Puzzle((55, 36, 7, 19), 65) if seed % 2 else Puzzle((32, 31, 47), 48)
        trace = write_trace(puzzle, language, Random(seed), Habits(stop_chance=0.1))
        thought = read_thought(trace.completion, puzzle.nums)
        assert false_claims(thought.text, thought.steps.claims) == []
        assert {one.number for one in thought.steps.strangers} <= {puzzle.target}  # working backwards from it is fair
        assert thought.steps.candidates
        cues = sum(trace.completion.count(word) for word in ("Wait", "Hmm", "突然想到", "等等"))
        assert sum(line.cue is not None for line in thought.lines) == cues
        if trace.solved:
            solved += 1
            answer = parse_tree(parse(trace.completion).answer or "")
            assert answer is not None
            right = [one for one in thought.steps.candidates if one.value == puzzle.target]
            assert right
            assert {one.combination for one in right} == {combination(answer)}
    assert solved > 10


def test_phrases_begin_lines_of_attack_once_something_was_worked_out() -> None:
    text = "Let's try. Try 55 + 36 = 91.\nHmm, wait, what about 55 + 7 = 62.\nAlternatively 55 - 7 = 48. Nothing."
    lines = read_thought(text, NUMS).lines
    assert [(line.phrased, line.cue.text if line.cue else None) for line in lines] == [
        (True, None),
        (True, "wait"),
        (True, None),
    ]


def test_a_list_of_attempts_has_a_line_for_each_and_a_list_of_steps_has_one() -> None:
    attempts = "1. 55 + 36 + 7 + 19 = 117\n2. 55 + 36 + 7 - 19 = 79\n55 - 36 + 7 - 19 = 7\n"
    assert [len(line.candidates) for line in read_thought(attempts, NUMS).lines] == [1, 1, 1]
    steps = "1. 55 + 36 = 91\n2. 91 - 7 = 84\n3. 84 - 19 = 65\n"
    assert len(read_thought(steps, NUMS).lines) == 1


def test_every_kind_of_phrase_is_in_the_lexicon_in_both_languages() -> None:
    found = {
        kind: find_marks("Wait, try to verify: work backwards, need to get 5. 突然想到 试试 验证 倒推 凑出", kind)
        for kind in KINDS
    }
    assert {kind: len(marks) for kind, marks in found.items()} == dict.fromkeys(KINDS, 2)


def test_phrases_match_whole_words_and_any_apostrophe_and_hyphen() -> None:
    assert find_marks("await, waiter, retry, entry", "cue") + find_marks("retry, entry, country", "restart") == []
    assert [mark.text for mark in find_marks("LET ME RE-CHECK, let me re check, let me\nrecheck", "cue")] == [
        "LET ME RE-CHECK",
        "let me re check",
        "let me\nrecheck",
    ]
    assert len(find_marks("let’s try, let's try", "restart")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cue: [", "not valid YAML"),
        ("cue: {en: [wait]}", "needs exactly these keys"),
        ("\n".join(f"{kind}: {{en: [no]}}" for kind in KINDS), "quote yes, no and numbers"),
        ("\n".join(f"{kind}: [wait]" for kind in KINDS), "a list of phrases for each language"),
        ("\n".join(f"{kind}: {{en: ['']}}" for kind in KINDS), "a list of phrases for each language"),
    ],
)
def test_a_lexicon_that_is_none_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile_lexicon(text)
