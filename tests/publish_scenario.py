"""A user's day with `publish`, against a real rehearsal Hub, in a process of its own.

    python publish_scenario.py PLACE STEP

``HF_ENDPOINT`` is read when huggingface_hub is imported, so tests cannot do this in their own process. STEP is
``interrupted`` (ends itself with SIGKILL after the second verified revision), ``day`` (everything else) or
``unguarded`` (what a publication without its scanner would have sent); what was seen is written to PLACE/STEP.json.
A guard ends the process when anything reaches beyond loopback.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import sys
from pathlib import Path
from typing import Any


def guard(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: the host of every look-up and connection is this computer."""
    if event in ("socket.getaddrinfo", "socket.connect"):
        host = args[0] if event == "socket.getaddrinfo" else args[1][0] if isinstance(args[1], tuple) else "127.0.0.1"
        if host not in ("127.0.0.1", "localhost", "::1", None):
            print(f"left loopback: {event} {host}", file=sys.stderr, flush=True)
            os._exit(70)


def main(place: Path, step: str) -> None:
    sys.addaudithook(guard)
    from countdown_r1.hub import connect

    hub = connect("rehearsal", data=place / ("unguarded" if step == "unguarded" else "hub"))
    seen = {"interrupted": interrupted, "day": day, "unguarded": unguarded}[step](place, hub)
    (place / f"{step}.json").write_text(json.dumps(seen, indent=1))


def run_publish(run: Path, hub: Any, public: bool = False, **wishes: Any) -> tuple[Any, list[str]]:
    """What `publish` returns and the lines it prints; its error's class and message instead when it fails."""
    from countdown_r1.errors import CountdownError
    from countdown_r1.publish.publish import Wish, publish

    lines: list[str] = []
    try:
        wish = Wish(public=public, **wishes)
        return publish(run, namespace=namespace(hub), hub=hub, wish=wish, echo=lines.append), lines
    except CountdownError as error:
        return [type(error).__name__, str(error)], lines


def namespace(hub: Any) -> str:
    return hub.api.whoami()["name"]


def interrupted(place: Path, hub: Any) -> None:
    from countdown_r1.publish.publish import publish

    lines: list[str] = []

    def echo(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            (place / "lines.json").write_text(json.dumps(lines))
            os.kill(os.getpid(), signal.SIGKILL)

    publish(place / "toy", namespace=namespace(hub), hub=hub, echo=echo)


def day(place: Path, hub: Any) -> dict[str, Any]:
    run = place / "toy"
    seen: dict[str, Any] = {"namespace": namespace(hub), "endpoint": hub.endpoint}
    seen["left by the kill"] = {"refs": state(hub, run.name), "record": (run / "published").exists()}
    seen["dry run"] = dry_run(run, hub)
    published, seen["lines"] = run_publish(run, hub)
    seen["record"] = json.loads((run / "published" / "published.json").read_text())
    seen["state"] = state(hub, run.name)
    _, seen["lines again"] = run_publish(run, hub)
    seen["state again"] = state(hub, run.name)
    seen["files"] = remote_files(hub, published)
    seen["card"] = Path(download(hub, published.model.id, "README.md", published.model.revision)).read_text()
    seen["texts"] = texts(hub, published)
    seen["cards"] = cards(hub, published)
    seen["snippet"] = run_snippet(seen["card"])
    seen["dataset rows"] = dataset_rows(hub, published.dataset)
    seen["dataset rows by this package"] = own_dataset_rows(published.dataset)
    seen["other namespace"] = other_namespace(run, hub)
    seen["planted"] = planted(place, hub)
    seen["flipped"] = flipped(place, hub)
    seen["public"] = public(place, hub)
    seen["corrupted"] = corrupted(place, run, hub)
    return seen


def state(hub: Any, name: str) -> dict[str, Any]:
    """Commits of every branch and tag of the three repositories, and whether they are private."""
    found = {}
    for role, repo_id in repo_ids(hub, name).items():
        kind = role if role in ("model", "space") else "dataset"
        if hub.api.repo_exists(repo_id, repo_type=kind):
            info = hub.api.repo_info(repo_id, repo_type=kind)
            found[role] = {"main": info.sha, "private": info.private}
    if "model" in found:
        refs = hub.api.list_repo_refs(repo_ids(hub, name)["model"])
        found["model"] |= {ref.name: ref.target_commit for ref in [*refs.branches, *refs.tags]}
    return found


def repo_ids(hub: Any, name: str) -> dict[str, str]:
    owner = namespace(hub)
    model = f"{owner}/countdown-r1-{name}"
    records = {role: f"{model}-{role}" for role in ("evaluation", "completions")}
    return {"dataset": f"{owner}/Countdown-r1-zero", "model": model, "space": f"{model}-demo"} | records


def dry_run(run: Path, hub: Any) -> dict[str, Any]:
    """The plan, made with a Hub object that leads nowhere: it cannot be compared with anything."""
    from countdown_r1.hub import Hub

    nowhere = Hub("http://127.0.0.1:9", hub.token, rehearsal=True)
    from countdown_r1.publish.publish import publish

    lines: list[str] = []
    planned = publish(run, namespace=namespace(hub), hub=nowhere, dry_run=True, echo=lines.append)
    sizes = {f"{one.role}@{one.revision}": one.sizes for one in planned.pushed}
    return {"sizes": sizes, "lines": lines, "tag": planned.tag}


def remote_files(hub: Any, published: Any) -> dict[str, dict[str, str]]:
    """SHA-256 of every file as it is served, by repository and revision."""
    import hashlib

    found = {}
    for one in published.pushed:
        names = hub.api.list_repo_files(one.repo_id, repo_type=one.repo_type, revision=one.revision)
        paths = {name: download(hub, one.repo_id, name, one.revision, one.repo_type) for name in names}
        digests = {name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for name, path in paths.items()}
        found[f"{one.role}@{one.revision}"] = digests
    return found


def download(hub: Any, repo_id: str, name: str, revision: str, repo_type: str = "model") -> str:
    return hub.api.hf_hub_download(repo_id, name, revision=revision, repo_type=repo_type)


def texts(hub: Any, published: Any) -> str:
    """Everything textual that was published about the model, in one string."""
    data = Path(download(hub, published.dataset.id, "manifest.json", "main", "dataset")).read_text()
    names = ["README.md", "evaluation.json", "recipe.yaml", "cost.json", "metrics.jsonl", "config.json"]
    main = [Path(download(hub, published.model.id, name, "main")).read_text() for name in names]
    branch = [Path(download(hub, published.model.id, name, "step-4")).read_text() for name in names[:2]]
    return "\n".join([data, *main, *branch])


def cards(hub: Any, published: Any) -> dict[str, str]:
    """The card of every repository and revision as it is served."""
    found = {}
    for one in published.pushed:
        path = download(hub, one.repo_id, "README.md", one.revision, one.repo_type)
        found[f"{one.role}@{one.revision}"] = Path(path).read_text()
    return found


def run_snippet(card: str) -> dict[str, Any]:
    """The card's own code, run as it stands; and whether its prompt is the one that the evaluation uses."""
    from countdown_r1.build_dataset.prompt import load_template, prompt_text
    from countdown_r1.game.puzzle import Puzzle

    code = re.findall(r"```python\n(.*?)\n```", card, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(code, names)  # the point of the test: a reader runs this code
    puzzle = Puzzle(tuple(names["nums"]), names["target"])
    expected = prompt_text(names["tokenizer"], load_template("en"), puzzle)
    return {"same prompt": names["prompt"] == expected} | {key: names[key] for key in ("completion", "revision")}


def dataset_rows(hub: Any, repo: Any) -> dict[str, int]:
    from countdown_r1.hub import load_dataset

    where = {"split": "train", "revision": repo.revision}
    return {config: len(load_dataset(hub, repo.id, config, **where)) for config in ("en", "zh")}


def own_dataset_rows(repo: Any) -> int:
    from countdown_r1.build_dataset.dataset import load

    return len(load(f"{repo.id}@{repo.revision}", "en-chatml", "train"))


def other_namespace(run: Path, hub: Any) -> dict[str, Any]:
    """A dry run for, and a publication to, another namespace; then the first one again: nothing is in the way."""
    from countdown_r1.publish.publish import publish
    from countdown_r1.publish.record import record_of, records

    before = state(hub, run.name)
    publish(run, namespace="someone-else", hub=hub, dry_run=True, echo=lambda line: None)
    dry = [one["namespace"] for one in records(run)], hub.api.repo_exists("someone-else/countdown-r1-toy")
    publish(run, namespace="someone-else", hub=hub, echo=lambda line: None)
    both = [one["namespace"] for one in records(run)]
    run_publish(run, hub)
    seen = {"dry": dry, "both": both, "back": [one["namespace"] for one in records(run)]}
    return seen | {"same": state(hub, run.name) == before, "kept": record_of(run, hub, "someone-else")["tag"]}


def copy_run(place: Path, name: str) -> Path:
    return Path(shutil.copytree(place / "toy", place / name, ignore=shutil.ignore_patterns("published")))


def toy() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).with_name("toy_run.py")))


SECRET = "hf_" + "aB3" * 12  # put together here, so that no scanner takes this file for a leak


def planted(place: Path, hub: Any) -> dict[str, Any]:
    """A token in one place after the other: what publishing said, and whether it got as far as a repository."""
    seen = {}
    for number, (name, plant) in enumerate(PLACES.items()):
        run = copy_run(place, f"planted-{number}")
        stage = plant(run)
        toy()["reopen"](run, stage)
        error, lines = run_publish(run, hub)
        said = error if isinstance(error, list) else None
        seen[name] = {"error": said, "lines": lines, "reached the hub": "model" in state(hub, run.name)}
        shutil.rmtree(run)
    return seen


def unguarded(place: Path, hub: Any) -> dict[str, bool]:
    """By place, whether what was planted there arrives when nothing looks for it: each place with a token of its own,
    all in one run."""
    global SECRET  # noqa: PLW0603
    from countdown_r1 import hub_push
    from countdown_r1.publish import staging

    hub_push.scan = staging.scan = lambda *_, **__: []
    run, planted = copy_run(place, "unguarded-run"), {}
    for number, (name, plant) in enumerate(PLACES.items()):
        SECRET = planted[name] = f"hf_{number:03}" + "aB3" * 11
        plant(run)
    toy()["reopen"](run, "dataset")
    error, _ = run_publish(run, hub)
    assert not isinstance(error, list), error
    sent = b"".join(path.read_bytes() for path in (place / "unguarded" / "blobs").glob("*/*"))
    return {name: secret.encode() in sent for name, secret in planted.items()}


def in_text(stage: str, name: str) -> Any:
    """Plants the token in a text or JSON file as one more line or key."""

    def plant(run: Path) -> str:
        path = run / stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        values = json.loads(old) if path.suffix == ".json" and old else None
        path.unlink(missing_ok=True)
        line = json.dumps({"step": 9, "note": SECRET}) if path.suffix == ".jsonl" else f"note: {SECRET}"
        path.write_text(json.dumps(values | {"note": SECRET}) if values else f"{old.rstrip()}\n{line}\n")
        return stage

    return plant


def in_tokenizer(run: Path) -> str:
    path = run / "model" / "checkpoint-4" / "tokenizer.json"
    values = json.loads(path.read_text())
    values["added_tokens"].append(values["added_tokens"][0] | {"content": SECRET, "id": 9999})
    path.write_text(json.dumps(values))
    return "model"


def in_parquet(run: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = run / "model" / "completions" / "completions_00002.parquet"
    table = pq.read_table(path)
    texts = [SECRET, *table["completion"].to_pylist()[1:]]
    table = table.set_column(2, "completion", pa.array(texts))
    pq.write_table(table, path, compression="NONE", use_dictionary=False)
    return "model"


def in_records(run: Path) -> str:
    path = run / "evaluation" / "base" / "records.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["generation"] += f" token={SECRET}"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "evaluation"


def in_weights(run: Path) -> str:
    from safetensors.torch import load_file, save_file

    path = run / "model" / "checkpoint-2" / "model.safetensors"
    save_file(load_file(path), path, metadata={"format": "pt", "author": SECRET})
    return "model"


def in_picture(run: Path) -> str:
    path = run / "model" / "training.png"
    path.write_bytes(path.read_bytes() + b"tEXt" + SECRET.encode())
    return "model"


def in_events(run: Path) -> str:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run / "model" / "runs" / "more"))
    writer.add_text("args", SECRET)
    writer.add_scalar("train/loss", 1.0, 1)
    writer.close()
    return "model"


def in_what_stays(run: Path) -> str:
    for name in ("explore.ipynb", ".env", "training_args.bin"):
        in_text("model", name)(run)
    return in_events(run)


def in_event_tag(run: Path) -> str:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run / "model" / "runs" / "more"))
    writer.add_scalar(f"train/{SECRET}", 1.0, 1)
    writer.close()
    return "model"


PLACES = {
    "dataset card": in_text("dataset", "README.md"),
    "JSON": in_text("model", "checkpoint-4/config.json"),
    "log": in_text("model", "completion_samples/completion_samples.txt"),
    "metrics": in_text("model", "metrics.jsonl"),
    "recipe": in_text("model", "recipe.yaml"),
    "tokenizer": in_tokenizer,
    "parquet": in_parquet,
    "records": in_records,
    "weights' metadata": in_weights,
    "picture": in_picture,
    "name of a scalar": in_event_tag,
    "notebook, .env, pickled arguments, TensorBoard text": in_what_stays,
}


def flipped(place: Path, hub: Any) -> list[str]:
    run = copy_run(place, "flipped")
    weights = run / "model" / "checkpoint-4" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    return run_publish(run, hub)[0]


def public(place: Path, hub: Any) -> dict[str, Any]:
    """A second run on the same dataset, published openly; then the first one again, privately."""
    _, lines = run_publish(copy_run(place, "open"), hub, public=True)
    refused, _ = run_publish(place / "toy", hub)
    card = Path(download(hub, repo_ids(hub, "open")["dataset"], "README.md", "main", "dataset")).read_text()
    return {"state": state(hub, "open"), "lines": lines, "private again": refused, "dataset card": card}


def corrupted(place: Path, run: Path, hub: Any) -> dict[str, Any]:
    """One byte of the stored weights changes on the server's disk; publishing again must notice."""
    record = json.loads((run / "published" / "published.json").read_text())
    digest = next(one["sha256"]["model.safetensors"] for one in record["pushed"] if one["revision"] == "step-4")
    (blob,) = (place / "hub" / "blobs").glob(f"*/{digest}*")
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(data)
    error, _ = run_publish(run, hub, public=True, read_back=True)
    return {"error": error, "state": state(hub, run.name)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
