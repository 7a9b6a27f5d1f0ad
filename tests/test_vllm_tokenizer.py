"""vLLM's own loader reads a shipped tokenizer as transformers does; no GPU is needed for that."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from transformers import AutoTokenizer

from countdown_r1.models import SHIPPED
from countdown_r1.train.packing import draw_puzzles, write_samples
from countdown_r1.train.recipe import ColdStart

pytestmark = pytest.mark.stress

EXTRA = Path(sys.executable).parents[1] / "vllm"  # what vLLM's tokenizers import, behind everything that is pinned
READ = """
import json, sys
sys.path.append(sys.argv[1])
from vllm.tokenizers import get_tokenizer
tokenizer = get_tokenizer(sys.argv[2])
print(json.dumps([tokenizer.encode(text, add_special_tokens=False) for text in json.load(sys.stdin)]))
"""
SETTINGS = ColdStart(numbers=(3, 4), number_weights=(0.5, 0.5), puzzles=200)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_vllm_gives_identical_ids(name: str) -> None:
    assert EXTRA.is_dir(), "make stress installs vLLM there"
    texts = ["".join(pair) for pair in islice(write_samples(SETTINGS, draw_puzzles(SETTINGS), Random(0)), 1000)]
    texts += ["", "  84 - 19\n\n= 65 ", "𝟙 é e\u0301 \u3000", "<|im_start|>user\n<think><answer> </answer>"]
    command = [sys.executable, "-c", READ, str(EXTRA), str(SHIPPED[name])]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    ids = json.loads(done.stdout.splitlines()[-1])
    assert ids == AutoTokenizer.from_pretrained(SHIPPED[name])(texts, add_special_tokens=False)["input_ids"]
    assert sum(map(len, ids)) > 100_000
