"""The cold start: next-token training of a small Llama on synthetic search traces, in one process.

DeepSeek-R1 (arXiv 2501.12948) starts its RL from a model that has seen a little long-form reasoning; a model with
random weights needs the same, or no completion would ever be rewarded. Only puzzles of the ``train`` split are used.

The loop is plain PyTorch: bfloat16, one compiled loss with attention inside samples (FlexAttention), Muon for matrices
(Jordan et al., 2024; scaled as in arXiv 2502.16982) and AdamW for the rest. It can stop at any minute and go on from
weights alone; the optimisers then start anew with a short warm-up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, create_mask, flex_attention
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from .. import manifest, models
from ..errors import InputError, StageError
from .cold_check import HeldOut
from .generation import token_id
from .llama import forward_hidden, forward_layer, is_plain_llama, rotations
from .packing import IGNORED, Batch, TraceRows, draw_puzzles, write_samples
from .recipe import LARGEST_VOCABULARY, ColdStart
from .saving import rehearsed, save_parts
from .timeline import joules
from .tokenizer import train_tokenizer

TOKENIZER_TEXTS = 6_000
WARM_UP_STEPS = 50
STEADY = 0.4  # share of the training before the learning rate begins to fall
METRICS = "cold_start.jsonl"
_RESUME = "resume"  # folder of float32 weights and progress, while a run is not finished

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass
class Progress:
    """How far a cold start has come, over all sittings.

    ``seconds`` are those of training alone; in ``waited`` of them no batch was ready: more ``workers`` would help.
    """

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    sittings: int = 0

    def share(self, settings: ColdStart) -> float:
        """From 0 at the start to 1 at the end."""
        return self.seconds / (60 * settings.minutes) if settings.minutes else self.steps / settings.steps


def cold_start(settings: ColdStart, out: Path, *, overwrite: bool = False, command: str = "") -> manifest.Manifest:
    """Train and write model, tokenizer, ``cold_start.jsonl`` and manifest to ``out``.

    An interrupted run leaves ``OUT.partial``, and the same settings go on from the last weights there. Raises
    ``StageError`` when ``sitting_minutes`` ended it.
    """
    began, energy = time.monotonic(), joules()
    with manifest.stage_folder(out, overwrite, keep_partial=True) as folder:
        progress = _claim(folder, settings)
        tables = draw_puzzles(settings)
        model, tokenizer = _prepared(folder, settings, tables)
        _set_generation(model, tokenizer)
        with rehearsed(folder) as place:
            save_parts(model.config, model.generation_config, tokenizer, place)
        trainer = _Trainer(settings, folder, model, tokenizer, tables, progress)
        trainer.run()
        save_model(model, tokenizer, folder)
        written = manifest.Manifest("cold_start", command, settings.seed, asdict(settings))
        written.results = {"parameters": model.num_parameters(), "tokens": progress.tokens, "steps": progress.steps}
        written.results |= {"train_loss": trainer.loss, "train_seconds": round(progress.seconds, 1)}
        written.results |= {"waited_seconds": round(progress.waited, 1)} | trainer.checked
        written.results["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        written.seconds = round(time.monotonic() - began, 1)
        if energy is not None and (now := joules()) is not None:
            written.results["energy_kwh"] = round((now - energy) / 3.6e6, 4)  # of the last sitting
        for file in (folder / _RESUME).iterdir():
            file.unlink()
        (folder / _RESUME).rmdir()
        manifest.write(folder, written)
    return written


def _claim(folder: Path, settings: ColdStart) -> Progress:
    """What was done in ``folder`` by the same settings; anything else there is removed."""
    record = folder / _RESUME / "progress.json"
    plain = asdict(replace(settings, sitting_minutes=0.0, workers=0))
    asked = json.loads(json.dumps(plain))
    with suppress(OSError, ValueError):
        saved = json.loads(record.read_text(encoding="utf-8"))
        if saved.pop("settings") == asked:
            return Progress(**saved)
    for leftover in (*folder.glob(f"{_RESUME}/*"), folder / METRICS):
        leftover.unlink(missing_ok=True)
    (folder / _RESUME).mkdir(exist_ok=True)
    return Progress()


def _prepared(folder: Path, settings: ColdStart, tables: list[Any]) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Model and tokenizer to train: those of an interrupted run, of ``settings.start``, or new ones."""
    saved = folder / _RESUME / "weights.safetensors"
    begun = models.local_folder(models.resolve(settings.start)) if settings.start else None
    tokenizer: Any
    if saved.exists() or begun:
        tokenizer = AutoTokenizer.from_pretrained(folder / _RESUME if saved.exists() else begun)
    else:
        texts = islice(write_samples(settings, tables, Random(settings.seed)), TOKENIZER_TEXTS)
        tokenizer = train_tokenizer(("".join(pair) for pair in texts), settings.vocab_size)
    model: Any = None
    if begun:
        known, _ = models.generation_settings(begun)
        model = AutoModelForCausalLM.from_pretrained(begun, dtype=torch.float32, generation_config=known)
    if model and not (is_plain_llama(model) and len(tokenizer) <= LARGEST_VOCABULARY):
        raise InputError(
            f"section 'cold_start', key 'start': {settings.start} is no Llama without extras and with at most "
            f"{LARGEST_VOCABULARY:,} tokens, which is all that this loop trains; GRPO takes other models as 'base'"
        )
    model = model or build_model(settings, tokenizer)
    if saved.exists():
        model.load_state_dict(load_file(saved), strict=False)  # tied weights are saved once
        model.tie_weights()
    tokenizer.save_pretrained(folder / _RESUME)
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def build_model(settings: ColdStart, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with random weights: its tokenizer survives ``AutoTokenizer``, unlike that of a Qwen2 config."""
    config = LlamaConfig(
        vocab_size=settings.vocab_size,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads,
        max_position_embeddings=settings.max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=token_id(tokenizer, "eos_token"),
        pad_token_id=token_id(tokenizer, "pad_token"),
    )
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(config)


class _Trainer:
    """The loop and what it needs; ``loss`` and ``checked`` hold the newest measurements."""

    def __init__(
        self,
        settings: ColdStart,
        folder: Path,
        model: LlamaForCausalLM,
        tokenizer: PreTrainedTokenizerFast,
        tables: list[Any],
        progress: Progress,
    ) -> None:
        self.settings, self.folder, self.model, self.progress = settings, folder, model, progress
        sitting = f"{settings.start or ''}{progress.steps}"
        rows = TraceRows(settings, tokenizer, tables, sitting)
        self.batches = DataLoader(rows, batch_size=None, num_workers=settings.workers, pin_memory=self.on_gpu)
        self.loss_of = training_loss(model, settings.row_tokens)
        self.optimisers = _optimisers(model, settings)
        self.held_out = HeldOut(settings, tokenizer)
        self.loss, self.checked = 0.0, {}

    @property
    def on_gpu(self) -> bool:
        return self.model.device.type == "cuda"

    def run(self) -> None:
        """Train until the end, or until the sitting's. Raises ``StageError`` for the latter."""
        settings, progress = self.settings, self.progress
        begun, sat, checked_at, first = progress.seconds, time.monotonic(), progress.seconds, progress.steps
        with tqdm(total=100, desc="cold start", unit="%", initial=round(100 * progress.share(settings))) as bar:
            for batch in self._timed(self.batches):
                if progress.share(settings) >= 1:
                    break
                losses = self._step(batch, progress.steps - first)
                if self.on_gpu and progress.steps == first:
                    losses.item()
                    sat = time.monotonic()  # compiling is no training
                progress.steps += 1
                progress.tokens += batch["input_ids"].numel()
                if progress.steps % 10 == 0 or not self.on_gpu:
                    self.loss = round(float(losses), 4)
                progress.seconds = begun + time.monotonic() - sat
                if progress.seconds - checked_at >= 60 * settings.check_minutes and progress.share(settings) < 1:
                    sat += self._check()  # the clock of training stands still meanwhile
                    checked_at = progress.seconds
                bar.n = min(100, round(100 * progress.share(settings)))
                bar.set_postfix(loss=f"{self.loss:.3f}", refresh=False)
                bar.update(0)
                rested = settings.sitting_minutes and time.monotonic() - sat >= 60 * settings.sitting_minutes
                if rested and progress.share(settings) < 1:
                    self._check()
                    raise StageError(
                        f"{progress.share(settings):.0%} of the cold start is done; run the same command again to go on"
                    )
        self._check()

    def _timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """``batches``; the time until each is there counts as waited, but for the first, for which workers start."""
        asked = None
        for batch in batches:
            self.progress.waited += time.monotonic() - asked if asked else 0.0
            yield batch
            asked = time.monotonic()

    def _step(self, batch: Batch, step: int) -> Tensor:
        """One update; returns the loss, still on the device."""
        rate = self.settings.learning_rate * self._schedule(step)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
        device = self.model.device
        ids, labels, positions = (
            batch[name].to(device, non_blocking=True).long() for name in ("input_ids", "labels", "positions")
        )
        loss = self.loss_of(ids, labels, positions)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    def _schedule(self, step: int) -> float:
        """Share of the peak learning rate: a warm-up in every sitting, then steady, then a straight fall to 0."""
        left = max(0.0, 1 - self.progress.share(self.settings))
        return min(1.0, (step + 1) / WARM_UP_STEPS) * min(1.0, left / (1 - STEADY))

    def _check(self) -> float:
        """Measure on held-out puzzles, save what a next sitting needs. Returns the seconds that it took."""
        began = time.monotonic()
        self.checked = self.held_out.measure(self.model, self.loss_of)
        rounded = {name: round(getattr(self.progress, name), 1) for name in ("seconds", "waited")}
        progress = asdict(self.progress) | rounded
        line = progress | {"loss": self.loss} | self.checked
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        tqdm.write("  ".join(f"{key} {value}" for key, value in line.items()))
        self._save(progress)
        return time.monotonic() - began

    def _save(self, progress: dict[str, Any]) -> None:
        """Weights first, then the progress that vouches for them, each written beside and renamed."""
        place = self.folder / _RESUME
        settings = asdict(replace(self.settings, sitting_minutes=0.0, workers=0))
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.model.named_parameters()}
        save_file(tensors, place / "weights.writing")
        (place / "weights.writing").rename(place / "weights.safetensors")
        text = json.dumps(progress | {"sittings": self.progress.sittings + 1, "settings": settings})
        manifest.write_whole(place / "progress.json", text)


def training_loss(model: PreTrainedModel, row_tokens: int) -> Loss:
    """The mean loss of packed rows as a function of ids, labels and positions, each (rows, row_tokens).

    Samples are told apart by their positions, which begin at 0. On a GPU one layer is compiled and serves all.
    """
    on_gpu = model.device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    cos, sin = (table.to(dtype) for table in rotations(model, row_tokens))
    compiled: Any = torch.compile if on_gpu else lambda function: function
    run, close, make_mask = map(compiled, (_masked_layer, _mean_loss, create_block_mask if on_gpu else create_mask))

    def loss(ids: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        samples = (positions == 0).cumsum(dim=1)

        def same_sample(row: Tensor, head: Tensor, asking: Tensor, asked: Tensor) -> Tensor:
            return (asking >= asked) & (samples[row, asking] == samples[row, asked])

        rows, length = ids.shape
        mask = make_mask(same_sample, rows, None, length, length, device=ids.device)
        turns = cos[positions][:, None], sin[positions][:, None]
        with torch.autocast("cuda", dtype, enabled=on_gpu):
            hidden = forward_hidden(model, ids, dtype, lambda _, layer, x: run(layer, x, *turns, mask))
            return close(hidden, model.lm_head.weight, labels)  # pyright: ignore[reportAttributeAccessIssue]

    return loss


def _masked_layer(layer: Any, x: Tensor, cos: Tensor, sin: Tensor, mask: Any) -> Tensor:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if isinstance(mask, Tensor):  # on a CPU, where FlexAttention has no backward pass
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        return flex_attention(q, k, v, block_mask=mask, enable_gqa=True)  # pyright: ignore[reportReturnType]

    return forward_layer(layer, x, cos, sin, attend)


def _mean_loss(hidden: Tensor, vectors: Tensor, labels: Tensor) -> Tensor:
    logits = F.linear(hidden[:, :-1], vectors)
    return F.cross_entropy(logits.flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED)


def _optimisers(model: PreTrainedModel, settings: ColdStart) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside layers, AdamW for embedding and norms."""
    inside = [value for name, value in model.named_parameters() if value.ndim == 2 and ".layers." in name]
    chosen = {id(value) for value in inside}
    others = [value for value in model.parameters() if id(value) not in chosen]
    fused = model.device.type == "cuda"
    return [
        torch.optim.Muon(inside, lr=settings.learning_rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=fused),
    ]


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Weights in bfloat16, configuration and tokenizer, as ``from_pretrained`` and vLLM read them."""
    model.config.use_cache = True  # the trainer turns it off for its own passes
    model.to(torch.bfloat16).save_pretrained(folder)  # pyright: ignore[reportArgumentType]
    tokenizer.save_pretrained(folder)


def _set_generation(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
