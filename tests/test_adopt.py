"""What another program trained is published whole: loaded first, its base a name that others can load, the owner's card
kept, what was measured added, and what stays behind named."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from countdown_r1.errors import CountdownError, InputError, StageError
from countdown_r1.hub import Hub
from countdown_r1.models import SHIPPED
from countdown_r1.publish.adopt import check_adopted, read_adopted, stage_adopted
from countdown_r1.publish.adopted_cards import adopted_card, shown_change
from countdown_r1.publish.checkpoints import hub_id
from countdown_r1.publish.licences import Licence
from countdown_r1.publish.links import Links
from countdown_r1.publish.metadata import check_metadata
from countdown_r1.publish.owner import BEGIN, END, read_owners_card, with_additions
from countdown_r1.publish.publish import Wish, publish
from countdown_r1.weights import weights_sha256

LINKS = Links(None, "me/mine", None)
HUB = Hub("http://127.0.0.1:9", None, rehearsal=True)
CARD = """---
# of the team
license: mit
base_model: Qwen/Qwen2.5-3B
tags: [grpo, "ours"]
---
# Ours

It solves 88% | of *our* puzzles.
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = shutil.copytree(SHIPPED["novice"], tmp_path / "mine")
    (folder / "manifest.json").unlink()
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file(
        {name.format("A"): torch.ones(8, 4), name.format("B"): torch.ones(4, 8)}, folder / "adapter_model.safetensors"
    )
    change(folder / "adapter_config.json", peft_type="LORA", task_type="CAUSAL_LM", r=8, target_modules=["q_proj"])
    return folder


def change(path: Path, **values: Any) -> None:
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(before | values))


def dry_run(folder: Path, **wishes: Any) -> list[str]:
    lines: list[str] = []
    wish = Wish(adopt=True, **wishes)
    publish(folder, namespace="me", hub=HUB, wish=wish, dry_run=True, echo=lines.append)
    return lines


def published_card(folder: Path, **wishes: Any) -> str:
    run = read_adopted(folder, **wishes)
    card = adopted_card(run, LINKS, run.best)
    check_metadata(card, "model", "README.md")
    return card


def summary(folder: Path, **changes: Any) -> dict[str, Any]:
    row = {"label": "novice", "path": "novice", "sha256": weights_sha256(folder), "n": 40, "solve_rate": 0.425}
    row |= {"solve_interval": [0.285, 0.578], "format_rate": 0.9, "format_interval": [0.77, 0.96], "mean_tokens": 99.5}
    decoding = {"temperature": 0.7, "max_new_tokens": 320, "samples": 2}
    about = {"dataset": {"id": "someone/puzzles", "split": "test"}, "n": 40, "seed": 11, "decoding": decoding}
    return about | {"command": "countdown-r1 evaluate novice", "models": [row | changes], "best": "novice"}


def evaluation(out: Path, values: dict[str, Any]) -> Path:
    out.mkdir(parents=True)
    (out / "summary.json").write_text(json.dumps(values))
    return out


# Loading it first


def rewrite(folder: Path, **tensors: torch.Tensor) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path) | {name.replace("__", "."): one for name, one in tensors.items()}, path, {"format": "pt"})


def lacking(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({f"module.{name}": one for name, one in weights.items()}, folder / "model.safetensors", {"format": "pt"})


def longer_tokenizer(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder)


FAULTS: dict[str, Any] = {
    "lacks 39 weights": lacking,
    r"model\.norm\.weight has the shape \[5\], and config\.json says \[256\]": lambda at: rewrite(
        at, model__norm__weight=torch.ones(5)
    ),
    "1 tokens beyond the 1024 rows of the embedding: <new>": longer_tokenizer,
    "has no tokenizer": lambda at: [path.unlink() for path in at.glob("tokenizer*")],
    "cannot be loaded": lambda at: (at / "tokenizer.json").write_text("{}"),
    "model type `nope`": lambda at: change(at / "config.json", model_type="nope"),
    "no NoSuchThing": lambda at: change(at / "config.json", architectures=["NoSuchThing"]),
    "not valid JSON": lambda at: (at / "config.json").write_text("{"),
    "auto_map in config.json names code, mine.py; pass --trust-remote-code": lambda at: change(
        at / "config.json", auto_map={"AutoModelForCausalLM": "mine.Mine"}
    ),
    r"pytorch_model\.bin is pickled": lambda at: (at / "model.safetensors").rename(at / "pytorch_model.bin"),
}


@pytest.mark.parametrize("words", FAULTS)
def test_what_nobody_could_load_is_refused_before_anything_is_listed(model: Path, words: str) -> None:
    FAULTS[words](model)
    lines: list[str] = []
    with pytest.raises(CountdownError, match=words) as caught:
        publish(model, namespace="me", hub=HUB, wish=Wish(adopt=True), dry_run=True, echo=lines.append)
    assert "\n" not in str(caught.value) and lines == []


def test_a_broken_checkpoint_is_refused_although_the_final_weights_are_whole(model: Path) -> None:
    shutil.copytree(model, model / "checkpoint-7")
    (model / "checkpoint-7" / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(StageError, match=r"checkpoint-7: .*git lfs pull"):
        dry_run(model)


def test_code_goes_with_the_flag_is_run_and_must_be_there(model: Path) -> None:
    change(model / "config.json", auto_map={"AutoModelForCausalLM": "mine.Mine"})
    with pytest.raises(InputError, match=r"names mine\.py, which is not there"):
        dry_run(model, trust_code=True)
    (model / "mine.py").write_text("from transformers import LlamaForCausalLM\nclass Other(LlamaForCausalLM): ...\n")
    with pytest.raises(StageError, match="cannot be loaded"):
        dry_run(model, trust_code=True)
    (model / "mine.py").write_text("from transformers import LlamaForCausalLM\nclass Mine(LlamaForCausalLM): ...\n")
    assert any(line.endswith("mine.py") for line in dry_run(model, trust_code=True))
    assert "trust_remote_code=True" in published_card(model, trust_code=True)


def test_what_from_pretrained_reads_goes_and_everything_else_is_named(model: Path) -> None:
    taken = [
        "spiece.model",
        "qwen.tiktoken",
        "preprocessor_config.json",
        "processor_config.json",
        "LICENSE",
        "NOTICE.txt",
    ]
    taken += ["additional_chat_templates/tool_use.jinja"]
    state = ["optimizer.pt", "optimizer.safetensors", "scheduler.pt", "rng_state_0.pth", "training_args.bin"]
    left = [*state, "consolidated.safetensors", "mine.py", "notes.doc", "model.fp16.safetensors"]
    for name in [*taken, *left]:
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text("{}")
    first, *rest = dry_run(model)
    assert {line.split()[-1] for line in rest} >= set(taken)
    assert not {line.split()[-1] for line in rest} & set(left)
    assert first.startswith("left out of mine: ") and all(f"{name} (" in first for name in left)
    assert (
        "mine.py (code; pass --trust-remote-code to publish it)" in first and "optimizer.pt (training state)" in first
    )


def test_without_torch_the_headers_are_checked_and_the_rest_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from countdown_r1.publish import trial

    monkeypatch.setattr(trial, "find_spec", lambda name: None)
    rewrite(model, model__norm__weight=torch.ones(5))
    assert "shapes were not compared" in dry_run(model)[0]
    rewrite(model, model__norm__weight=torch.ones(0))
    with pytest.raises(StageError, match="ZeRO-3"):
        dry_run(model)


# The base


@pytest.mark.parametrize(
    "named",
    [
        *("./Qwen2.5-3B", "../Qwen2.5-3B", "/home/zhang/Qwen2.5-3B", r"C:\Users\li\Qwen2.5-3B", "~/Qwen", "Qwen2.5-3B"),
        *("models/Qwen2.5-3B", "outputs/sft", "here/there", "a/b/c", "a/b@](javascript:alert(1))", "a/b\n- x"),
        *("", 5, None),
    ],
)
def test_an_adapter_gets_the_base_that_was_named_and_never_a_folder(
    adapter: Path, monkeypatch: pytest.MonkeyPatch, named: Any
) -> None:
    monkeypatch.chdir(adapter.parent)
    (adapter.parent / "here" / "there").mkdir(parents=True)
    change(adapter / "adapter_config.json", base_model_name_or_path=named)
    readme = f"---\nbase_model: {json.dumps(named)}\ntags:\n- base_model:adapter:{named}\n---\nOf {named}.\n"
    if isinstance(named, str) and named and "\n" not in named:
        (adapter / "README.md").write_text(readme)
    with pytest.raises(InputError, match="--base NAMESPACE/NAME") as caught:
        read_adopted(adapter)
    assert str(caught.value).count("\n") == str(named).count("\n")
    run = read_adopted(adapter, "Qwen/Qwen2.5-3B")
    stage_adopted(run, run.best, adapter.parent / "out")
    settings = json.loads((adapter.parent / "out" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "Qwen/Qwen2.5-3B" and settings["r"] == 8
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == named, (
        "the owner's own"
    )
    data = ModelCard(published_card(adapter, base="Qwen/Qwen2.5-3B")).data.to_dict()
    assert data["base_model"] == "Qwen/Qwen2.5-3B" and data["base_model_relation"] == "adapter"
    if "tags" in data:
        assert data["tags"] == ["base_model:adapter:Qwen/Qwen2.5-3B"]


def test_a_folder_in_the_owners_text_becomes_the_base_too(adapter: Path) -> None:
    change(adapter / "adapter_config.json", base_model_name_or_path="/home/zhang/Qwen")
    link = "[/home/zhang/Qwen](https://huggingface.co//home/zhang/Qwen)"
    (adapter / "README.md").write_text(
        f"---\nbase_model: /home/zhang/Qwen\n---\nFrom {link}, not /home/zhang/Qwen-7B.\n"
    )
    card = published_card(adapter, base="Qwen/Qwen2.5-3B")
    assert "[Qwen/Qwen2.5-3B](https://huggingface.co/Qwen/Qwen2.5-3B), not /home/zhang/Qwen-7B." in card


def test_a_base_on_the_hub_stays_byte_for_byte(adapter: Path) -> None:
    change(adapter / "adapter_config.json", base_model_name_or_path="Qwen/Qwen2.5-3B")
    run = read_adopted(adapter)
    stage_adopted(run, run.best, adapter.parent / "out")
    assert (adapter.parent / "out" / "adapter_config.json").read_bytes() == (
        adapter / "adapter_config.json"
    ).read_bytes()


@pytest.mark.parametrize("given", ["./here", "here", "a/b@](x)", "/home/x/y"])
def test_a_base_that_is_no_id_is_refused_whoever_names_it(adapter: Path, given: str) -> None:
    with pytest.raises(InputError, match="--base"):
        read_adopted(adapter, given)


def test_an_adapter_that_peft_could_not_put_together_is_refused(adapter: Path) -> None:
    change(adapter / "adapter_config.json", base_model_name_or_path="Qwen/Qwen2.5-3B")
    check_adopted(read_adopted(adapter), print)
    change(adapter / "adapter_config.json", r=16)
    with pytest.raises(StageError, match=r"rank 8, and adapter_config\.json says 16"):
        check_adopted(read_adopted(adapter), print)
    change(adapter / "adapter_config.json", r=8, peft_type="NOPE")
    with pytest.raises(StageError, match="cannot be loaded"):
        check_adopted(read_adopted(adapter), print)


def test_no_configuration_says_where_it_was_loaded_from(model: Path) -> None:
    for name, place in (
        ("config.json", r"C:\x\y"),
        ("tokenizer_config.json", "./sft"),
        ("processor_config.json", "/a/b"),
    ):
        change(model / name, _name_or_path=place, text_config={"_name_or_path": place}, kept="Qwen/Qwen2.5-3B")
    run = read_adopted(model)
    stage_adopted(run, run.best, model.parent / "out")
    texts = [(model.parent / "out" / path.name).read_text() for path in model.glob("*config.json")]
    assert not [text for text in texts if "_name_or_path" in text] and "Qwen/Qwen2.5-3B" in texts[0] + texts[1]


@pytest.mark.parametrize("name", ["a..b/c", "a/b--c", "a/b.git", "a/" + "b" * 96, "a/" + "b" * 5000, "ａ/b", "a/b/"])
def test_what_the_hub_would_not_take_is_no_id(name: str) -> None:
    assert hub_id(name) is None


# The card


def test_the_owners_card_stays_byte_for_byte_but_for_what_is_missing(model: Path) -> None:
    (model / "README.md").write_text(CARD)
    card = published_card(model)
    front = "library_name: transformers\npipeline_tag: text-generation\nbase_model_relation: finetune\n"
    assert card == CARD.replace("---\n# Ours", f"{front}---\n# Ours")
    assert shown_change(read_adopted(model), LINKS)[3:] == [
        ' tags: [grpo, "ours"]', *(f"+{line}" for line in front.splitlines()), " ---"
    ]  # fmt: skip
    assert any(line == "+library_name: transformers" for line in dry_run(model))


def test_the_owners_licence_goes_before_that_of_the_base(model: Path) -> None:
    from dataclasses import replace

    def licence(text: str) -> str | None:
        (model / "README.md").write_text(text)
        run = replace(read_adopted(model), licence=Licence("llama3.2"))
        return ModelCard(adopted_card(run, LINKS, run.best)).data.to_dict().get("license")

    assert licence(CARD) == "mit"
    assert licence("---\nlicence: license\nmodel_name: x\n---\n# Model Card for None\n[None](x/None)\n") == "llama3.2"
    (model / "LICENSE").write_text("Do as you like.")
    assert licence("# Ours\n") is None, "the owner's file says it"


def test_a_card_of_our_own_says_no_licence_only_where_there_is_none(model: Path) -> None:
    assert "No licence is stated in the files" in published_card(model)
    (model / "LICENSE.md").write_text("Do as you like.")
    card = published_card(model)
    assert "No licence is stated" not in card and "The licence is in [LICENSE.md](LICENSE.md)." in card


HOSTILE = {
    "the second '---' is missing": ("---\nlicense: mit\n# Ours\n", "no second '---' line"),
    "broken": ("---\nlicense: [mit\n---\n", "not valid YAML"),
    "not a mapping": ("---\n- mit\n---\n", "not a list of 'key: value' lines"),
    "aliases": ("---\na: &a [x, x]\nb: [*a, *a]\n---\n", "aliases"),
    "a key twice": ("---\nlicense: mit\nlicense: gpl\n---\n", "'license' stands there twice"),
    "deep": ("---\na: " + "[" * 30_000 + "\n---\n", "not valid YAML"),
    "endless": ("---\na: '" + "x" * 300_000 + "'\n---\n", "more than 200,000 characters"),
    "half open": (f"# Ours\n{BEGIN}\nmy text\n", "once each"),
    "closed first": (f"{END}\nmine\n{BEGIN}\n", "once each"),
    "nested": (f"{BEGIN}\n{BEGIN}\nx\n{END}\nmine\n{END}\n", "once each"),
    "twice": (f"{BEGIN}\nx\n{END}\nmine\n{BEGIN}\ny\n{END}\n", "once each"),
    "UTF-16": ("# Ours\n".encode("utf-16"), "not UTF-8"),
    "a pointer": ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_card_that_cannot_be_kept_is_refused_in_words(model: Path, kind: str) -> None:
    text, words = HOSTILE[kind]
    (model / "README.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words) as caught:
        read_adopted(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("\ufeff" + CARD, CARD.replace("\n", "\r\n"), "\n\n" + CARD, "# Ours\n", "", "text without a line end"),
        *("---\n\nA rule.\n", "---\n---\nx", "---\n{license: mit}\n---\nx", "---\n  license: mit\n---\nx"),
        *("---\nlicense: mit\nmore: |\n  a\n---\n", "---\nlicense: mit\n...\n---\nx", CARD + "x" * 1_000_000),
        *(CARD + f"{BEGIN}\nold\n{END}\nand the end\n", "# A\n```\n---\na: b\n---\n```\n"),
    ],
)
def test_every_other_card_is_kept_and_publishing_it_again_changes_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(text.encode())
    card = read_owners_card(path)
    assert card is not None
    once = with_additions(card, {"library_name": "peft", "pipeline_tag": None}, "## Added\n\n测量")
    path.write_bytes(once.encode())
    again = read_owners_card(path)
    assert again is not None and again.values == card.values | {"library_name": "peft"}
    assert with_additions(again, {"library_name": "peft"}, "## Added\n\n测量") == once
    assert once.count("\r\n") in (0, once.count("\n")), "one kind of line end"
    kept = card.body.replace(f"{BEGIN}\nold\n{END}", "@")
    assert all(part in once for part in kept.split("@")) and "old" not in once
    assert once.startswith("---") and ModelCard(once).data.to_dict()["library_name"] == "peft"


# What was measured


def test_an_evaluation_of_these_weights_is_in_the_card_and_in_its_index(model: Path) -> None:
    evaluation(model / "evaluation", summary(model))
    (model / "README.md").write_text(CARD)
    card = published_card(model)
    assert "42.5% (28.5% – 57.8%)" in card and "seed 11" in card and "has not been evaluated" not in card
    assert card.index("of *our* puzzles") < card.index(BEGIN) < card.index("42.5%") < card.index(END)
    (entry,) = ModelCard(card).data.to_dict()["model-index"]
    (result,) = entry["results"]
    assert result["dataset"]["type"] == "someone/puzzles" and result["dataset"]["args"]["n"] == 40
    assert result["metrics"][0]["value"] == 0.425 and result["metrics"][0]["args"] == {"interval_95": [0.285, 0.578]}
    (model / "README.md").write_text(card)
    assert published_card(model) == card, "what was added is replaced by the same"
    shutil.rmtree(model / "evaluation")
    before = yaml.safe_load(published_card(model).split("---")[1])
    assert "model-index" not in before and BEGIN not in published_card(model)


def test_results_of_the_owners_own_stay_in_the_index(model: Path) -> None:
    evaluation(model.parent / "elsewhere", summary(model))
    theirs = {"name": "ours", "results": [{"task": {"type": "x"}, "metrics": [{"type": "accuracy", "value": 1}]}]}
    (model / "README.md").write_text(f"---\nmodel-index:\n{yaml.safe_dump([theirs])}license: mit\n---\n# Ours\n")
    found = yaml.safe_load(published_card(model, evaluation=model.parent / "elsewhere").split("---\n")[1])
    assert found["model-index"][0] == theirs and found["model-index"][1]["name"] == "mine"


def test_without_a_card_of_the_owner_ours_has_the_results(model: Path) -> None:
    card = published_card(model, evaluation=evaluation(model.parent / "evaluation", summary(model)))
    assert card == published_card(model), "it is found beside the model too"
    assert "42.5%" in card and "has not been evaluated" not in card and "没有经过评测" not in card


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sha256": "0" * 64}, r"measured other weights \(novice\)"),
        ({"sha256": None, "path": "/elsewhere"}, "measured other weights"),
        ({"solve_rate": "high"}, "not what `countdown-r1 evaluate` writes"),
        ({"solve_interval": 5}, "not what `countdown-r1 evaluate` writes"),
        ({"solve_rate": 7.0}, "not what `countdown-r1 evaluate` writes"),
    ],
)
def test_an_evaluation_of_something_else_is_refused_in_words(model: Path, changes: dict[str, Any], words: str) -> None:
    folder = evaluation(model.parent / "elsewhere", summary(model, **changes))
    with pytest.raises(InputError, match=words):
        read_adopted(model, evaluation=folder)
    with pytest.raises(InputError, match=r"no summary\.json"):
        read_adopted(model, evaluation=model.parent)


def test_an_evaluation_in_the_folder_that_measured_other_weights_is_said_and_left_alone(model: Path) -> None:
    evaluation(model / "evaluation", summary(model, sha256="0" * 64))
    assert dry_run(model)[0].startswith("not used: ")
    assert "42.5%" not in published_card(model)


def test_nothing_that_a_log_says_becomes_markdown(model: Path) -> None:
    log = [{"step": 1, "loss": 0.5, "reward": "![x](http://e/x.png)"}, [1], 5, {"step": 2, "loss": 0.25, END: "x"}]
    (model / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    (model / "README.md").write_text(CARD)
    card = published_card(model)
    assert "| 2 | 0.25 |" in card and "http://e" not in card and card.count(END) == 1
    assert "Weights: final" in "\n".join(dry_run(model)), "nothing was compared"
