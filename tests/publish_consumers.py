"""What others do with what was published: every consumer's own way of loading it, in a process of its own.

    python publish_consumers.py PLACE

Expects PLACE/toy to be there; publishes it, an adapter and a full model of another program, loads everything back,
and takes the run back at the end. What was seen is written to PLACE/consumers.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from publish_scenario import guard, namespace, repo_ids, run_publish, state


def main(place: Path) -> None:
    sys.addaudithook(guard)
    from countdown_r1.hub import connect

    hub = connect("rehearsal", data=place / "hub")
    published, _ = run_publish(place / "toy", hub)
    seen = {"model": published.model.id, "collection": collection(hub, published)}
    seen["transformers"] = transformers_rows(published.model.id)
    seen["datasets"] = datasets_rows(published)
    seen["snapshot"] = snapshot(published.model.id)
    seen["events"] = events(Path(seen["snapshot"]["folder"]))
    seen["adapter"] = adopted_adapter(place, hub)
    seen["full"] = adopted_model(place, hub)
    seen["unpublished"] = unpublished(place, hub)
    (place / "consumers.json").write_text(json.dumps(seen, indent=1))


def collection(hub: Any, published: Any) -> dict[str, Any]:
    found = hub.api.get_collection(published.collection)
    return {"title": found.title, "private": found.private, "items": [item.item_id for item in found.items]}


def transformers_rows(repo: str) -> dict[str, Any]:
    """Weights of a branch and of main, and a pipeline."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    loaded = {
        revision: AutoModelForCausalLM.from_pretrained(repo, revision=revision, dtype=torch.float32)
        for revision in ("main", "step-2", "step-4", "v1.0")
    }
    weights = {revision: model.lm_head.weight for revision, model in loaded.items()}
    tokens = len(AutoTokenizer.from_pretrained(repo, revision="step-4")("4 + 5 = 9").input_ids)
    generate = pipeline("text-generation", model=repo, revision="step-4")
    said: Any = generate("4 + 5 =", max_new_tokens=4, do_sample=False, return_full_text=False)
    return {
        "main is step-2": torch.equal(weights["main"], weights["step-2"]),
        "main is v1.0": torch.equal(weights["main"], weights["v1.0"]),
        "step-4 is another": not torch.equal(weights["main"], weights["step-4"]),
        "tokens": tokens,
        "pipeline": isinstance(said[0]["generated_text"], str),
        "generation config": loaded["step-4"].generation_config.eos_token_id is not None,
    }


def datasets_rows(published: Any) -> dict[str, Any]:
    import datasets as library

    datasets: Any = library

    datasets.config.USE_PARQUET_EXPORT = False
    load = datasets.load_dataset
    name = published.evaluation.id
    return {
        "zh": load(published.dataset.id, "zh", split="train").column_names,
        "records": [(row["verdict"], row["score"]) for row in load(name, "checkpoint-2", split="test")],
        "default": load(name, split="test")[0]["checkpoint"],
        "configs": datasets.get_dataset_config_names(name),
        "completions": load(published.completions.id, split="train").column_names,
    }


def snapshot(repo: str) -> dict[str, Any]:
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(repo, revision="v1.0"))
    return {"folder": str(folder), "files": sorted(path.name for path in folder.rglob("*") if path.is_file())}


def events(folder: Path) -> dict[str, Any]:
    """What TensorBoard reads out of the published events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (path,) = (folder / "runs").iterdir()
    read = EventAccumulator(str(path))
    read.Reload()
    values = [(event.step, event.value) for event in read.Scalars("train/reward")]
    return {"name": path.name, "values": values, "tags": read.Tags()["tensors"], "bytes": path.read_bytes().hex()}


def tiny_base(place: Path) -> Path:
    """The toy run's base model, by which adapters are made."""
    return place / "toy" / "model" / "base"


def adopted_adapter(place: Path, hub: Any) -> dict[str, Any]:
    """A PEFT adapter as peft saves it, whose base is a repository of the rehearsal Hub."""
    import torch
    from peft import AutoPeftModelForCausalLM, LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base_id = f"{namespace(hub)}/base-1b"
    hub.api.create_repo(base_id, private=True)
    hub.api.upload_folder(repo_id=base_id, folder_path=tiny_base(place))
    card = b"---\nlicense: other\nlicense_name: qwen-research\nlicense_link: LICENSE\n---\n# Base\n"
    hub.api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=base_id)
    made = get_peft_model(AutoModelForCausalLM.from_pretrained(base_id), LoraConfig(task_type="CAUSAL_LM"))
    folder = place / "my-adapter"
    made.save_pretrained(str(folder))
    (folder / "training_args.bin").write_bytes(b"private")
    named, _ = run_publish(folder, hub, adopt=True)
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace(base_id, "/somewhere/base"))
    nameless, _ = run_publish(folder, hub, adopt=True)
    config.write_text(config.read_text().replace("/somewhere/base", base_id))
    loaded = AutoPeftModelForCausalLM.from_pretrained(named.model.id)
    weights = {key: value for key, value in made.state_dict().items() if "lora" in key}
    same = all(torch.equal(loaded.state_dict()[key], value) for key, value in weights.items())
    return {
        "card": card_of(hub, named.model.id),
        "files": files(hub, named.model.id),
        "same": same,
        "nameless": nameless,
    }


def adopted_model(place: Path, hub: Any) -> dict[str, Any]:
    """What a trainer leaves: final weights, a checkpoint with optimizer state, a log, pickled arguments."""
    import shutil

    from transformers import AutoModelForCausalLM

    folder = place / "my-grpo"
    shutil.copytree(tiny_base(place), folder)
    shutil.copytree(tiny_base(place), folder / "checkpoint-7")
    log = [{"step": step, "loss": 0.5 / step, "reward": 0.1 * step} for step in range(1, 8)]
    log.append({"step": 7, "train_runtime": 12.5, "train_loss": 0.25})
    (folder / "checkpoint-7" / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", ".env"):
        (folder / "checkpoint-7" / name).write_bytes(b"private")
        (folder / name).write_bytes(b"private")
    published, lines = run_publish(folder, hub, adopt=True)
    AutoModelForCausalLM.from_pretrained(published.model.id, revision="step-7")
    again, _ = run_publish(folder, hub, adopt=True)
    repo = published.model.id
    found = {
        "card": card_of(hub, repo),
        "files": files(hub, repo),
        "branch": files(hub, repo, "step-7"),
        "lines": lines,
    }
    found["alone"] = [again.collection, [one.id for one in again.repos]]
    return found | {"same": again.model == published.model, "empty": run_publish(place / "hub", hub, adopt=True)[0]}


def card_of(hub: Any, repo: str) -> str:
    return Path(hub.api.hf_hub_download(repo, "README.md")).read_text()


def files(hub: Any, repo: str, revision: str = "main") -> list[str]:
    return sorted(hub.api.list_repo_files(repo, revision=revision))


def unpublished(place: Path, hub: Any) -> dict[str, Any]:
    """Two runs share a dataset; the first is taken back, then the second."""
    import shutil

    from countdown_r1 import manifest
    from countdown_r1.publish.unpublish import plan, withdraw

    run_publish(
        shutil.copytree(place / "toy", place / "other", ignore=shutil.ignore_patterns("publish*", ".pub*")), hub
    )
    seen: dict[str, Any] = {}
    for name in ("toy", "other"):
        planned = plan(place / name, hub)
        lines: list[str] = []
        withdraw(planned, hub, lines.append)
        data = repo_ids(hub, name)["dataset"]
        there = hub.api.repo_exists(data, repo_type="dataset")
        card = Path(hub.api.hf_hub_download(data, "README.md", repo_type="dataset")).read_text() if there else None
        whole = manifest.damaged_files(Path(hub.api.snapshot_download(data, repo_type="dataset"))) if there else None
        left = {
            "state": state(hub, name),
            "dataset card": card,
            "damaged": whole,
            "record": (place / name / "published").exists(),
        }
        seen[name] = left | {
            "planned": planned.lines(),
            "deleted": lines,
            "private": (place / name / ".publish").exists(),
        }
    seen["collections"] = len(list(hub.api.list_collections(owner=namespace(hub))))
    return seen


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    main(Path(sys.argv[1]))
