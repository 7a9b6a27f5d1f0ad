"""Memory and time of publishing a large checkpoint, and of publishing again when nothing changed.

    python benchmarks/publish_large.py --gigabytes 2

With 2 GiB or more the figures go to results/publish/large.json, with less only where --out says.
Memory is the peak of the publishing process's resident set over that of the same process with its libraries
imported; the rehearsal Hub is a process of its own. Time stands beside a plain copy of the same bytes over loopback
(one PUT and one GET by the standard library), which is what any client of a loopback server has to do.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import http.server
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from countdown_r1.weights import read_header

BLOCK = 1 << 20
LIBRARIES = ("huggingface_hub", "uvicorn")
SHARD_BYTES = 1 << 30
RESULTS, ENOUGH = Path(__file__).resolve().parent / "results" / "publish" / "large.json", 2
ONE = """
import json, resource, sys, time
from pathlib import Path
from countdown_r1.hub import connect
hub = connect("rehearsal", data=Path("hub"))
import huggingface_hub.hf_api, pyarrow.parquet
if sys.argv[2] == "adopt":  # what loads the model before it leaves
    from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast
from countdown_r1.publish.publish import Wish, publish
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, began = peak(), time.monotonic()
wish = Wish(adopt=sys.argv[2] == "adopt")
publish(Path(sys.argv[1]), namespace="rehearsal", hub=hub, wish=wish, echo=lambda line: None)
print(json.dumps({"seconds": time.monotonic() - began, "peak_bytes": peak() - before, "libraries_bytes": before}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.out is None and options.gigabytes >= ENOUGH:
        options.out = RESULTS
    with tempfile.TemporaryDirectory(prefix="publish-large-") as name:
        results = measure(Path(name), options.gigabytes)
    text = json.dumps(results, indent=1)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


def measure(place: Path, gigabytes: int) -> dict[str, Any]:
    toy = Path(__file__).resolve().parent.parent / "tests" / "toy_run.py"
    script = "import pathlib, runpy, sys; runpy.run_path(sys.argv[1])['write_run'](pathlib.Path(sys.argv[2]))"
    subprocess.run([sys.executable, "-c", script, str(toy), str(place / "toy")], check=True)
    large = large_folder(place, gigabytes)
    os.sync()
    copied = loopback_copy(sorted(large.glob("*.safetensors")))
    first, again = published(place, large, "adopt"), published(place, large, "adopt")
    published(place, place / "toy", "run")
    began = time.monotonic()
    toy_again = published(place, place / "toy", "run")
    whole = time.monotonic() - began
    return {
        "command": f"python {' '.join(sys.argv)}",
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES},
        "cores": os.cpu_count(),
        "load_at_the_end": os.getloadavg(),
        "bytes": gigabytes * SHARD_BYTES,
        "raw_loopback_put_and_get_seconds": round(copied, 2),
        "publish_and_read_back_seconds": round(first["seconds"], 2),
        "peak_over_libraries_megabytes": round(first["peak_bytes"] / 1e6, 1),
        "libraries_megabytes": round(first["libraries_bytes"] / 1e6, 1),
        "large_again_seconds": round(again["seconds"], 2),
        "large_again_commits": again["commits"],
        "toy_again_seconds": round(toy_again["seconds"], 2),
        "toy_again_seconds_whole_process": round(whole, 2),
        "toy_again_commits": toy_again["commits"],
    }


def large_folder(place: Path, gigabytes: int) -> Path:
    """A model that loads, and beside its weights random shards of 1 GiB that its index names as well."""
    folder = place / "large"
    shutil.copytree(place / "toy" / "model" / "base", folder)
    first = (folder / "model.safetensors").rename(folder / f"model-00000-of-{gigabytes:05d}.safetensors")
    where = dict.fromkeys(read_header(first), first.name)
    for number in range(gigabytes):
        path = folder / f"model-{number + 1:05d}-of-{gigabytes:05d}.safetensors"
        where[f"w{number}"] = path.name
        header = json.dumps(
            {f"w{number}": {"dtype": "U8", "shape": [SHARD_BYTES], "data_offsets": [0, SHARD_BYTES]}}
        ).encode()
        with path.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for _ in range(SHARD_BYTES // BLOCK):
                file.write(os.urandom(BLOCK))
    index = {"metadata": {"total_size": gigabytes * SHARD_BYTES}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def published(place: Path, run: Path, how: str) -> dict[str, Any]:
    """One publication in a process of its own, and how many commits it made."""
    before = commits(place)
    environment = os.environ | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", ONE, str(run), how]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1]) | {"commits": commits(place) - before}


def commits(place: Path) -> int:
    return len(list(place.glob("hub/repos/*/*/*/commits/*.json")))


class Keep(http.server.BaseHTTPRequestHandler):
    """Stores what is put, durably, and hands it out again."""

    folder: Path

    def do_PUT(self) -> None:
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        with (self.folder / self.path.strip("/")).open("wb") as file:
            while left:
                block = self.rfile.read(min(BLOCK, left))
                left -= len(block)
                digest.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        self._head(0)

    def do_GET(self) -> None:
        path = self.folder / self.path.strip("/")
        self._head(path.stat().st_size)
        with path.open("rb") as file:
            shutil.copyfileobj(file, self.wfile, BLOCK)

    def _head(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def loopback_copy(paths: list[Path]) -> float:
    """Seconds to put every file to a plain server, which hashes and syncs it, and to get and hash it back."""
    with tempfile.TemporaryDirectory(dir=paths[0].parent.parent) as name:
        Keep.folder = Path(name)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keep)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        began = time.monotonic()
        for path in paths:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
            with path.open("rb") as file:
                connection.request("PUT", f"/{path.name}", file, {"Content-Length": str(path.stat().st_size)})
            connection.getresponse().read()
            connection.request("GET", f"/{path.name}")
            answer, digest = connection.getresponse(), hashlib.sha256()
            while block := answer.read(BLOCK):
                digest.update(block)
        seconds = time.monotonic() - began
        server.shutdown()
    return seconds


if __name__ == "__main__":
    main()
