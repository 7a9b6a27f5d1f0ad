"""A model that writes one text over and over, whatever it is asked: endless or broken tags, for one.

Loaded by tests with ``runpy.run_path``; ``write_parrot`` is the entrance. Its layers add nothing, each token's vector
says which token it is, and the head answers with the one that comes next.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

CERTAIN = 100.0


def write_parrot(tokenizer_of: Path, text: str, out: Path) -> Path:
    """The model in ``out``, with the tokenizer of that folder; ``text`` must use no token twice."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(set(ids)) == len(ids), tokenizer.convert_ids_to_tokens(ids)
    size = -(-(len(ids) + 1) // 8) * 8
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=2560,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_() if parameter.ndim == 2 else parameter.fill_(1.0)
        said = torch.eye(size)
        model.model.embed_tokens.weight += said[len(ids)]  # every other token begins the text
        for place, token in enumerate(ids):
            model.model.embed_tokens.weight[token] = said[place]
            model.lm_head.weight[token] = CERTAIN * said[place - 1 if place else len(ids) - 1]
        model.lm_head.weight[ids[0]] += CERTAIN * said[len(ids)]
    model.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer_of / name, out / name)
    return out
