"""Puzzles out of the words of prompts and thoughts: recovered right, or not at all."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.recover import recover, recover_from_thought

EN = (
    "Using the numbers [19, 36, 55, 7], create an equation that equals 65. You can use basic arithmetic operations "
    "(+, -, *, /) and each number can only be used once. Show your work in <think> </think> tags. And return the final "
    "answer in <answer> </answer> tags, for example <answer> (1 + 2) / 3 </answer>."
)
STATED = [
    (EN, (19, 36, 55, 7), 65),
    (EN.replace("[19, 36, 55, 7]", "[19 36 55  7]"), (19, 36, 55, 7), 65),
    (EN.replace("[19, 36, 55, 7]", "[1, 2, 3]").replace("65", "1,000"), (1, 2, 3), 1000),
    (f"<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\n{EN}<|im_end|>\n<|im_start|>assistant\nLet me solve "
     "this step by step.\n<think>", (19, 36, 55, 7), 65),
    (f"A conversation between User and Assistant.\nUser: {EN}\nAssistant: Let me solve this step by step.\n<think>",
     (19, 36, 55, 7), 65),
    ("Calculate 139 using all of these numbers: 36, 29, 95, 32, 4, 15.", (36, 29, 95, 32, 4, 15), 139),
    ("Calculate 139 using all of these numbers: 36, 29, 95, 32, 4, 15.\nEach number may be used at most once.\nFinal "
     "answer format instructions:\n1. Provide your solution as an arithmetic expression (no '=' sign).\n2. Do not "
     "include the target number in the expression.\n3. Use '*' for multiplication.\n4. Use '/' for division.\n",
     (36, 29, 95, 32, 4, 15), 139),
    ("Find a way to make 24 using all of these numbers: 4, 6, 8.\nEach number can be used once.", (4, 6, 8), 24),
    ("Using all the numbers 36, 29, 95, create an expression that equals 102.", (36, 29, 95), 102),
    ("using the numbers 1, 2, 3 -> target 1000", (1, 2, 3), 1000),
    ("Numbers: 4, 6, 8\nTarget: 24", (4, 6, 8), 24),
    ("Numbers: 4 6 8\n\nTarget: 24\n", (4, 6, 8), 24),
    ("Target: 24\nNumbers: 4, 6, 8", (4, 6, 8), 24),
    ("**Numbers:** `4, 6, 8`\n**Target:** **24**", (4, 6, 8), 24),
    ("make 24 from 4 4 8 8", (4, 4, 8, 8), 24),
    ("Can you make 24 with the cards 3, 3, 8 and 8?", (3, 3, 8, 8), 24),
    ("Input: 4 4 8 8\nUse every number once to get 24.", (4, 4, 8, 8), 24),
    ("Combine 5, 10, and 15 into 35.", (5, 10, 15), 35),
    ("Use the following numbers to reach 24: 4, 7, 8, 8.", (4, 7, 8, 8), 24),
    ("Find an arithmetic expression equal to 24 that uses each of 4, 7, 8, 8 exactly once.", (4, 7, 8, 8), 24),
    ("Find operations on 75, 50, 2, 3 which yields 103.", (75, 50, 2, 3), 103),
    ("Target=42. Nums=3,5,7,9.", (3, 5, 7, 9), 42),
    ("已知数字为3, 5, 7和9，构造表达式使其值为42。", (3, 5, 7, 9), 42),
    ("The target is 952 and the numbers are 25, 50, 75, 100, 3, 6.", (25, 50, 75, 100, 3, 6), 952),
    ("Reach exactly 952 with 25, 50, 75, 100, 3 and 6.", (25, 50, 75, 100, 3, 6), 952),
    ("Get as close as possible to 952 with the numbers 25, 50, 75, 100, 3, 6.", (25, 50, 75, 100, 3, 6), 952),
    ('{"nums": [44, 19, 35], "target": 98}', (44, 19, 35), 98),
    ("nums = [44, 19, 35], target = 98", (44, 19, 35), 98),
    ("<numbers>44 19 35</numbers>\n<target>98</target>", (44, 19, 35), 98),
    ("Use the numbers ['44', '19', '35'] to make 98.", (44, 19, 35), 98),
    ("Use np.array([44, 19, 35]) to make 98.", (44, 19, 35), 98),
    ("Use [np.int64(44), np.int64(19), np.int64(35)] to make 98.", (44, 19, 35), 98),
    ("Create an expression with the result -5 as follows: numbers [3, 8, 9], target -5.", (3, 8, 9), -5),
    ("Given the integers 3, 8 and 9, write an equation with 24 as the target.", (3, 8, 9), 24),
    ("The result must be 24. Cards: 4, 4, 8, 8.", (4, 4, 8, 8), 24),
    ("You get 4 numbers: 3, 3, 8, 8. Use all 4 numbers in at most 3 steps. Your goal: 24.", (3, 3, 8, 8), 24),
    ("You earn 1 point when you reach the target 24 with (3, 3, 8, 8).", (3, 3, 8, 8), 24),
    ("Do not stop at 6; with [1, 2, 3] the target is 7.", (1, 2, 3), 7),
    ("Using the numbers [5], create an equation that equals 5.", (5,), 5),
    ("Numbers [3, 5], target 15.", (3, 5), 15),
    ("Remember that each of the numbers 4, 6, 8 is used once. With [4, 6, 8] make 24.", (4, 6, 8), 24),
    ("使用[68, 77, 93, 43]这几个数字,构建一个等于95的等式。例如,当用[1,2,3]构建结果为1的等式时,可以返回(1+2)/3",
     (68, 77, 93, 43), 95),
    ("使用数字 4、4、8、8 凑成24。", (4, 4, 8, 8), 24),
    ("用 4 4 8 8 算24点", (4, 4, 8, 8), 24),
    ("数字：４，６，８\n目标：２４", (4, 6, 8), 24),
    ("给定数字 4，6，8，请构造一个等式，结果为24。每个数字只能用一次。", (4, 6, 8), 24),
    ("请用3、3、8、8这四个数得到24。", (3, 3, 8, 8), 24),
    # With examples before or behind.
    ("Example: numbers [1, 2, 3], target 6: 1 + 2 + 3.\n\nNow numbers [4, 6, 8], target 24.", (4, 6, 8), 24),
    ("Numbers: 1, 2, 3\nTarget: 6\nAnswer: 1 + 2 + 3\n\nNumbers: 4, 6, 8\nTarget: 24\nAnswer:", (4, 6, 8), 24),
    ("Numbers: 1, 2, 3\nTarget: 6\nAnswer: 1 + 2 + 3\nNumbers: 4, 6, 8\nTarget: 24\nAnswer:", (4, 6, 8), 24),
    ("Target: 6\nNumbers: 1, 2, 3\nAnswer: 1 + 2 + 3\n\nTarget: 24\nNumbers: 4, 6, 8\nAnswer:", (4, 6, 8), 24),
    ("Q: make 6 from 1 2 3\nA: 1 + 2 + 3\nQ: make 24 from 4 6 8\nA:", (4, 6, 8), 24),
    ("Here is an example: use [1, 2, 3] to make 6, <answer>1 + 2 + 3</answer>. Use [4, 6, 8] to make 24.",
     (4, 6, 8), 24),
    ("Answer in tags, for example <answer>1 + 2</answer>. Using [4, 6, 8], make 24.", (4, 6, 8), 24),
    ("Think aloud, for example by listing sums. Using the numbers [4, 6, 8], make 24.", (4, 6, 8), 24),
    ("Use [4, 6, 8] to make 24.\n\nExamples:\n[1, 2, 3] makes 6: 1 + 2 + 3\n[4, 5] makes 20: 4 * 5", (4, 6, 8), 24),
    ("Use [4, 6, 8] to make 24. For example, [1, 2, 3] makes 6. And [4, 5] makes 20.", (4, 6, 8), 24),
    ("示例：用1, 2, 3得到6：1 + 2 + 3。现在用4, 6, 8得到24。", (4, 6, 8), 24),
    ("<|im_start|>user\nUse [1, 2, 3] to make 6.<|im_end|>\n<|im_start|>assistant\n1 + 2 + 3<|im_end|>\n"
     "<|im_start|>user\nUse [4, 6, 8] to make 24.<|im_end|>", (4, 6, 8), 24),
    ("x" * 50_000 + "\n\n" + EN, (19, 36, 55, 7), 65),
]  # fmt: skip
UNSTATED = [
    "",
    "Let me think.",
    "The numbers 4, 5 and 6 are small.",
    "I want 24.",
    "To get 24 use 4 and 6.",
    "Use the numbers [4, 6, 8].",
    "Numbers: 4, 6, 8. Solve it in 3 steps and get 10 points.",
    "Use [4, 6, 8] to make 24 or 25.",
    "Use [4, 6, 8] to make 20, 24 or 25.",
    "Use [4, 6, 8] to make 24 with target 25.",
    "A bag holds 3, 5 and 7 balls. How many are there in total? The answer is 15.",
    "Numbers 3, 5, 7, 9; target: forty-two; I want 2 answers; get 4 points",
    "Use [4, 6, 8] to make 2.5.",
    "Use [4, 6, 8] to make 50% of it.",
    "Make 3 equations with the numbers 4, 6, 8.",
    "Choose a target in the range [1, 100] that equals 5.",
    "Using the numbers [0, 5], create an equation that equals 5.",
    "use [1,2,3,4,5,6,7] to get 28",
    "numbers [25, 1,000, 3], target 24",
    "For example, use [1, 2, 3] to make 6.",
    "Example:\nNumbers: [1, 2, 3]\nTarget: 6\nAnswer: 1 + 2 + 3",
    "例如，用[1, 2, 3]得到6。",
    "Numbers: 1, 2, 3\nTarget: 6\nAnswer: 1 + 2 + 3\n\nNumbers: 4, 6, 8\nAim for twenty-four\nAnswer:",
    "Example: use [1, 2, 3] to make 6. Now use the numbers [4, 6, 8] to make the largest number.",
    "[" * 9_000,
    "1," * 9_000,
]


@pytest.mark.parametrize(("text", "nums", "target"), STATED, ids=[text[-60:] for text, *_ in STATED])
def test_a_prompt_that_states_a_puzzle_gives_it(text: str, nums: tuple[int, ...], target: int) -> None:
    assert recover(text) == Puzzle(nums, target)


@pytest.mark.parametrize("text", UNSTATED, ids=[text[:60] for text in UNSTATED])
def test_no_puzzle_is_made_up(text: str) -> None:
    assert recover(text) is None
    assert recover_from_thought(text) is None


@pytest.mark.parametrize(
    ("text", "nums", "target"),
    [
        ("We need 48 from 32, 31, 47.\nTry 32 * 31 = 992. Left: 992, 47.", (32, 31, 47), 48),
        ("目标是42,数字是43, 46, 46。\n试试 46 + 43 = 89。剩下:89, 46。", (43, 46, 46), 42),
        ("我们需要使用11, 77, 6, 80这四个数字来构造等式,目标结果是20。", (11, 77, 6, 80), 20),
        ("首先,我们需要找到一个组合方式,利用给定数字72, 66, 10, 88,通过加减乘除得到72。", (72, 66, 10, 88), 72),
        ("The target I have to reach is 38, and what I have is 16, 28, and 82.", (16, 28, 82), 38),
        ("To make 55 out of 90, 72, and 73 I could begin with 90 - 72.", (90, 72, 73), 55),
        ("I have to use the numbers 55, 36, 7 and 19 to get 65. Try 55 + 7 = 62. No.", (55, 36, 7, 19), 65),
        ("We need to find an equation using the numbers 19, 36, 55, and 7 exactly once, with basic arithmetic "
         "operations, that equals 65. One possible combination is 55 + 36 - 19 + 7", (19, 36, 55, 7), 65),
    ],
)  # fmt: skip
def test_a_thought_that_begins_with_the_task_gives_it(text: str, nums: tuple[int, ...], target: int) -> None:
    assert recover_from_thought(text) == Puzzle(nums, target)


@pytest.mark.parametrize(
    "text",
    [
        "We have 41, 79 and 56. 79 + 56 gives 135.",
        "We have the numbers 41, 79 and 56. If we use 79 and 56 we get 135, so 41 is left.",
        "Let me try 41, 79 and 56 to get 135.",
        "I need to use 41, 79, 56. Adding two of them gives 135.",
        "I need to use 41, 79, 56. First 79 + 56 to get 135, then 135 - 41 equals 94.",
        "Using [41, 79, 56]: 41 + 79 = 120. Need to get 135 from 120, 10, 5.",
        "41, 79 and 56 add up to 176, which is too big.",
        "Suppose we use the numbers 79, 56 and 1 to make 136.",
        "先用79、56和1得到136。",
        "如果使用79, 56, 41这三个数字，可以得到135。",
        "We need to use the numbers 1, 2, 3 to get 6 or 7.",
        "For example, with [1, 2, 3] we need to make 6.",
    ],
)
def test_a_value_that_a_thought_tries_is_not_taken_for_the_target(text: str) -> None:
    assert recover_from_thought(text) is None


PARTS = [
    "[1, 2, 3]",
    "numbers",
    " 4 4 8 8",
    "target",
    ": ",
    "24",
    " equals ",
    "for example ",
    "\n\n",
    ". ",
    "make ",
    "65 ",
]
PARTS += ["Now ", "1 + 2 + 3", "<answer>", "用", "得到", "，", "1,000", "例如", "\n", "->", "(", "from ", " or 5"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=4), max_size=14).map("".join))
def test_any_text_gives_a_puzzle_of_its_own_numbers_or_none(text: str) -> None:
    for found in (recover(text), recover_from_thought(text)):
        assert found is None or all(str(number) in text.replace(",", "") for number in (*found.nums, abs(found.target)))


@pytest.mark.parametrize(
    "unit", [*PARTS, " ", "\t", "1 ", "1, ", "[", "[1", "target ", "target is ", "equals 1 ", "e.g. ", "a", "1 and "]
)
def test_a_prompt_of_100_kb_takes_no_second(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    began = time.process_time()
    recover(text)
    recover_from_thought(text)
    assert time.process_time() - began < 1.5
