"""Completions that look like those of real models, from a seed: what a reward is measured and tested on.

English and Chinese in turn, 300 to 1,000 characters, with the oddities of real completions in the proportions that
were counted in 6,958 of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from random import Random

# How often each oddity was counted; everything else is a plain completion. Half of those are right here.
COUNTED = 6_958
ODDITIES = {
    "equals": 278,
    "text after": 236,
    "several thoughts": 195,
    "answers differ": 125,
    "answers agree": 26,
    "no answer": 145,
    "unfinished": 138,
    "decimals": 49,
    "words": 37,
    "sign": 26,
    "line break": 19,
    "typography": 13,
    "blank line": 9,
}
WORDS = {
    "en": (
        "To find an equation that equals {target} with the numbers {nums}, I will try some combinations.\n",
        ("First, let me try ", "Then ", "That is not {target}. What about ", "Wait, maybe ", "Another way is "),
        (". Too large.\n", ". This does not work.\n", ", which is not {target}.\n", ".\n"),
        "So {expression} uses every number once and gives {target}.",
    ),
    "zh": (
        "我们需要使用{nums}这几个数字来构造等式,目标结果是{target}。我们可以尝试不同的组合来找到解决方案。\n",
        ("首先尝试 ", "接着计算 ", "突然想到,可以用 ", "再看看 ", "另一个思路是 "),
        ("。太大了。\n", ",不等于{target}。\n", "。这个组合不行,需要继续寻找其他可能性。\n", "。\n"),
        "因此,{expression} 每个数字都用了一次,结果是{target}。",
    ),
}


@dataclass(frozen=True)
class Sample:
    """A completion, its puzzle, and what is odd about it."""

    completion: str
    nums: list[int]
    target: int
    kind: str


def make_samples(count: int, seed: int) -> list[Sample]:
    """Completions with their puzzles, oddities drawn in proportion to ``ODDITIES``."""
    rng = Random(seed)
    plain = COUNTED - sum(ODDITIES.values())
    kinds = {**ODDITIES, "right": plain / 2, "wrong value": plain / 4, "wrong numbers": plain / 4}
    drawn = rng.choices(list(kinds), list(kinds.values()), k=count)
    return [make_sample(kind, ("en", "zh")[index % 2], rng) for index, kind in enumerate(drawn)]


def make_sample(kind: str, language: str, rng: Random) -> Sample:
    nums, target, solution = draw_puzzle(rng)
    thought = write_thought(nums, target, solution, language, rng)
    answer = {
        "wrong value": " + ".join(map(str, nums)),
        "wrong numbers": solution.replace(str(nums[0]), str(nums[0] + 1)),
        "equals": f"{solution} = {target}",
        "decimals": f"{nums[0]}.5 * {' + '.join(map(str, nums[1:]))}",
        "words": f"sqrt({nums[0]}) + {nums[1]} or nothing",
        "sign": f"{solution} - -{nums[0]}",
        "line break": solution.replace(" ", "\n", 1),
        "typography": solution.replace("*", "×").replace("-", "−").replace("/", "÷"),
    }.get(kind, solution)
    texts = {
        "text after": f"{thought}</think>\n<answer> {answer} </answer>\nEvery number is used exactly once.",
        "several thoughts": f"{thought}</think>\n<think>{thought[:80]}</think>\n<answer> {answer} </answer>",
        "answers differ": f"{thought}</think>\n<answer> {nums[0]} + 1 </answer>\n<answer> {answer} </answer>",
        "answers agree": f"{thought}</think>\n<answer>{answer}</answer>\n<answer> ({answer}) </answer>",
        "no answer": f"{thought}</think>\n{answer}",
        "unfinished": f"{thought}\n{thought[:200]}",
        "blank line": f"{thought}</think>\n\n<answer> {answer} </answer>",
    }
    return Sample(texts.get(kind, f"{thought}</think>\n<answer> {answer} </answer>"), nums, target, kind)


def draw_puzzle(rng: Random) -> tuple[list[int], int, str]:
    """Three or four numbers from 1 to 99, a target from 10 to 100 and an expression that makes it."""
    while True:
        nums = [rng.randint(1, 99) for _ in range(rng.choice((3, 4)))]
        value, text = Fraction(nums[0]), str(nums[0])
        for number in nums[1:]:
            operator = rng.choice("+-*/")
            value = apply(operator, value, Fraction(number))
            text = (
                f"({text}) {operator} {number}" if operator in "*/" and " " in text else f"{text} {operator} {number}"
            )
        if value.denominator == 1 and 10 <= value <= 100:
            return nums, int(value), text


def apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
    if operator in "+-":
        return left + right if operator == "+" else left - right
    return left * right if operator == "*" else left / right


def write_thought(nums: list[int], target: int, solution: str, language: str, rng: Random) -> str:
    """Attempts in words until the thought has its length, then the solution; 250 to 950 characters."""
    opening, leads, ends, closing = WORDS[language]
    words = {"target": target, "nums": ", ".join(map(str, nums)), "expression": solution}
    parts, length = [opening.format(**words)], rng.randint(200, 800)
    while sum(map(len, parts)) < length:
        order = rng.sample(nums, len(nums))
        signs = [rng.choice("+-") for _ in order[1:]]
        value = order[0] + sum(
            number if sign == "+" else -number for sign, number in zip(signs, order[1:], strict=True)
        )
        attempt = str(order[0]) + "".join(f" {sign} {number}" for sign, number in zip(signs, order[1:], strict=True))
        parts.append(f"{rng.choice(leads)}{attempt} = {value}{rng.choice(ends)}".format(**words))
    return "".join([*parts, closing.format(**words)])
