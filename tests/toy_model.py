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
    "en": " We need 65.\nTry 55 + 7 = 62. Left: 62, 36, 19.\n- 36 - 19 = 17. Left: 62, 17.\n62 + 17 = 79. No.\n"
    "62 - 17 = 45. No.\nTry <b>55 + 36</b> = 91. Left: 91, 7, 19.\n- 91 - 7 = 84. Left: 84, 19.\n84 - 19 = 65. Yes!"
    f"</think>\n<answer> {ANSWER} </answer>",
    "zh": " 目标是65。\n试试 55 + 36 = 91。剩下:91, 7, 19。\n- 91 - 7 = 84。剩下:84, 19。\n84 - 19 = 65。找到了!"
    f"</think>\n<answer> {ANSWER} </answer>",
}


def write_model(base: Path) -> Path:
    """The model's folder below ``base``, made on the first call (seconds) and found by later ones."""
    folder = base / "toy_model"
    if not folder.exists():
        tokenizer = train_tokenizer(_prompts(None) * 2, 420)
        model = _learn(tokenizer)
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
    """Train until the completions come out at temperature 1."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=1024,
            bos_token_id=None,
            eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
            pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        )
    )
    examples = [
        _example(tokenizer, prompt, f"{completion}{tokenizer.eos_token}")
        for prompt, completion in zip(_prompts(tokenizer), COMPLETIONS.values(), strict=True)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    losses = [1.0]
    for _ in range(300):
        losses = [_step(model, optimizer, *example) for example in examples]
        if max(losses) < 0.003:
            return model
    raise AssertionError(f"the toy model did not learn its puzzle: {losses}")


def _example(tokenizer: PreTrainedTokenizerFast, prompt: str, completion: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels of shape (1, tokens); the prompt is not learned."""
    question, reply = tokenizer(prompt)["input_ids"], tokenizer(completion)["input_ids"]
    return torch.tensor([question + reply]), torch.tensor([[-100] * len(question) + reply])


def _step(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, ids: torch.Tensor, labels: torch.Tensor) -> float:
    loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()
