"""Whether a model's tokenizer still is the one that it was trained with.

A changed tokenizer ruins a run without a word: prompts reach the model in pieces it has never seen, or tags that
the reward looks for vanish when completions are decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from ..errors import StageError

TRACES = {
    "en": " We need 65 from 55, 36, 7, 19.\nTry (55 + 36) * 1 = 91. Left: 91, 7, 19.\n- 91 / 7 = 13. Wait,\n"
    "91 - 7 = 84, 84 - 19 = 65.</think>\n<answer> 55 + 36 - 7 - 19 </answer>",
    "zh": "目标是65,给定55, 36, 7, 19。\n尝试1: (55 + 36) * 1 = 91\n- 91 / 7 = 13,突然意识到\n"
    "91 - 7 = 84, 84 - 19 = 65</think>\n<answer> 55 + 36 - 7 - 19 </answer>",
}
_FIRST_TOKENS = 3  # in which a space put before the text may show
_SHOWN = 24


def check_tokenizer(
    tokenizer: PreTrainedTokenizerBase, folder: Path, prompts: Iterable[str], languages: Iterable[str]
) -> None:
    """Raise ``StageError`` when a prompt or a sample completion does not survive encoding and decoding.

    Spaces at the start and beside special tokens are not compared: SentencePiece adds them and harms nothing.
    Completions are decoded without special tokens, as everywhere, so a tag that is one is found too.
    """
    traces = [TRACES[language] for language in dict.fromkeys(languages) if language in TRACES]
    specials = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    for text, skip in [*((trace, True) for trace in traces), *((prompt, False) for prompt in prompts)]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        back = str(tokenizer.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False))
        _compare(text, back, specials, folder)
    for trace in traces:
        _compare_with_file(tokenizer, folder, trace)


def _compare(text: str, back: str, specials: Sequence[str], folder: Path) -> None:
    asked, given = _bare(text, specials), _bare(back, specials)
    if asked == given:
        return
    place = next((i for i, (a, b) in enumerate(zip(asked, given, strict=False)) if a != b), min(len(asked), len(given)))
    shown = slice(max(0, place - _SHOWN // 2), place + _SHOWN // 2)
    raise StageError(
        f"{folder}: the tokenizer does not give back the text it is given: {asked[shown]!r} became {given[shown]!r}; "
        "save the model with the tokenizer it was trained with and tags as ordinary tokens, or ask in one --language"
    )


def _bare(text: str, specials: Sequence[str]) -> str:
    """The text without spaces at its start and beside special tokens."""
    beside = "|".join(map(re.escape, specials))
    return (re.sub(f" ?({beside}) ?", r"\1", text) if specials else text).lstrip(" ")


def _compare_with_file(tokenizer: PreTrainedTokenizerBase, folder: Path, text: str) -> None:
    """``AutoTokenizer`` may build a tokenizer of its own from a saved one's words: the file says what was saved.

    It does so beside a ``qwen2`` configuration, whose pre-tokenizer replaces that of the file.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return
    saved = Tokenizer.from_file(str(path))
    saved.no_truncation()
    saved.no_padding()
    there, here = (
        saved.encode(text, add_special_tokens=False).ids,
        tokenizer(text, add_special_tokens=False)["input_ids"],
    )
    if there[_FIRST_TOKENS:] != here[len(here) - len(there) + _FIRST_TOKENS :] or abs(len(there) - len(here)) > 1:
        raise StageError(
            f"{folder}: transformers reads another tokenizer than the one in tokenizer.json: a sample has {len(here)} "
            f"tokens instead of {len(there)}; save the model with a model_type that keeps it, such as llama"
        )
