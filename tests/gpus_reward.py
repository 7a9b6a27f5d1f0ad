"""A reward that notes which GPUs the training process was given, beside the notes of the stand-in for vLLM."""

from __future__ import annotations

import os
from pathlib import Path

from countdown_r1.train.timeline import METERED


def noted(completions: list[str], **_: object) -> list[float]:
    """Rewards that differ; the notes are the visible GPUs and those whose energy counts."""
    given = [os.environ["CUDA_VISIBLE_DEVICES"], os.environ[METERED]]
    Path(os.environ["STAND_IN_NOTES"]).with_suffix(".train").write_text("\n".join(given))
    return [float(len(text) % 2) + 0.5 for text in completions]
