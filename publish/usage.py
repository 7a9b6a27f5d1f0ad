"""The code on a card that poses one puzzle exactly as the evaluation did."""

from __future__ import annotations

import json
from pathlib import Path

from ..build_dataset.prompt import Template
from .checkpoints import Run
from .transcripts import Transcript, fence

TEMPLATE = Path(__file__).parent / "templates" / "snippet.py.txt"


def snippet(run: Run, repo: str, revision: str, template: Template, example: Transcript | None) -> str:
    """Python that loads ``repo`` at ``revision``, poses the puzzle of ``example`` in the words of
    ``template`` with the evaluation's and sampling values, and reads the answer as the evaluation did."""
    nums, target = (list(example.nums), example.target) if example else ([19, 36, 55, 7], 65)
    decoding = run.summary.get("decoding") or {}
    temperature = decoding.get("temperature", 1.0)
    sampling = f"do_sample=True, temperature={temperature}, top_k=0, top_p=1.0" if temperature else "do_sample=False"
    values = {"repo": repo, "revision": revision, "nums": nums, "target": target, "sampling": sampling}
    values |= {"max_new_tokens": decoding.get("max_new_tokens", 320)}
    values |= _prompt_lines(template, run.best.folder)
    lines = TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        lines = lines.replace(f"<<{name}>>", str(value))
    return fence(lines.rstrip(), "python")


def _prompt_lines(template: Template, folder: Path) -> dict[str, str]:
    """The template's texts as Python literals, and the expression that renders them for this tokenizer."""
    values = {name: json.dumps(getattr(template, name), ensure_ascii=False) for name in ("system", "user")}
    config = folder / "tokenizer_config.json"
    has_template = (folder / "chat_template.jinja").is_file() or (
        config.is_file() and "chat_template" in json.loads(config.read_text(encoding="utf-8"))
    )
    chat = "tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)"
    turns = chat if has_template else '"".join(turn["content"] + "\\n\\n" for turn in turns)'
    return values | {"rendered": f"{turns} + {json.dumps(template.assistant_prefix, ensure_ascii=False)}"}
