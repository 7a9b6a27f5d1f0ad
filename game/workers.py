"""Work shared out among processes of its own, for numpy code that threads cannot speed up.

``multiprocessing`` copies the process, which can hang where other threads hold locks (pyarrow, torch and progress bars
start some), or runs the caller's script again. A worker here is a fresh interpreter that talks over stdin and stdout.
It ends when its stdin does: none outlives this process by more than the task in hand, however this one ends.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

Worker = subprocess.Popen[bytes]


class _WorkerDied(Exception):
    """Internal: a worker gave no answer."""


def share(function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], processes: int) -> list[Any]:
    """``function(*task)`` for each task in order, worked on by this process and up to ``processes - 1`` others.

    ``function`` can be imported, tasks and results can be pickled. A worker takes a tenth of a second to start, while
    this process already works. A task whose worker died is done here.
    """
    left, results = deque(enumerate(tasks)), dict[int, Any]()
    here = partial(_work, left, results, lambda task: function(*task))
    with ExitStack() as stack:
        threads: list[Thread] = []
        for _ in range(min(processes, len(tasks)) - 1):
            ask = partial(_ask, stack.enter_context(_worker()), function)
            threads.append(Thread(target=_work, args=(left, results, ask), daemon=True))
            threads[-1].start()
        here()
        for thread in threads:
            thread.join()
        here()
    return [results[place] for place in range(len(tasks))]


def serve() -> None:
    """What a worker does: answer on stdout what comes on stdin, until that is closed."""
    inbox, outbox = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what is printed must not get between the answers
    with suppress(EOFError, BrokenPipeError):
        while True:
            function, task = pickle.load(inbox)
            pickle.dump(function(*task), outbox, protocol=5)
            outbox.flush()
    os._exit(0)  # nothing is left to be written, and nobody to read it


def _work(left: deque[tuple[int, Any]], results: dict[int, Any], answer: Callable[[Any], Any]) -> None:
    """Take tasks until none is left."""
    while True:
        try:
            place, task = left.popleft()
        except IndexError:
            return
        try:
            results[place] = answer(task)
        except _WorkerDied:
            left.append((place, task))
            return


def _ask(worker: Worker, function: Callable[..., Any], task: tuple[Any, ...]) -> Any:
    assert worker.stdin and worker.stdout
    try:
        pickle.dump((function, task), worker.stdin, protocol=5)
        worker.stdin.flush()
        return pickle.load(worker.stdout)
    except (OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise _WorkerDied from error


@contextmanager
def _worker() -> Iterator[Worker]:
    """A worker that is gone afterwards. In a session of its own, so that Ctrl-C reaches this process alone."""
    command = [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    pipe = subprocess.PIPE
    worker = subprocess.Popen(command, env=environment, start_new_session=True, stdin=pipe, stdout=pipe)
    try:
        yield worker
    finally:
        worker.kill()
        assert worker.stdin and worker.stdout
        with suppress(OSError):
            worker.stdin.close()
        worker.stdout.close()
        worker.wait()
