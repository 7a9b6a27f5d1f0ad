"""The words by which prompts and thoughts state a puzzle, as patterns; each takes time linear in the text."""

from __future__ import annotations

import re

_SAME = str.maketrans(
    {chr(0xFF10 + digit): str(digit) for digit in range(10)}
    | dict.fromkeys("−–－", "-")
    | dict.fromkeys("`$\u00a0\u3000\t\r", " ")
    | {"＝": "=", "，": ",", "：": ":", "（": "(", "）": ")", "；": ";", "【": "[", "】": "]", "“": '"', "”": '"'}
)


def level(text: str) -> str:
    """The text with one form for each sign, as long as it was."""
    text = text.translate(_SAME).replace("**", "  ").replace("\\(", "  ").replace("\\)", "  ")
    return re.sub(r"\b(e\.g|i\.e)\.", lambda found: f"{found[1][0]}{found[1][2]}  ", text, flags=re.IGNORECASE)


# Lists of numbers: in brackets with commas or without, with commas, or with spaces alone behind a word for numbers.
_ITEM = r"(?:np\.)?(?:u?int[0-9]{1,2}\()?['\"]?[0-9]{1,6}['\"]?\)?"
_COMMA = r"\s{0,3}[,、;|]\s{0,3}(?:and\s{1,3}|和|以及|与)?"
_LAST = r"\s{0,3}(?:and|和|与|以及|&)\s{0,3}"
_ANY = rf"(?:{_COMMA}|{_LAST}|\s{{1,4}})"
LIST = re.compile(
    rf"(?P<bracketed>(?:array|list)?\(?\[\s{{0,3}}{_ITEM}(?:{_ANY}{_ITEM}){{0,11}}\s{{0,3}}\]"
    rf"|[({{<]\s{{0,3}}{_ITEM}(?:{_ANY}{_ITEM}){{1,11}}\s{{0,3}}[)}}>])"
    rf"|(?<![0-9.,+*/^-])(?<![0-9]\s)(?:{_ITEM}(?:(?:{_COMMA}{_ITEM}){{1,11}}(?:{_LAST}{_ITEM})?|{_LAST}{_ITEM})"
    rf"|{_ITEM}(?:[ ]{{1,4}}{_ITEM}){{1,11}})"
    rf"(?![0-9]|\.[0-9]|{_COMMA}[0-9]|\s{{1,3}}[0-9]|\s{{0,3}}(?:[-+*/=×÷^])(?!>))",
    re.IGNORECASE,
)
THOUSANDS = re.compile(r"[0-9],[0-9]{3}(?![0-9])")
CUE_BEFORE = re.compile(
    r"(?:\b(?:numbers?|nums|digits?|integers?|cards?|tiles?|values?|operands?|inputs?|given|us(?:e|es|ing)|with|from"
    r"|combin(?:e|ing)|have|having|out\s+of|following|these|countdown|puzzle|on|(?:each|all)\s{1,3}of|\bnumbers?\b[^.。\n0-9]{0,30}[0-9]{0,9}(?=:))|数字?|卡牌|牌|用|给定|给你|有|由)"
    r"(?:\s{0,3}(?:are|is|be|only|all|of|the|these|those|this|numbers?|integers?|为|是|分别|即))*[\s:=>\"'\[({-]{0,8}$",
    re.IGNORECASE,
)
CUE_AFTER = re.compile(
    r"\s{0,2}(?:这[0-9一二两三四五六几些]{0,2}个?数|[-=]>|→|to\s+(?:make|get|reach|form|obtain|create|hit))", re.I
)
NUMBERS_BEFORE = re.compile(
    r"(?:\b(?:numbers?|nums|digits?|integers?|cards?|tiles?)|数字?|牌)\s{0,3}(?:are|is|为|是)?[\s:=>\"'\[({]{0,6}$",
    re.I,
)
RANGE = re.compile(r"(?:\b(?:range|interval|between|within)|范围|区间)[\s:]{0,3}$", re.IGNORECASE)

# Words that aim at a number.
_FILL = (
    r"(?:[ ]{1,3}(?:numbers?|values?|results?|sum|total|integer|is|of|to|be|was|that|which|I|we|you|have|has|must"
    r"|should|need|reach|hit|get|make|here|this|time|exactly|equals?|for|puzzle|the|a|precisely|target|goal|as)\b){0,10}"
)
_SIGNS = r"[\s:=\"'_(<>\[→]{0,8}(?:->\s{0,3})?"
_NUMBER = (
    r"(?P<number>-?(?:[0-9]{1,3}(?:,[0-9]{3}){1,3}|[0-9]{1,9}))"
    r"(?![0-9%]|,[0-9]|\.[0-9]|\s{0,2}[-+*/×÷=^]\s{0,2}[0-9(]"
    r"|[ ]{0,3}(?:,|、|or\b|and\b|to\b|-|或|和|到|至)[ ]{0,3}[0-9]"
    r"|[ -]{0,2}(?:numbers?|operations?|steps?|equations?|expressions?|points?|ways?|attempts?|tries|times|solutions?"
    r"|answers?|digits?|seconds?|minutes?|words?|tokens?|operators?|examples?|characters?|sentences?|lines?|cards?|tiles?"
    r"|different|possible|unique|distinct|correct|valid|more|of\s+(?:the|these|them))\b|\s?[个次步种位道名分秒字行条项张])"
)
_NAMING = (
    r"(?:\b|_)(?:target|goal)(?:_?(?:number|value))?\b" + _FILL,
    r"\bequal(?:s|ing)?\b" + _FILL,
    r"\b(?:evaluat(?:es?|ing)\s{1,3}to|results?\s{1,3}in|(?:answer|results?|value|total|sum)\s{1,3}(?:of|is|must\s{1,3}be"
    r"|should\s{1,3}be))\b" + _FILL,
    r"\bresult(?=\s{0,3}[:=])",
    r"等于|(?:结果|得数|答案)(?:应该|必须|需要|要|应)?(?:为|是|等于)|使其?值?(?:为|是)|目标[^。0-9\n\[]{0,8}",
)
GOAL = re.compile(r"_?(?:target|goal)|目标", re.IGNORECASE)
NAMED = re.compile(f"(?:{'|'.join(_NAMING)}){_SIGNS}{_NUMBER}", re.IGNORECASE)
NAMED_AFTER = re.compile(
    _NUMBER + r"(?=\s{1,3}(?:is|as|be|being)\s{1,3}(?:the|your|our|my)\s{1,3}(?:target|goal|final\s+result|result)\b)",
    re.I,
)
AIMED = re.compile(
    r"(?:\b(?:get|reach|make|form|create|obtain|produce|achieve|hit|into|need|yields?|gives?(?:\s{1,3}us)?|arrive\s{1,3}at|total"
    r"|find|calculate|compute|build|construct|derive|express|generate|represent|solve\s{1,3}for|work\s{1,3}out|come\s{1,3}to"
    r"|clos(?:e|est)(?:\s{1,3}as\s{1,3}possible)?\s{1,3}to|add\s{1,3}up\s{1,3}to)\b" + _FILL
    + r"|得到|达到|凑成|凑出|凑到|凑|构成|构造出?|组成|算出|算成|算得|算|计算出?|变成|[-=]>|→)" + _SIGNS + _NUMBER,
    re.IGNORECASE,
)  # fmt: skip

# Where sentences end, and what examples begin and end with.
END = re.compile(r"[.!?](?=\s|$|[\"')<])|[。！？;\n]")
EXAMPLE = re.compile(
    r"\b(?:examples?|eg|for\s+instance|such\s+as|demonstrations?|sample)\b(?:\s{0,2}#?[0-9]{1,2}(?=\s{0,2}[:.)\n]))?"
    r"|例如|比如|示例|例子|例题|范例|譬如|举例|例(?=:)", re.IGNORECASE
)  # fmt: skip
HEADING = re.compile(r"[^.。\n0-9]{0,40}[:\n]")
NOW = re.compile(
    r"\b(?:now|your\s+turn|your\s+task|the\s+(?:real|actual)|<\|im_start\|>user|(?:user|human):)|现在|轮到|接下来|正式|\[/?INST\]",
    re.I,
)
NEXT = re.compile(
    r"\n\s{0,9}\n|</answer>[^\n]{0,9}(?:\n|\. )|[0-9)]\s{0,2}[-+*/×÷=]\s{0,2}[0-9(][^\n.;。]{0,200}[.;。\n]"
    r"|\n\s{0,9}(?:question|problem|puzzle|task|input|q|题目?|问题)\b", re.IGNORECASE
)  # fmt: skip
GOES_ON = re.compile(r"[\s\"')]{0,4}(?:and|or|similarly|likewise|another|also|同样|另外|又如|又)", re.IGNORECASE)

# A solution in a prompt, and in a thought the words of a task and those of a trial.
EXPRESSION = re.compile(r"[(\[]{0,9}[0-9][0-9+\-*/×÷()\[\] ]{2,200}")
OPERATOR = re.compile(r"[0-9)]\s{0,3}[-+*/×÷]\s{0,3}[(0-9]")
ARITHMETIC = re.compile(r"[0-9)]\s{0,3}[+*/×÷=]|[0-9)]\s{0,3}-\s{0,3}[0-9(]|\\(?:times|div|cdot|frac)")
TASK = re.compile(
    r"\b(?:need|must|ha(?:ve|s)\s+to|want|goal|target|asked|task|should|given|create|find|puzzle|problem|equation|expression"
    r"|us(?:e|ing)\s+(?:all\s+)?(?:of\s+)?(?:the|these)\s+(?:given\s+)?numbers|to\s+(?:make|get|reach))\b"
    r"|需要|目标|要求|使用|利用|给定|构建|构造|任务|题目|凑", re.IGNORECASE
)  # fmt: skip
TRIAL = re.compile(
    r"\b(?:try|tries|trying|tried|what\s+(?:if|about)|maybe|perhaps|consider|suppose|wait|then|for\s+example|so|say)\b|尝试|试|如果|比如|假设|例如|(?<!首)先|再",
    re.IGNORECASE,
)
