"""What the page says, in English and Chinese."""

from __future__ import annotations

from dataclasses import dataclass

from ..game.puzzle import MAX_NUMBER, MAX_NUMBERS, MAX_TARGET, Puzzle, Status, Verdict, show


@dataclass(frozen=True)
class Words:
    """The page's texts in one language. ``reasons`` translate a verdict; without one its own reason is shown."""

    title: str
    about: str
    numbers: str
    target: str
    solve: str
    stop: str
    random: str
    exact: str
    thinking: str
    thinking_empty: str
    waiting: str
    right: str
    wrong: str
    stopped: str
    stopped_reason: str
    no_answer: str
    cannot: str
    unsolvable: str
    no_solution: str
    solution: str
    meter: str
    model: str
    revision: str
    bad_input: str
    failed: str
    reasons: dict[Status, str]


EN = Words(
    title="Countdown",
    about="Reach the target with + − × ÷, using every number exactly once. A small language model, trained "
    "with rewards for right answers, thinks out loud below; an exact checker then says whether it is right.",
    numbers="Numbers",
    target="Target",
    solve="Solve",
    stop="Stop",
    random="Another puzzle",
    exact="Show an exact solution",
    thinking="Thinking",
    thinking_empty="The model's thinking appears here, word by word, while it works.",
    waiting="Waiting for the model …",
    right="Right",
    wrong="Wrong",
    stopped="Stopped",
    stopped_reason="you ended the thought before there was an answer",
    no_answer="No answer",
    cannot="This puzzle cannot be used",
    unsolvable="No solution exists for this puzzle. The model may try all the same.",
    no_solution="No solution exists: an exact search went through every way to combine these numbers.",
    solution="An exact solution",
    meter="{tokens} tokens · {seconds:.1f} s · {rate:.0f} tokens/s",
    model="Model",
    revision="revision",
    bad_input="{reason}.",
    failed="The model stopped with an error. Press Solve to try again; the server's log has the details.",
    reasons={},
)
ZH = Words(
    title="Countdown 数谜",
    about="用 + − × ÷ 凑出目标数，每个数字恰好用一次。一个小语言模型（训练时答对才有奖励）"
    "会在下面边想边写，随后由精确的检查程序判断对错。",
    numbers="数字",
    target="目标",
    solve="求解",
    stop="停止",
    random="换一题",
    exact="显示精确解",
    thinking="思考过程",
    thinking_empty="模型思考时，文字会逐字出现在这里。",
    waiting="正在等待模型 …",
    right="正确",
    wrong="错误",
    stopped="已停止",
    stopped_reason="在得出答案之前，思考被你停止了",
    no_answer="没有答案",
    cannot="这道题无法使用",
    unsolvable="这道题没有解，但模型仍可以试一试。",
    no_solution="没有解：精确搜索试过了这些数字的所有组合。",
    solution="精确解",
    meter="{tokens} 个词元 · {seconds:.1f} 秒 · 每秒 {rate:.0f} 个",
    model="模型",
    revision="版本",
    bad_input=f"请输入 1 到 {MAX_NUMBERS} 个整数（1 到 {MAX_NUMBER:,}），用空格隔开；"
    f"目标是整数，绝对值不超过 {MAX_TARGET:,}。",
    failed="模型运行出错。请再按一次“求解”；详情见服务器日志。",
    reasons={
        Status.SOLVED: "恰好等于 {target}，每个数字都用了一次",
        Status.WRONG_VALUE: "结果是 {value}，不是 {target}",
        Status.WRONG_NUMBERS: "没有恰好把每个给定的数字用一次",
        Status.MALFORMED: "答案不是一个合法的算式",
        Status.AMBIGUOUS: "给出了几个结果不同的答案",
        Status.NO_ANSWER: "思考之后没有写出完整的答案",
        Status.UNFINISHED: "思考没有结束",
    },
)
WORDS = {"en": EN, "zh": ZH}


def reason(words: Words, verdict: Verdict, puzzle: Puzzle) -> str:
    """Why an answer is right or wrong, in the page's language."""
    sentence = words.reasons.get(verdict.status)
    if sentence is None:
        return verdict.reason
    return sentence.format(target=puzzle.target, value=show(verdict.value) if verdict.value is not None else "")
