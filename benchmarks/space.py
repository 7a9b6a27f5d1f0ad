"""How fast the Space is, and how it behaves when many people come: figures for the README.

python benchmarks/space.py [--model tiny] [--users 20] [--seconds 120] [--out benchmarks/results/space/space.json]

Starts the page in a process of its own, measures it from outside (its start, the page in Chromium, the first token,
tokens a second), then lets ``--users`` call ``/solve`` over and over. One in five leaves in the middle, each time. At
the end everybody vanishes in the middle of a long thought, and the processor time that the server uses from two
seconds later on is measured. ``bars`` says which of the figures that were promised hold; exit status 1 when one does
not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

PUZZLES = (
    ("55 36 7 19", 65),
    ("13 19 76", 82),
    ("3 10 35 8", 49),
    ("44 19 35", 98),
    ("63 95 96 2", 64),
    ("80 56 48", 72),
)
ENDLESS = ("1 2 3", 97)  # cannot be done, so a model tries until its room is used up
LIBRARIES = ("torch", "transformers", "gradio")
GENERATE = """
import json, sys, time, torch
from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.models import load
model, tokenizer = load(sys.argv[1])
torch.set_num_threads(int(sys.argv[2]))
text = prompt_text(tokenizer, load_template("en"), Puzzle((55, 36, 7, 19), 65))
prompt = tokenizer(text, return_tensors="pt", add_special_tokens=False)
rates = []
for n in (16, 256, 256, 256):
    began = time.perf_counter()
    model.generate(**prompt, max_new_tokens=n, min_new_tokens=n, do_sample=True, top_k=0, pad_token_id=0)
    rates.append(n / (time.perf_counter() - began))
print(json.dumps(sorted(rates[1:])[1]))
"""
DECODE = """
import json, sys, time
from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.space.stream import load_writer
writer = load_writer(sys.argv[1])
text = prompt_text(writer.tokenizer, load_template("en"), Puzzle((55, 36, 7, 19), 65))
prompt = writer.tokenizer(text, add_special_tokens=False)["input_ids"]
rates = []
for n in (16, 256, 256, 256):
    began = time.perf_counter()
    list(writer.tokens(prompt, (), n, 1.0, 0))
    rates.append(n / (time.perf_counter() - began))
print(json.dumps(sorted(rates[1:])[1]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/space/space.json"))
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "command": f"python benchmarks/space.py --users {options.users} --seconds {options.seconds:g}",
        "model": Path(options.model).name,
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES},
        "load_average_before": round(os.getloadavg()[0], 2),
        "generate_tokens_per_second": {
            f"{threads} thread(s)": round(_measured(GENERATE, options.model, str(threads)), 1) for threads in (1, 2)
        },
        "decoder_tokens_per_second": round(_measured(DECODE, options.model), 1),
    }
    with _Server(options.model) as server:
        figures["start_seconds"] = server.start_seconds
        figures["processor_share_before_anybody_came"] = server.idle_share()
        figures |= asyncio.run(_alone(server))
        figures |= _page(server)
        figures["crowd"] = asyncio.run(_crowd(server, options.users, options.seconds))
        asyncio.run(_vanish(server, options.users))
        figures["processor_share_two_seconds_after_everybody_vanished"] = server.idle_share()
    figures["bars"] = _bars(figures)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    print(options.out)
    raise SystemExit(0 if all(figures["bars"].values()) else 1)


def _bars(figures: dict[str, Any]) -> dict[str, bool]:
    """What was promised, and whether it held."""
    crowd = figures["crowd"]
    first, most = crowd["memory_mb_first_and_most"]
    fewest, _ = crowd["served_least_and_most"]
    return {
        "page interactive in at most 2 s": figures["page_ready_seconds"] <= 2,
        "start with the model in at most 8 s": figures["start_seconds"] <= 8,
        "first token at most 300 ms after the click": figures["click_to_first_token_ms"] <= 300,
        "at least 120 tokens/s for one user": figures["one_user_tokens_per_second"] >= 120,
        "no error but busy in a crowd": set(crowd["outcomes"]) <= {"done", "left", "busy"},
        "memory bounded: at most 200 MB more in a crowd": most - first <= 200,
        "everybody who stayed was served": fewest >= 1,
        "who vanished costs nothing after 2 s": figures["processor_share_two_seconds_after_everybody_vanished"]
        <= figures["processor_share_before_anybody_came"] + 0.1,
    }


async def _vanish(server: _Server, users: int) -> None:
    """Everybody asks what takes long, and is gone a second later."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        left = [asyncio.create_task(_solve(client, ENDLESS)) for _ in range(users)]
        await asyncio.sleep(1)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _measured(code: str, *arguments: str) -> float:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


class _Server:
    """The command of the user, from its start to its end."""

    def __init__(self, model: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url, self.model = f"http://127.0.0.1:{self.port}", model
        self.start_seconds = 0.0

    def __enter__(self) -> _Server:
        command = [sys.executable, "-m", "countdown_r1", "space", "--model", self.model, "--port", str(self.port)]
        began = time.perf_counter()
        environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == self.url:
                break
        self.start_seconds = round(time.perf_counter() - began, 2)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return round(int(status.split("VmRSS:")[1].split()[0]) / 1024, 1)

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def idle_share(self) -> float:
        """Of one core, over three seconds that begin two seconds from now."""
        time.sleep(2)
        before = self.processor_seconds()
        time.sleep(3)
        return round((self.processor_seconds() - before) / 3, 3)


async def _solve(
    client: httpx.AsyncClient, puzzle: tuple[str, int], leave_after: float | None = None
) -> dict[str, Any]:
    """One call as curl makes it: what came of it, the seconds to the first update, and the last update."""
    began = time.perf_counter()
    first, last, event = None, None, ""
    asked = await client.post("/gradio_api/call/solve", json={"data": [*puzzle, "en", None]})
    if asked.status_code != 200:
        return {"outcome": f"status {asked.status_code}", "said": asked.text[:200]}
    async with client.stream("GET", f"/gradio_api/call/solve/{asked.json()['event_id']}") as events:
        async for line in events.aiter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: ") and event in ("generating", "complete", "error"):
                data = json.loads(line.removeprefix("data: "))
                if event == "error":
                    return {"outcome": "busy" if "busy" in str(data) else "error", "said": str(data)[:200]}
                last = data[0] if isinstance(data, list) and data else last
                if first is None and isinstance(last, dict) and last["n_tokens"]:
                    first = time.perf_counter() - began
            if leave_after is not None and time.perf_counter() - began > leave_after:
                return {"outcome": "left"}
    finished = isinstance(last, dict) and last["verdict"] is not None
    if not finished:
        return {"outcome": "cut off", "said": str(last)[-200:]}
    return {"outcome": "done", "first": first, "seconds": time.perf_counter() - began, "last": last}


async def _alone(server: _Server) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
        calls = [await _solve(client, puzzle) for puzzle in PUZZLES * 3]
    lasts = [call["last"] for call in calls]
    tokens, seconds = sum(last["n_tokens"] for last in lasts), sum(last["seconds"] for last in lasts)
    return {
        "one_user_tokens_per_second": round(tokens / seconds, 1),
        "one_user_mean_tokens": round(tokens / len(lasts), 1),
        "first_update_by_api_ms": round(1000 * median(call["first"] for call in calls)),
    }


def _page(server: _Server) -> dict[str, Any]:
    """A fresh browser profile: until Solve can be pressed, and from the click to the first words of the thought."""
    from playwright.sync_api import sync_playwright

    own = Path("/usr/bin/chromium")
    ready, first = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=own if own.exists() else None, args=["--no-sandbox"])
        for _ in range(5):
            page = browser.new_context().new_page()
            began = time.perf_counter()
            page.goto(server.url)
            page.wait_for_selector("#solve:enabled")
            ready.append(time.perf_counter() - began)
            page.wait_for_timeout(1500)
            first.append(page.evaluate(CLICK_TO_FIRST_WORDS))
            page.wait_for_selector("#facts .facts", timeout=60_000)
            page.context.close()
        browser.close()
    return {"page_ready_seconds": round(median(ready), 2), "click_to_first_token_ms": round(median(first))}


CLICK_TO_FIRST_WORDS = """() => new Promise((resolve) => {
  const began = performance.now();
  new MutationObserver((_, watch) => {
    if (document.querySelector('#thought .attempt .said')?.textContent.trim()) {
      watch.disconnect();
      resolve(performance.now() - began);
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
  document.querySelector('#solve').click();
})"""


async def _crowd(server: _Server, users: int, seconds: float) -> dict[str, Any]:
    """Users who call again as soon as they are answered; ``fair`` is the share of the least served to the most."""
    began = time.perf_counter()
    until = began + seconds
    outcomes: Counter[str] = Counter()
    served: Counter[int] = Counter()
    waits: list[float] = []
    tokens: list[int] = []
    odd: list[str] = []
    memory: list[float] = []
    done = threading.Event()

    def watch_memory() -> None:
        while not done.wait(2):
            memory.append(server.memory_mb())

    async def use(number: int) -> None:
        leaves = number % 5 == 4
        async with httpx.AsyncClient(base_url=server.url, timeout=300) as client:
            while time.perf_counter() < until:
                call = await _solve(client, PUZZLES[number % len(PUZZLES)], 2.0 + number / 10 if leaves else None)
                outcomes[call["outcome"]] += 1
                if call["outcome"] == "done":
                    served[number] += 1
                    waits.append(call["seconds"])
                    tokens.append(call["last"]["n_tokens"])
                elif call["outcome"] == "busy":
                    await asyncio.sleep(1)
                elif call["outcome"] != "left" and len(odd) < 5:
                    odd.append(call["said"])

    watcher = threading.Thread(target=watch_memory)
    watcher.start()
    await asyncio.gather(*(use(number) for number in range(users)))
    done.set()
    watcher.join()
    elapsed = time.perf_counter() - began
    stayed = [served[number] for number in range(users) if number % 5 != 4]
    return {
        "users": users,
        "seconds": seconds,
        "outcomes": dict(outcomes),
        "seconds_until_the_last_was_answered": round(elapsed, 1),
        "thoughts_per_minute": round(60 * outcomes["done"] / elapsed, 1),
        "tokens_per_second": round(sum(tokens) / elapsed, 1),
        "wait_seconds_median": round(median(waits), 2) if waits else None,
        "wait_seconds_95th": round(quantiles(waits, n=20)[-1], 2) if len(waits) > 1 else None,
        "served_least_and_most": [min(stayed), max(stayed)],
        "memory_mb_first_and_most": [memory[0], max(memory)] if memory else None,
        "unexpected": odd,
    }


if __name__ == "__main__":
    main()
