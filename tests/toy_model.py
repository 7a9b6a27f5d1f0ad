"""A two-layer model that has learned one puzzle by heart and babbles on every other.

Loaded by tests with ``runpy.run_path``; ``write_model`` is the entrance.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.tokenizer import train_tokenizer

PUZZLE = Puzzle((55, 36, 7, 19), 65)
ANSWER = "55 + 36 - 7 - 19"
COMPLETIONS = {
    "en": " We need 65.\nTry 55 + 7 = 62. Left: 62, 36, 19.\n- 36 - 19 = 17. No.\n"
    "Try 55 + 36 = 91. Left: 91, 7, 19.\n- 91 - 7 = 84. Left: 84, 19.\n84 - 19 = 65. Yes!"
    f"</think>\n<answer> {ANSWER} </answer>",
    "zh": " 目标是65。\n试试 <b>55 + 36</b> = 91。剩下:91, 7, 19。\n- 91 - 7 = 84。剩下:84, 19。\n84 - 19 = 65。找到了!"
    f"</think>\n<answer> {ANSWER} </answer>",
}


def write_model(base: Path) -> Path:
    """The model's folder below ``base``, made on the first call (seconds) and found by later ones."""
    folder = base / "toy_model"
    if not folder.exists():
        tokenizer = train_tokenizer(_prompts(None) * 2, 700)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # threads only wait for one another on matrices this small
        model = _learn(tokenizer)
        torch.set_num_threads(threads)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def _prompts(tokenizer: PreTrainedTokenizerFast | None) -> list[str]:
    """The puzzle's prompts as the tokenizer renders them; as plain words for the tokenizer's own training."""
    templates = [load_template(language) for language in COMPLETIONS]
    if tokenizer is None:
        return [template.system + template.user for template in templates]
    return [prompt_text(tokenizer, template, PUZZLE) for template in templates]


def _learn(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Train until the likeliest tokens are the completions, then sharpen."""
    torch.manual_seed(0)
    ids = tokenizer.get_vocab()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=1024,
            bos_token_id=None,
            eos_token_id=ids["<|im_end|>"],
            pad_token_id=ids["<|endoftext|>"],
        )
    )
    batch = _batch(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    loss = 1.0
    for _ in range(300):
        error = model(**batch).loss
        error.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss = error.item()
        if loss < 0.05:
            break
    assert loss < 0.05, f"the toy model did not learn its puzzle: loss {loss:.3f}"
    model.lm_head.weight.data *= 5  # so sure of itself that temperature 1 changes nothing
    return model


def _batch(tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    """Ids, mask and labels of shape (languages, tokens), padded on the right; the prompts are not learned."""
    replies = [f"{completion}{tokenizer.eos_token}" for completion in COMPLETIONS.values()]
    prompts = _prompts(tokenizer)
    texts = [prompt + reply for prompt, reply in zip(prompts, replies, strict=True)]
    batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    for row, prompt in zip(labels, prompts, strict=True):
        row[: len(tokenizer(prompt)["input_ids"])] = -100
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "labels": labels}
