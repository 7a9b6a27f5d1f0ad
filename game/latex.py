r"""LaTeX in an expression as what it means: ``\frac{3}{5} \times 2`` is ``((3)/(5)) * 2``.

Read as TeX reads it: an argument of ``\frac`` is one digit or what stands in braces, other braces only hold numbers
together, and what is neither an operator, a fraction, a parenthesis nor a space is left for the judge to refuse.
"""

from __future__ import annotations

import re

SPACES = r"\\[,;:!> ]|\\(?:quad|qquad|displaystyle|textstyle|limits)(?![A-Za-z])|~"
OPERATORS = {"times": "*", "cdot": "*", "ast": "*", "*": "*", "div": "/"}
NAMES = r"(?:times|cdot|ast|div)(?![A-Za-z])"
SIZES = r"\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z])\s{0,3}"
FRACTION = r"\\[dtc]?frac(?![A-Za-z])"
MAX_WRAPS = 4
_WRAPPED = (  # what encloses a whole formula, with a result behind it perhaps
    re.compile(r"\s*\\\(((?:(?!\\[()]).)*)\\\)\s*(=\s*-?[0-9]+)?\s*", re.DOTALL),
    re.compile(r"\s*\\\[((?:(?!\\[\[\]]).)*)\\\]\s*(=\s*-?[0-9]+)?\s*", re.DOTALL),
    re.compile(r"\s*\\boxed\s*\{(.*)\}\s*(=\s*-?[0-9]+)?\s*", re.DOTALL),
)
_TOKEN = re.compile(
    rf"(?P<space>{SPACES})|(?P<open>{SIZES}(?:[(（\[]|\\\{{)|\\\{{)|(?P<close>{SIZES}(?:[)）\]]|\\\}})|\\\}})"
    rf"|(?P<fraction>{FRACTION})|\\(?P<operator>{NAMES}|\*)"
    r"|(?P<begin>\{)|(?P<end>\})|(?P<digit>[0-9])|(?P<blank>\s)|(?P<other>.)",
    re.DOTALL,
)
_NUMBER = re.compile(r"\s*[0-9]*\s*")


def is_latex(text: str) -> bool:
    """Whether there can be LaTeX in a text."""
    return "\\" in text or "$" in text


def plain(text: str) -> str:
    r"""The expression in ASCII; as it is where it is no LaTeX that can be read.

    >>> plain(r"\( \left(8 - 3\right) \times \frac{4}{1+1} \)").replace(" ", "")
    '(8-3)*((4)/(1+1))'
    >>> plain(r"\frac12 \cdot x")
    '((1)/(2)) * x'
    """
    inside = text.replace("$", " ") if text.count("$") % 2 == 0 else text
    written = _written(_unwrapped(inside))
    return text if written is None else written


def _unwrapped(text: str) -> str:
    """Without the delimiters of mathematics and the box around the whole, some of them in each other."""
    for _ in range(MAX_WRAPS):
        found = next((match for wrapped in _WRAPPED if (match := wrapped.fullmatch(text))), None)
        text = f"{found[1]} {found[2] or ''}" if found else text
    return text


def _written(text: str) -> str | None:
    r"""Token for token; None where an argument is missing or a brace is never closed or never opened.

    ``waiting`` holds for each argument to come, the next one last, what closes it and where its brace began, -1 before;
    for any other open brace an empty text and its place.
    """
    parts: list[str] = []
    waiting: list[tuple[str, int]] = []
    for token in _TOKEN.finditer(text):
        kind, argument = token.lastgroup, bool(waiting) and waiting[-1][1] < 0
        if argument and kind not in ("begin", "digit", "blank", "fraction"):
            return None
        if kind == "fraction":
            if argument:
                return None
            waiting += [("))", -1), (")/(", -1)]
            parts.append("((")
        elif kind == "begin":
            waiting[-1:] = [(waiting[-1][0], len(parts))] if argument else [*waiting[-1:], ("", len(parts))]
            parts.append("" if argument else " ")
        elif kind == "digit":
            parts.append(token[0])
            if argument:
                parts.append(waiting.pop()[0])
        elif kind == "end":
            closed, began = waiting.pop() if waiting else ("", -1)
            if began < 0 or not (closed or _NUMBER.fullmatch("".join(parts[began:]))):
                return None
            parts.append(closed or " ")
        else:
            parts.append(_sign(kind or "", token))
    return None if waiting else "".join(parts)


def _sign(kind: str, token: re.Match[str]) -> str:
    signs = {"space": " ", "open": "(", "close": ")", "blank": " "}
    return OPERATORS[token[0][1:]] if kind == "operator" else signs.get(kind, token[0])
