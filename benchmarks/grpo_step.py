"""Seconds of one GRPO update of a 3B model: the Mini-R1 article's layout against ours, taken apart; QLoRA; scaling.

The model has Qwen2.5-3B's shape and random weights, the tokenizer is ours padded up to its vocabulary; nothing is
downloaded. An update is 192 completions of 1,024 tokens each, the worst case. Every command is one measurement,
starts its own processes, ends within ``--budget`` seconds, and writes OUT/NAME.json after every step, so that what
was measured stays when it is cut short. On N GPUs of one machine:

    python benchmarks/grpo_step.py step --layout ours --gpus 2           colocated vLLM, beta 0 (qwen2.5-3b-fast)
    python benchmarks/grpo_step.py step --layout article --gpus 2        ZeRO-3 on N-1 GPUs + a server, micro-batch 1:
                                                                         minutes a step, so --steps 0 --budget 420
    python benchmarks/grpo_step.py step --layout article-best --gpus 2 --micro-batch 16,8,4
    python benchmarks/grpo_step.py step --layout ours --gpus 1           scaling 1 -> 2, with the first line
    python benchmarks/grpo_step.py update --gpus 2 --micro-batch 4       the update alone, without vLLM: soon done
    python benchmarks/grpo_step.py qlora                                 one GPU held to 24 GiB
    python benchmarks/grpo_step.py table                                 all of OUT as a table

``--micro-batch 16,8,4`` takes the first that fits. ``--set grpo.KEY=VALUE`` or ``launch.sharding=fsdp2`` changes the
recipe, ``--steps`` the measured steps after one that warms up (0 measures that one), ``--toy`` makes everything small
enough for a CPU (random tokens stand in for vLLM). The model is written to ``--model`` (6 GB, seconds on a GPU) when
it is not there. One GPU runs the same sharding as several, so that scaling compares the same arithmetic; two commands
of one GPU each run side by side when ``CUDA_VISIBLE_DEVICES`` names another one for each. ``--profile`` writes
OUT/NAME.profile.txt: what three micro-batches of the last step spend their time on. ``update --spread`` draws each
completion's length between an eighth and all of 1,024 tokens, more like those of a model that learns; with and without
``--stock`` that shows what leaving out the padding saves.
Starting vLLM takes a minute or more: with little time, begin with ``update``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from countdown_r1.train.recipe import Recipe

HERE = Path(__file__).resolve().parent
LAYOUTS = {"ours": "qwen2.5-3b-fast", "article": "qwen2.5-3b-en", "article-best": "qwen2.5-3b-en"}
PORT = 8765
QUIET = {
    "NCCL_NVLS_ENABLE": "0",  # NVLink multicast stays off
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this ends what it started, too
    options = _options()
    if options.command == "table":
        print(table(options.out))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.model / "config.json").exists():
        # In a process of its own, since this one would keep 6 GB of the first GPU to its end.
        partial = options.model.with_name(options.model.name + ".partial")
        writer = multiprocessing.get_context("spawn").Process(target=write_model, args=(partial, options.toy))
        writer.start()
        writer.join()
        if writer.exitcode:
            sys.exit(f"{options.model} could not be written")
        partial.rename(options.model)
    tried = []
    for micro_batch in options.micro_batch:
        name = "-".join(filter(None, [options.command, options.layout, f"{options.gpus}gpu", f"mb{micro_batch}"]))
        tried.append(measure(options, name, micro_batch))
        if tried[-1] != "out of memory":
            break
    print(json.dumps(dict(zip(map(str, options.micro_batch), tried, strict=False))))
    sys.exit(0 if tried[-1] == "measured" else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["step", "update", "qlora", "table"])
    parser.add_argument("--layout", choices=list(LAYOUTS), default="ours")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--micro-batch", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--steps", type=int, help="measured ones after one that warms up [default: 2, qlora 1]")
    parser.add_argument("--budget", type=float, default=280, help="seconds for the whole measurement")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir(), "grpo-step-model"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "grpo_step")
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--spread", action="store_true")
    parser.add_argument("--stock", action="store_true", help="TRL's own trainer; the article's layouts have it anyway")
    options = parser.parse_args()
    if options.steps is None:
        options.steps = 1 if options.command == "qlora" else 2
    if options.micro_batch is None:
        # By the memory that is left on 80 GB; whoever does not fit has started vLLM for nothing.
        whole = {1: [2], 2: [4, 2]}.get(options.gpus, [8, 4, 2])
        kept = [1] if options.layout == "article" else whole if options.layout == "ours" else [8, 4, 2]
        options.micro_batch = [2] if options.command == "qlora" else kept
    if options.command == "qlora":
        options.layout = ""
    return options


def write_model(folder: Path, toy: bool) -> None:
    """Random weights of Qwen2.5-3B's shape in bfloat16, and our tokenizer with words that no text ever uses."""
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    from countdown_r1 import models
    from countdown_r1.train.generation import token_id

    sizes = (64, 2, 4, 2, 128, 1200) if toy else (2048, 36, 16, 2, 11008, 151936)
    hidden, layers, heads, kv_heads, intermediate, vocabulary = sizes
    own = json.loads((models.SHIPPED["tiny"] / "tokenizer.json").read_text(encoding="utf-8"))
    taken = len(own["model"]["vocab"]) + sum(t["content"] not in own["model"]["vocab"] for t in own["added_tokens"])
    own["model"]["vocab"] |= {f"<unused{place}>": place for place in range(taken, vocabulary)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "padded.json").write_text(json.dumps(own), encoding="utf-8")
    tiny, _ = _shipped_tokenizer()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "padded.json"), eos_token=tiny.eos_token, pad_token=tiny.pad_token
    )
    tokenizer.chat_template = tiny.chat_template
    tokenizer.save_pretrained(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        model = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=vocabulary,
                hidden_size=hidden,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                num_key_value_heads=kv_heads,
                intermediate_size=intermediate,
                tie_word_embeddings=True,
                max_position_embeddings=4096,
                bos_token_id=None,
                eos_token_id=token_id(tokenizer, "eos_token"),
                pad_token_id=token_id(tokenizer, "pad_token"),
            )
        )
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)


def _shipped_tokenizer() -> tuple[Any, Path]:
    from countdown_r1 import models

    return models.load_tokenizer(models.SHIPPED["tiny"]), models.SHIPPED["tiny"]


def measure(options: argparse.Namespace, name: str, micro_batch: int) -> str:
    """Run one configuration; 'measured', 'out of memory', 'out of time' or 'failed'. Its log lies beside the result."""
    from countdown_r1.train.memory import completions_per_update
    from countdown_r1.train.recipe import recipe_text

    began = time.monotonic()
    recipe = recipe_of(options, micro_batch)
    serving = (recipe.grpo or {}).get("vllm_mode") == "server"
    processes = options.gpus - serving
    scratch = Path(tempfile.mkdtemp(prefix="grpo-step-"))
    result, log = options.out / f"{name}.json", options.out / f"{name}.log"
    result.unlink(missing_ok=True)
    job = {
        "name": name,
        "layout": options.layout or options.command,
        "gpus": options.gpus,
        "completions": completions_per_update(recipe, options.gpus),
        "steps": options.steps + 1,
        "began": time.time(),
        "budget": options.budget,
        "random_tokens": options.command == "update" or (options.toy and options.command == "step"),
        "memory_gib": 24 if options.command == "qlora" else None,
        "profile": options.profile,
        "spread": options.spread,
        "stock": options.stock or options.layout.startswith("article"),
        "recipe": str(scratch / "recipe.yaml"),
        "scratch": str(scratch / "run"),
        "out": str(result),
    }
    (scratch / "recipe.yaml").write_text(recipe_text(recipe), encoding="utf-8")
    (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
    try:
        with log.open("w") as file, _server(options, serving, file) as server:
            gpus = _gpus(options)[:processes]
            status = _train(scratch / "job.json", gpus, file, began + options.budget, server)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    text = log.read_text(encoding="utf-8", errors="replace")
    log.write_text(text[-20_000:], encoding="utf-8")
    if status == 0:
        return "measured"
    if "out of memory" in text.lower() or "OutOfMemory" in text:
        result.unlink(missing_ok=True)
        return "out of memory"
    return "out of time" if status == -signal.SIGKILL else "failed"


def _gpus(options: argparse.Namespace) -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(place) for place in range(options.gpus)]


def recipe_of(options: argparse.Namespace, micro_batch: int) -> Recipe:
    """The shipped recipe on this machine's GPUs, a few steps of it, with completions that never end early."""
    from countdown_r1.train.layout import choose, placed
    from countdown_r1.train.memory import estimate, shape_of
    from countdown_r1.train.recipe import load_recipe

    shipped = "qwen2.5-3b-qlora" if options.command == "qlora" else LAYOUTS[options.layout]
    recipe = load_recipe(shipped, _changes(options, micro_batch))
    if options.command == "update":
        recipe = replace(recipe, launch=replace(recipe.launch, vllm="none"))
    shape, layout = shape_of(str(options.model)), choose(recipe)
    recipe = placed(recipe, layout, estimate(recipe, shape, layout.processes))
    grpo: dict[str, Any] = {**(recipe.grpo or {})}
    if options.toy:
        return replace(recipe, grpo=grpo | {"use_vllm": False, "vllm_enable_sleep_mode": False})
    if layout.vllm != "none":
        grpo |= {"generation_kwargs": {"ignore_eos": True}, "vllm_max_model_length": 1536}
    if layout.vllm == "server":
        grpo |= {"vllm_server_base_url": f"http://127.0.0.1:{PORT}", "vllm_server_timeout": options.budget}
    return replace(recipe, grpo=grpo)


def _changes(options: argparse.Namespace, micro_batch: int) -> list[str]:
    toy = ["grpo.max_completion_length=16", "launch.sharding=none", "launch.completions_per_update=16"]
    one = options.gpus == 1
    changes = [
        f"base={options.model}",
        f"grpo.max_steps={options.steps + 1}",
        "grpo.save_strategy='no'",
        "grpo.log_completions=false",
        "grpo.report_to=none",
        f"grpo.per_device_train_batch_size={micro_batch}",
        "launch.gpu_gib=null",
        f"launch.launcher={'local' if one else 'accelerate'}",
        f"launch.gpus_per_node={options.gpus}",
    ]
    if options.toy:
        changes += [*toy, "launch.gpu_gib=80", "grpo.num_generations=4" if options.layout else "grpo.num_generations=2"]
        changes += ["lora.bits=16"] if options.command == "qlora" else []
    return [*changes, *options.changes]


@contextmanager
def _server(options: argparse.Namespace, wanted: bool, log: Any) -> Iterator[subprocess.Popen[bytes] | None]:
    """vLLM on the last GPU while the body runs; it starts beside the trainer, which waits for it."""
    if not wanted or options.toy:
        yield None
        return
    flags = ["--weight-transfer-config", '{"backend":"nccl"}', "--logprobs-mode", "processed_logprobs"]
    flags += ["--max-logprobs", "-1", "--max-model-len", "1536", "--max-num-seqs", "192", "--port", str(PORT)]
    flags += ["--gpu-memory-utilization", "0.6"]  # more than 192 completions take; new weights need room of their own
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(options.model), *flags]
    last = {"CUDA_VISIBLE_DEVICES": _gpus(options)[options.gpus - 1]}
    environment = os.environ | QUIET | {"VLLM_SERVER_DEV_MODE": "1"} | last
    with _group(command, environment, log) as server:
        yield server


def _train(job: Path, gpus: list[str], log: Any, deadline: float, server: subprocess.Popen[bytes] | None) -> int:
    """Exit status of a process on each of ``gpus``; -9 when the deadline ended them, 1 when the server did not stay."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command = [*torchrun, "--nproc_per_node", str(len(gpus)), str(HERE / "grpo_worker.py"), str(job)]
    visible = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    engine = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "4"}  # the engine lives in these processes
    with _group(command, os.environ | QUIET | engine | visible, log) as training:
        while (status := training.poll()) is None and time.monotonic() < deadline:
            if server is not None and server.poll() is not None:
                return 1
            time.sleep(0.2)
        return -signal.SIGKILL if status is None else status


@contextmanager
def _group(command: list[str], environment: dict[str, str], log: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A command of which nothing outlives the body."""
    from countdown_r1.train.launch import kill_all

    started = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield started
    finally:
        kill_all(started)


def table(folder: Path) -> str:
    """Every result as a row, then how the fastest of each layout compare."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    names = ("total", "generate", "sync", "score", "other", "update")
    lines = [f"| run | steps | {' | '.join(names)} | utilisation | peak GiB |", "|---" * (len(names) + 4) + "|"]
    for name, result in results.items():
        seconds = " | ".join(f"{result['seconds'][part]:.1f}" for part in names)
        used = result["model_flops_utilisation"]
        peak = max((value for key, value in result.get("gib", {}).items() if key.endswith("_peak")), default="")
        counted = len(result["steps"]) - 1 or "the first"
        lines.append(f"| {name} | {counted} | {seconds} | {'' if used is None else f'{used:.1%}'} | {peak} |")
    fastest: dict[tuple[str, int], dict[str, Any]] = {}
    for result in (result for name, result in results.items() if "step" in name):
        key = (result["job"]["layout"], result["job"]["gpus"])
        fastest[key] = min(result, fastest.get(key, result), key=lambda one: one["seconds"]["total"])
    for (layout, gpus), result in fastest.items():
        ours, alone = fastest.get(("ours", gpus)), fastest.get(("ours", 1))
        if layout != "ours" and ours:
            lines.append(f"ours is {_ratio(result, ours):.2f} times as fast as {layout} on {gpus} GPUs{_cold(result)}")
        if layout == "ours" and gpus > 1 and alone:
            lines.append(f"efficiency 1 -> {gpus} GPUs: {_ratio(alone, result) / gpus:.0%}")
    return "\n".join(lines)


def _ratio(slower: dict[str, Any], faster: dict[str, Any]) -> float:
    return slower["seconds"]["total"] / faster["seconds"]["total"]


def _cold(result: dict[str, Any]) -> str:
    return "" if len(result["steps"]) > 1 else " (by its first step)"


if __name__ == "__main__":
    main()
