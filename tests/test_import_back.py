"""What was published, loaded by those it is for; what others trained, adopted; and all of it taken back.

Everything happens in one process of its own (``publish_consumers.py``), as in ``test_publish.py``.
"""

import json
import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

SCENARIO = Path(__file__).with_name("publish_consumers.py")
TOY = runpy.run_path(str(Path(__file__).with_name("toy_run.py")))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("consumers")
    TOY["write_run"](place / "toy")
    environment = {name: value for name, value in os.environ.items() if name not in ("HF_ENDPOINT", "HF_HOME")}
    command = [sys.executable, str(SCENARIO), str(place)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads((place / "consumers.json").read_text())


def test_transformers_loads_main_a_step_and_the_tag(seen: dict[str, Any]) -> None:
    assert seen["transformers"].pop("tokens") > 1
    assert seen["transformers"] == dict.fromkeys(seen["transformers"], True)


VLLM = """
import os, shutil, sys
from pathlib import Path
os.environ |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_HOST_IP": "127.0.0.1"}
import countdown_r1
from countdown_r1.hub import connect
hub = connect("rehearsal", data=Path("hub"))
from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.publish.publish import Wish, publish
shutil.copytree(Path(countdown_r1.__file__).parent / "train" / "novice", "mine")
model = publish(Path("mine"), namespace="rehearsal", hub=hub, wish=Wish(adopt=True)).model
from transformers import AutoTokenizer
from vllm import LLM, SamplingParams
prompt = prompt_text(AutoTokenizer.from_pretrained(model.id), load_template("en"), Puzzle((19, 36, 7), 62))
engine = LLM(model=model.id, revision=model.revision, max_model_len=512, gpu_memory_utilization=0.3, seed=0)
(said,) = engine.generate([prompt], SamplingParams(temperature=0, max_tokens=64), use_tqdm=False)
Path("said.txt").write_text(said.outputs[0].text)
"""


def test_vllm_writes_with_published_weights_where_it_runs(tmp_path: Path) -> None:
    import torch

    if find_spec("vllm") is None or not torch.cuda.is_available():
        pytest.skip("vLLM needs a GPU and pip install 'countdown-r1[vllm]'; one of them is missing here")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-c", VLLM], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = (tmp_path / "said.txt").read_text()
    assert "We need 62 from 19, 36, 7" in said, "the model's own way to begin a thought"


def test_datasets_loads_the_puzzles_the_records_and_the_completions(seen: dict[str, Any]) -> None:
    found = seen["datasets"]
    assert {"id", "nums", "target", "prompt"} <= set(found["zh"])
    assert found["records"] == [["solved", 1], ["solved", 1], ["wrong value", 0]]
    assert found["default"] == "checkpoint-2", "the best model's records come first"
    assert sorted(found["configs"]) == ["base", "checkpoint-2", "checkpoint-4"]
    assert found["completions"] == ["step", "prompt", "completion", "equation_reward"]


def test_a_snapshot_of_the_tag_holds_weights_card_and_measurements(seen: dict[str, Any]) -> None:
    expected = {"README.md", "model.safetensors", "tokenizer.json", "generation_config.json", "evaluation.json"}
    assert expected <= set(seen["snapshot"]["files"])


def test_tensorboard_reads_the_scalars_and_nothing_private_is_left_in_them(seen: dict[str, Any]) -> None:
    events = seen["events"]
    assert events["values"] == [[2, 0.5], [4, 1.0]]
    assert events["tags"] == [] and events["name"] == "events.out.tfevents.0"
    assert b"output_dir".hex() not in events["bytes"] and b"box-17".hex() not in events["bytes"]


def test_a_private_collection_ties_the_repositories_together(seen: dict[str, Any]) -> None:
    model = seen["model"]
    items = ["rehearsal/Countdown-r1-zero", model, f"{model}-evaluation", f"{model}-completions", f"{model}-demo"]
    assert seen["collection"] == {"title": "toy: Countdown R1", "private": True, "items": items}


def test_an_adapter_is_adopted_with_its_base_and_the_licence_of_that(seen: dict[str, Any]) -> None:
    adapter = seen["adapter"]
    card = ModelCard(adapter["card"])
    wanted = {"base_model": "rehearsal/base-1b", "base_model_relation": "adapter", "library_name": "peft"}
    wanted |= {"license": "other", "license_name": "qwen-research", "license_link": "LICENSE"}
    assert wanted.items() <= card.data.to_dict().items()
    assert "Commercial use is not permitted." in card.text and "has not been evaluated" in card.text
    assert adapter["files"] == [".gitattributes", "README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert adapter["same"], "AutoPeftModelForCausalLM loads what was saved"


def test_an_adapter_whose_base_is_a_folder_of_this_computer_is_refused_with_the_fix(seen: dict[str, Any]) -> None:
    kind, message = seen["adapter"]["nameless"]
    assert kind == "InputError" and "/somewhere/base" in message and "--base NAMESPACE/NAME" in message


def test_a_full_model_is_adopted_with_its_checkpoints_and_its_log_but_no_state(seen: dict[str, Any]) -> None:
    full = seen["full"]
    card = full["card"]
    assert "| 7 | 0.0714286 | 0.7 |" in card and "train runtime | 12.5" in card and "`step-7`" in card
    assert "was not trained by countdown-r1" in card and "base_model" not in card
    private = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", ".env", "trainer_state.json"}
    assert not private & {*full["files"], *full["branch"]} and "model.safetensors" in full["branch"]
    assert full["same"], "adopting again makes no commit"
    assert full["alone"] == [None, ["rehearsal/my-grpo"]], "one repository needs no collection to tie it"
    assert full["empty"][0] == "InputError" and "nothing to adopt" in full["empty"][1]


def test_taking_a_run_back_leaves_a_dataset_that_another_model_names(seen: dict[str, Any]) -> None:
    first = seen["unpublished"]["toy"]
    assert list(first["state"]) == ["dataset"] and not first["record"] and not first["private"]
    assert first["planned"][-1] == "keep    dataset rehearsal/Countdown-r1-zero, which other models name"
    assert "countdown-r1-toy]" not in first["dataset card"] and "countdown-r1-other]" in first["dataset card"]
    assert first["damaged"] == [], "what is left of it is still what its manifest says"
    assert len(first["deleted"]) == 4 and "collection" in "\n".join(first["planned"])


def test_taking_the_last_run_back_leaves_nothing(seen: dict[str, Any]) -> None:
    last = seen["unpublished"]["other"]
    assert last["state"] == {} and last["dataset card"] is None
    assert len(last["deleted"]) == 5 and seen["unpublished"]["collections"] == 0
