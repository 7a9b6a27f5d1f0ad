"""A byte-level BPE for the small model: digits stay single, whole phrases become one token.

Text is cut before and after every digit and nowhere else, so that merges run across words; a trace of a
few hundred characters takes about a hundred tokens, and a number is always spelled digit by digit. The chat
template is ChatML. ``<think>`` and ``<answer>`` are ordinary tokens: special ones are stripped when a
trainer decodes completions, and the reward would never see them.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ..game.answer import ANSWER, END_ANSWER, END_THINK, THINK

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Learn ``vocab_size`` tokens from prompts and traces.

    The result survives ``save_pretrained`` and ``AutoTokenizer.from_pretrained`` beside a Llama config with
    identical ids.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"[0-9]"), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tags = [AddedToken(tag, special=False, normalized=False) for tag in (THINK, END_THINK, ANSWER, END_ANSWER)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(tags),
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=400,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_pieces(texts), trainer)
    tokenizer.add_tokens(tags)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _pieces(texts: Iterable[str]) -> Iterable[str]:
    """Texts cut at the tags, so that no merge runs across one."""
    for text in texts:
        for tag in (THINK, END_THINK, ANSWER, END_ANSWER, START, END):
            text = text.replace(tag, "\0")  # noqa: PLW2901
        yield from (piece for piece in text.split("\0") if piece)
