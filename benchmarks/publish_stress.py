"""Publishes of a toy run against a rehearsal Hub that fails on purpose, each killed once (-9) at a random moment.

    python benchmarks/publish_stress.py --publishes 200 --faults 0.2 --mode lfs --jobs 8

With 200 publications or more the figures go to results/publish/stress_MODE.json, with fewer only where --out says.
Every publication is a process of its own, forked from one that has imported everything. What came of it is read off
the Hub's disk, not asked of the client: repositories, branches, trees, the bytes of every blob, tags, commits. Exit
status 1 when anything is missing, different, duplicated or tagged without having been verified.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

TOY = Path(__file__).resolve().parent.parent / "tests" / "toy_run.py"
WRITE_TOY = "import pathlib, runpy, sys; runpy.run_path(sys.argv[1])['write_run'](pathlib.Path(sys.argv[2]))"
PARTS = ("datasets/Countdown-r1-zero", "models/countdown-r1-toy", "spaces/countdown-r1-toy-demo")
PARTS += ("datasets/countdown-r1-toy-evaluation", "datasets/countdown-r1-toy-completions")
CALIBRATIONS = 4
RESULTS, ENOUGH = Path(__file__).resolve().parent / "results" / "publish", 200
KEPT = ".gitattributes"


@dataclass
class Attempt:
    """One publication: its namespace, its copy of the run, and how far it is."""

    seed: int
    namespace: str
    run: Path
    killed: bool = False
    pid: int = 0
    began: float = 0.0
    kill_at: float = 0.0


@dataclass
class Tally:
    """What all publications came to."""

    publishes: int = 0
    verified: int = 0
    killed: int = 0
    finished_before_their_kill: int = 0
    extra_commits: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    states_at_kill: Counter[str] = field(default_factory=Counter)


class Disk:
    """The rehearsal Hub's folder, read without the server."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.sound: set[str] = set()

    def repos(self, namespace: str) -> dict[str, Path]:
        found = self.data.glob(f"repos/*/{namespace}/*/repo.json")
        return {f"{path.parts[-4]}/{path.parts[-2]}": path.parent for path in found}

    def refs(self, repo: Path) -> dict[str, str]:
        return json.loads((repo / "repo.json").read_text())["refs"]

    def tree(self, repo: Path, commit: str) -> dict[str, str]:
        """SHA-256 by path, without the Hub's own file. A blob whose bytes are not what its name says is 'damaged'."""
        entries = json.loads((repo / "commits" / f"{commit}.json").read_text())["tree"]
        return {path: self._checked(entry["sha256"]) for path, entry in entries.items() if path != KEPT}

    def _checked(self, sha256: str) -> str:
        blob = self.data / "blobs" / sha256[:2] / sha256
        fresh = sha256 not in self.sound and blob.is_file()
        if fresh and hashlib.sha256(blob.read_bytes()).hexdigest() == sha256:
            self.sound.add(sha256)
        return sha256 if sha256 in self.sound else "damaged"

    def commits(self, repo: Path, head: str) -> int:
        """How many commits lead to ``head``."""
        count, commit = 0, head
        while commit:
            count, commit = count + 1, json.loads((repo / "commits" / f"{commit}.json").read_text())["parent"]
        return count

    def collections(self, namespace: str) -> list[dict[str, Any]]:
        path = self.data / "collections.json"
        found = json.loads(path.read_text()).values() if path.exists() else ()
        return [one for one in found if one["owner"] == namespace]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publishes", type=int, default=200)
    parser.add_argument("--faults", default="0.2", help="as `countdown-r1 hub --faults`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=["lfs", "xet"], default="lfs")
    parser.add_argument("--jobs", type=int, default=8, help="publications at a time")
    parser.add_argument("--kill-within", type=float, help="seconds [default: as long as a publication takes]")
    parser.add_argument("--run", type=Path, help="what to publish [default: a toy run with real weights]")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    if options.out is None and options.publishes >= ENOUGH:
        options.out = RESULTS / f"stress_{options.mode}.json"
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None, prefix="publish-stress-") as name:
        results = stress(Path(name), options)
    print(json.dumps(results, indent=1))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(1 if results["problems"] else 0)


def stress(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    if options.run:
        shutil.copytree(options.run, place / "toy")
    else:
        subprocess.run([sys.executable, "-c", WRITE_TOY, str(TOY), str(place / "toy")], check=True)
    expected = faultless(place)
    server = start_server(
        place / "hub", "--faults", options.faults, "--fault-seed", str(options.seed), mode=options.mode
    )
    try:
        hub = connected(place / "hub", server)
        tally = run_all(place, hub, options, expected)
    finally:
        server.terminate()
        server.wait(20)
    requests = [json.loads(line) for line in (place / "hub" / "requests.jsonl").read_text().splitlines()]
    met = Counter(request["fault"] for request in requests if "fault" in request)
    asked = sum("status" in request for request in requests) + sum(
        met[kind] for kind in ("cut", "429", "412", "500", "503")
    )
    results = asdict(tally) | {"extra_commits": {str(k): n for k, n in sorted(tally.extra_commits.items())}}
    results |= {"mode": options.mode, "faults": options.faults, "seed": options.seed, "jobs": options.jobs}
    results |= {"requests": asked, "faulty": sum(met.values()), "faults_by_kind": dict(sorted(met.items()))}
    results |= {"seconds": spread(tally.seconds), "wall_seconds": round(time.monotonic() - began, 1)}
    libraries = ("huggingface_hub", "hf_xet", "uvicorn")
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in libraries}
    about = {"command": f"python {' '.join(sys.argv)}", "versions": versions, "cores": os.cpu_count()}
    about |= {"load_at_the_end": os.getloadavg()}
    return about | results | {"states_at_kill": dict(tally.states_at_kill)}


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"median": round(ordered[len(ordered) // 2], 2), "longest": round(ordered[-1], 2)} if ordered else {}


def start_server(data: Path, *more: str, mode: str = "lfs") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "countdown_r1.rehearsal", "--data", str(data), "--parent-pid", str(os.getpid())]
    command += [*more, *(["--xet"] if mode == "xet" else [])]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline().startswith("http://127.0.0.1:")
    return server


def connected(data: Path, server: subprocess.Popen[str]) -> Any:
    """This process, bound to the server, with everything imported that a publication needs."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from countdown_r1.hub import connect

    endpoint = json.loads((data / "server.json").read_text())["endpoint"]
    hub = connect(endpoint, data=data, write=False)
    import huggingface_hub.hf_api  # noqa: F401

    import countdown_r1.publish.publish  # noqa: F401  # for the forked processes

    return hub


def faultless(place: Path) -> dict[str, Any]:
    """Files and commits of a publication on plain LFS that met no fault, by repository and branch."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); import publish_stress as s; s.publish_reference(sys.argv[2])"
    subprocess.run([sys.executable, "-c", script, str(Path(__file__).parent), str(place)], check=True)
    disk = Disk(place / "reference")
    found: dict[str, Any] = {}
    for name, repo in disk.repos("rehearsal").items():
        for ref, head in disk.refs(repo).items():
            if ref.startswith("refs/heads/"):
                tree = disk.tree(repo, head)
                found[f"{name}@{ref[11:]}"] = {"files": tree, "commits": disk.commits(repo, head)}
    return found


def publish_reference(place: str) -> None:
    from countdown_r1.hub import connect

    hub = connect("rehearsal", data=Path(place, "reference"))
    from countdown_r1.publish.publish import publish

    publish(Path(place, "toy"), namespace="rehearsal", hub=hub, echo=lambda line: None)
    shutil.rmtree(Path(place, "toy", "published"))
    shutil.rmtree(Path(place, "toy", ".publish"))


def run_all(place: Path, hub: Any, options: argparse.Namespace, expected: dict[str, Any]) -> Tally:
    """Keep ``jobs`` publications going until every seed is through; one thread, so that forking is safe."""
    chance, tally, disk = random.Random(options.seed), Tally(options.publishes), Disk(place / "hub")
    length = options.kill_within or calibrate(place, hub, min(CALIBRATIONS, options.jobs))
    waiting = [prepared(place, seed, 0) for seed in range(options.publishes)]
    running: dict[int, Attempt] = {}
    while waiting or running:
        while waiting and len(running) < options.jobs:
            attempt = waiting.pop(0)
            attempt.kill_at = 0.0 if attempt.killed else chance.uniform(0.0, length)
            start(attempt, hub)
            running[attempt.pid] = attempt
        time.sleep(0.01)
        for attempt in list(running.values()):
            now = time.monotonic() - attempt.began
            if not attempt.killed and now >= attempt.kill_at:
                os.kill(attempt.pid, signal.SIGKILL)
            ended, status = os.waitpid(attempt.pid, os.WNOHANG)
            if ended:
                del running[attempt.pid]
                ends(attempt, status, place, disk, tally, waiting, expected)
    return tally


def calibrate(place: Path, hub: Any, count: int) -> float:
    """How long a publication takes here, faults included: the mean of a few that run at once."""
    attempts = [prepared(place, -1 - number, 0) for number in range(count)]
    for attempt in attempts:
        start(attempt, hub)
    for attempt in attempts:
        os.waitpid(attempt.pid, 0)
    return (time.monotonic() - attempts[0].began) * 0.8


def prepared(place: Path, seed: int, again: int) -> Attempt:
    namespace = f"s{seed % 100_000}" + (f"x{again}" if again else "")
    return Attempt(seed, namespace, place / "runs" / namespace / "toy")


def start(attempt: Attempt, hub: Any) -> None:
    """Fork a publication. A first one has weights of its own, so that its uploads are uploads."""
    attempt.began = time.monotonic()
    attempt.pid = os.fork()
    if attempt.pid:
        return
    status = 1
    try:
        with (attempt.run.parent.parent.parent / f"{attempt.namespace}.log").open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        publish_one(attempt, hub)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def publish_one(attempt: Attempt, hub: Any) -> None:
    from countdown_r1.publish.publish import publish

    random.seed(attempt.seed * 2 + attempt.killed)
    if not attempt.run.exists():
        own_run(attempt)
    publish(attempt.run, namespace=attempt.namespace, hub=hub, echo=lambda line: print(line, flush=True))


def own_run(attempt: Attempt) -> None:
    """A copy of the toy run whose weights end in other bytes, complete under its name or not there."""
    from countdown_r1 import manifest

    partial = attempt.run.with_name("partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(attempt.run.parent.parent.parent / "toy", partial)
    for path in (partial / "model").rglob("*.safetensors"):
        data = path.read_bytes()
        path.write_bytes(data[:-4] + hashlib.sha256(f"{attempt.seed}".encode() + data).digest()[:4])
    before = None
    for stage in ("dataset", "model", "evaluation"):
        record = json.loads((partial / stage / "manifest.json").read_text())
        record |= {"files": manifest.hashes(partial / stage), "read": before}
        (partial / stage / "manifest.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        before = manifest.sha256(partial / stage / "manifest.json")
    partial.rename(attempt.run)


def ends(
    attempt: Attempt,
    status: int,
    place: Path,
    disk: Disk,
    tally: Tally,
    waiting: list[Attempt],
    expected: dict[str, Any],
) -> None:
    """A process has ended: by its kill, before it, or as the rerun that has to have completed everything."""
    if attempt.killed:
        problems = [] if status == 0 else [f"the rerun failed: {last_line(place, attempt)}"]
        problems = problems or inspect(attempt, disk, tally, expected)
        tally.verified += not problems
        tally.problems += [f"{attempt.namespace}: {problem}" for problem in problems]
        tally.seconds.append(time.monotonic() - attempt.began)
        shutil.rmtree(attempt.run.parent, ignore_errors=True)
    elif os.WIFSIGNALED(status):
        tally.killed += 1
        tally.states_at_kill[state(attempt, disk)] += 1
        tally.problems += [f"{attempt.namespace}, killed: {problem}" for problem in tags_in_order(attempt, disk)]
        waiting.insert(0, Attempt(attempt.seed, attempt.namespace, attempt.run, killed=True))
    elif status == 0:
        tally.finished_before_their_kill += 1
        again = int(attempt.namespace.partition("x")[2] or 0) + 1
        waiting.append(prepared(place, attempt.seed, again))
    else:
        tally.problems.append(f"{attempt.namespace} failed before its kill: {last_line(place, attempt)}")


def last_line(place: Path, attempt: Attempt) -> str:
    lines = (place / f"{attempt.namespace}.log").read_text().splitlines()
    return lines[-1] if lines else "no word"


def state(attempt: Attempt, disk: Disk) -> str:
    """How far the Hub was when the process was killed."""
    repos = disk.repos(attempt.namespace)
    model = repos.get("models/countdown-r1-toy")
    tagged = model is not None and any(ref.startswith("refs/tags/") for ref in disk.refs(model))
    return f"{len(repos)} repositories{', tagged' if tagged else ''}"


def tags_in_order(attempt: Attempt, disk: Disk) -> list[str]:
    """Tags on anything but a commit that the run's ledger calls verified and whose files are there."""
    ledger = attempt.run / ".publish" / "verified.jsonl"
    lines = [line for line in ledger.read_text().splitlines() if line.endswith("}}")] if ledger.exists() else []
    verified = {one["commit"]: one["sha256"] for one in map(json.loads, lines)}
    found = []
    for name, repo in disk.repos(attempt.namespace).items():
        for ref, commit in disk.refs(repo).items():
            if ref.startswith("refs/tags/") and disk.tree(repo, commit) != verified.get(commit):
                found.append(f"{name} has {ref} on a revision that was not verified")
    return found


def inspect(attempt: Attempt, disk: Disk, tally: Tally, expected: dict[str, Any]) -> list[str]:
    """Everything that is wrong on the Hub after the rerun."""
    repos = disk.repos(attempt.namespace)
    if sorted(repos) != sorted(PARTS):
        return [f"repositories are {sorted(repos)}"]
    record = json.loads((attempt.run / "published" / "published.json").read_text())
    problems = tags_in_order(attempt, disk)
    seen = set()
    for one in record["pushed"]:
        name, branch = f"{one['repo_type']}s/{one['repo_id'].partition('/')[2]}", one["revision"]
        seen.add(f"{name}@{branch}")
        problems += wrong_branch(disk, repos[name], branch, one, expected[f"{name}@{branch}"], tally)
    if seen != expected.keys():
        problems.append(f"branches are {sorted(seen)}")
    refs = disk.refs(repos["models/countdown-r1-toy"])
    if {ref for ref in refs if "tags" in ref} != {"refs/tags/v1.0"} or refs["refs/tags/v1.0"] != refs[
        "refs/heads/main"
    ]:
        problems.append(f"tags are {refs}")
    collections = disk.collections(attempt.namespace)
    if [len(one["items"]) for one in collections] != [len(PARTS)]:
        problems.append(f"{len(collections)} collections of {[len(one['items']) for one in collections]} items")
    return problems


def wrong_branch(
    disk: Disk, repo: Path, branch: str, one: dict[str, Any], expected: dict[str, Any], tally: Tally
) -> list[str]:
    """A branch against what was recorded, against the faultless publication, and its number of commits."""
    head = disk.refs(repo).get(f"refs/heads/{branch}", "")
    tree = disk.tree(repo, head) if head else {}
    problems = [] if head == one["commit"] else [f"{repo.name}@{branch} is at {head}, recorded is {one['commit']}"]
    if tree != one["sha256"]:
        problems.append(f"{repo.name}@{branch}: files missing or different")
    same = (".parquet", ".png", ".jinja", ".txt", "config.json", "tokenizer.json")
    fixed = {name: digest for name, digest in expected["files"].items() if name.endswith(same)}
    if tree.keys() != expected["files"].keys() or any(tree[name] != digest for name, digest in fixed.items()):
        problems.append(f"{repo.name}@{branch}: not the files of a faultless publication")
    extra = disk.commits(repo, head) - expected["commits"]
    tally.extra_commits[extra] += 1
    return problems + ([f"{repo.name}@{branch}: {extra} commits too many"] if extra > 2 else [])


if __name__ == "__main__":
    main()
