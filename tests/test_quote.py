"""Quotes of an Aha: whole words and sentences, and for a true one the line that solves it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from countdown_r1.train.aha import find_ahas
from countdown_r1.train.quote import Span, quote, spans_of

LINES = [f"- {n} * 10 = {n * 10}, {n * 10} - 7 = {n * 10 - 7}, not 65." for n in range(1, 40)]


def at(text: str, word: str) -> Span:
    return Span(text.index(word), text.index(word) + len(word))


def test_a_quote_begins_with_a_sentence_and_holds_the_line_that_solves() -> None:
    middle = "\n".join(LINES)
    text = f"{middle}\nNo, that is not it.\nWait, what about these?\n{middle}\n- 55 + 36 = 91, 91 - 26 = 65. Yes!\n"
    text += middle
    found = quote(text, at(text, "Wait"), at(text, "91 - 26"))
    assert found.startswith(
        "… - 39 * 10 = 390, 390 - 7 = 383, not 65.\nNo, that is not it.\nWait, what about these?\n- 1 *"
    )
    assert found.endswith("not 65. … - 55 + 36 = 91, 91 - 26 = 65. Yes! …")
    assert len(found) < 500


def test_a_thought_that_fits_is_quoted_whole() -> None:
    text = "55 + 7 = 62. Wait, 55 + 36 - 7 - 19 = 65."
    assert quote(text, at(text, "Wait"), at(text, "55 + 36")) == text


def test_what_stands_beside_the_cue_is_joined_without_an_ellipsis() -> None:
    text = f"{'a b. ' * 40}Wait, {'x y ' * 39}z.\n55 + 10 = 65.\nDone. {'c d. ' * 40}"
    found = quote(text, at(text, "Wait"), at(text, "55 + 10"))
    assert found.count("…") == 2
    assert found.endswith("z.\n55 + 10 = 65. …")


def test_chinese_is_cut_at_its_own_sentences() -> None:
    text = "不对。" * 60 + "突然想到，可以用括号。" + "再试一次。" * 60 + "所以 55 + 10 = 65。" + "完成。" * 60
    found = quote(text, at(text, "突然想到"), at(text, "55 + 10"))
    assert found.startswith("… 不对。")
    assert found.endswith("再试一次。 … 所以 55 + 10 = 65。 …") or ("… " in found and "所以 55 + 10 = 65。" in found)


def test_the_cue_can_be_found_again_in_its_quote() -> None:
    text = "No. Wait, 1. " * 30 + "\nWait, 55 + 10 = 65."
    cue = Span(text.rindex("Wait"), text.rindex("Wait") + 4)
    before, word, behind = quote(text, cue).partition("Wait")
    assert (word, behind) == ("Wait", ", 55 + 10 = 65.")
    assert before.strip(" …\n") in ("", "1.", ", 1.")


def test_every_true_aha_is_quoted_with_the_sum_that_ends_in_the_target() -> None:
    for n_before in range(0, 40, 3):
        for n_between in range(0, 40, 3):
            thought = "\n".join([*LINES[:n_before], "55 + 7 = 62.", "Wait, again:", *LINES[:n_between]])
            thought += "\n- 55 + 36 = 91, 91 - 7 = 84, 84 - 19 = 65. Yes!\nCheck."
            text = f"{thought}</think><answer>55 + 36 - 7 - 19</answer>"
            for aha in find_ahas([{"generation": text, "nums": [55, 36, 7, 19], "target": 65}]):
                assert not aha.solved or "84 - 19 = 65" in aha.excerpt
                assert aha.cue in aha.excerpt


BITS = ["word ", "Wait", "12 ", ". ", "\n", "。", "，", "a" * 90, "突然", "! ", "3.5 ", "x"]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from(BITS), max_size=60).map("".join), st.lists(st.sampled_from(BITS), max_size=90).map("".join)
)
def test_no_quote_begins_or_ends_within_a_word(before: str, behind: str) -> None:
    text = f"{before} CUE {behind} SOLVED"
    cue, solved = at(text, "CUE"), at(text, "SOLVED")
    spans = spans_of(text, cue, solved)
    assert spans[0].start <= cue.start < cue.end <= spans[0].end
    assert spans[-1].end >= solved.end
    for span in spans:
        start_inside = (
            span.start > 0
            and text[span.start - 1 : span.start + 1].isascii()
            and text[span.start - 1 : span.start + 1].isalnum()
        )
        end_inside = (
            text[span.end - 1 : span.end + 1].isascii()
            and len(text[span.end - 1 : span.end + 1]) == 2
            and text[span.end - 1 : span.end + 1].isalnum()
        )
        assert not start_inside
        assert not end_inside or span.end - span.start > 160
