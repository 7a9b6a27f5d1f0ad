"""The line before the model, and thoughts that are written in threads while many read."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing
from threading import Event

import pytest

from countdown_r1.errors import StageError
from countdown_r1.space import line as module
from countdown_r1.space.line import MAX_OF_ONE, Busy, Line, Place
from countdown_r1.space.stream import Piece
from countdown_r1.space.thinking import Thinking, frames, in_turn


def test_those_who_came_first_are_served_first_with_an_estimate() -> None:
    line = Line()
    tickets = [line.join(name) for name in "abc"]
    assert [line.place(ticket).ahead for ticket in tickets] == [0, 1, 2]
    waits = [line.place(ticket).seconds for ticket in tickets]
    assert waits[0] == 0 < waits[1] < waits[2]
    line.leave(tickets[0])
    assert [line.place(ticket).ahead for ticket in tickets[1:]] == [0, 1]


def test_everyones_first_thought_comes_before_anyones_second() -> None:
    line = Line()
    greedy = [line.join("greedy") for _ in range(3)]
    assert line.place(greedy[0]).ahead == 0
    late = line.join("late")
    assert line.place(late).ahead == 1
    assert [line.place(ticket).ahead for ticket in greedy[1:]] == [2, 3]


def test_one_visitor_cannot_fill_the_line() -> None:
    line = Line()
    for _ in range(MAX_OF_ONE):
        line.join("greedy")
    with pytest.raises(Busy, match="the model is busy: 3 are waiting, about"):
        line.join("greedy")
    line.join("another")


def test_a_full_line_says_how_long_it_is() -> None:
    line = Line(max_waiting=4)
    for number in range(5):
        line.join(str(number))
    with pytest.raises(Busy) as caught:
        line.join("late")
    assert caught.value.waiting == 5 and caught.value.seconds >= 5


def test_estimates_follow_what_thoughts_really_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    line = Line()
    for number in range(30):
        ticket = line.join(str(number))
        line.place(ticket)
        now[0] += 0.5
        line.leave(ticket)
    assert line.mean_seconds == pytest.approx(0.5, abs=0.1)


def test_who_no_longer_looks_is_passed_over_and_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    line = Line()
    first, gone, third = (line.join(name) for name in "abc")
    line.place(first)
    now[0] += 2.0
    assert line.place(third).ahead == 1  # behind the one that is being served
    assert line.place(gone).ahead == 2


def written(stop: Event, n: int = 400, seconds: float = 0.005) -> Iterator[Piece]:
    for number in range(1, n + 1):
        time.sleep(seconds)
        yield Piece("x" * number, number, number * seconds)
        if stop.is_set():
            break
    yield Piece("end", 0, 0.0)


def run(coroutine: object) -> object:
    return asyncio.run(coroutine)  # pyright: ignore[reportArgumentType]


def test_frames_grow_and_end_with_the_last_piece() -> None:
    async def read() -> list[Piece]:
        return [pieces[0] async for pieces in frames([Thinking(lambda stop: written(stop, 60))], 0.03)]

    pieces: object = run(read())
    assert isinstance(pieces, list) and 3 < len(pieces) < 30 and pieces[-1].completion == "end"


def test_a_long_thought_is_shown_less_often_and_its_end_at_once() -> None:
    def lengths(size: int) -> list[int]:
        def write(_: Event) -> Iterator[Piece]:
            for number in range(60):
                time.sleep(0.01)
                yield Piece("x" * size + "y" * number, number, 0.0)

        async def read() -> list[int]:
            return [len(pieces[0].completion) async for pieces in frames([Thinking(write)], 0.02)]

        counted: object = run(read())
        assert isinstance(counted, list)
        return counted

    short, long = lengths(10), lengths(100_000)
    assert long[-1] == 100_059 and 2 <= len(long) < len(short)


def test_a_stopped_thought_still_has_its_last_piece() -> None:
    async def read() -> tuple[str, float]:
        thinking = Thinking(written)
        last, began = None, time.monotonic()
        async for pieces in frames([thinking], 0.03):
            last = pieces[0]
            thinking.stop()
        assert last is not None
        return last.completion, time.monotonic() - began

    text, seconds = run(read())  # pyright: ignore[reportGeneralTypeIssues]
    assert text == "end" and seconds < 1.0


def test_leaving_early_ends_the_writing_thread() -> None:
    async def leave() -> None:
        async with aclosing(frames([Thinking(written)], 0.03)) as growing:
            async for _ in growing:
                break

    before = threading.active_count()
    run(leave())
    time.sleep(0.1)
    assert threading.active_count() == before


def test_a_thought_that_nobody_reads_rests_within_two_seconds_and_goes_on_when_it_is_read_again() -> None:
    thinking = Thinking(lambda stop: written(stop, 500))
    thinking.start()
    time.sleep(1.9)
    resting = thinking._latest
    time.sleep(0.5)
    assert thinking._latest is resting
    while not (read := thinking.read())[1]:
        time.sleep(0.02)
    assert read[0] is not None and read[0].completion == "end"


def test_a_thought_that_nobody_comes_back_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countdown_r1.space.thinking._GIVEN_UP_AFTER_SECONDS", 1.6)
    before = threading.active_count()
    thinking = Thinking(written)
    thinking.start()
    time.sleep(2.0)
    assert threading.active_count() == before
    with pytest.raises(StageError, match="ask again"):
        thinking.read()


def test_who_has_waited_long_in_line_still_gets_the_whole_thought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countdown_r1.space.thinking._GIVEN_UP_AFTER_SECONDS", 1.6)
    thinking = Thinking(lambda stop: written(stop, 60))
    time.sleep(1.8)

    async def read() -> list[Piece]:
        return [pieces[0] async for pieces in frames([thinking], 0.03)]

    pieces: object = run(read())
    assert isinstance(pieces, list) and pieces[-1].completion == "end"


def test_a_failure_while_writing_reaches_the_reader() -> None:
    def fail(_: Event) -> Iterator[Piece]:
        yield Piece("a", 1, 0.1)
        raise StageError("the model failed while writing")

    async def read() -> None:
        async for _ in frames([Thinking(fail)], 0.01):
            pass

    with pytest.raises(StageError, match="failed while writing"):
        run(read())


def test_twenty_visitors_at_once_are_served_in_order_one_at_a_time() -> None:
    """Two that leave in the middle do not hold up the others, and nobody is served twice or not at all."""
    order: list[int] = []
    at_once: list[int] = []

    async def visit(line: Line, number: int) -> None:
        async with aclosing(in_turn(line, str(number), [Thinking(lambda stop: written(stop, 8))], 0.02)) as news:
            async for new in news:
                if isinstance(new, Place):
                    if number in (5, 9):
                        return
                    continue
                if number not in order:
                    order.append(number)
                    at_once.append(sum(one.began is not None for one in line._tickets))

    async def everyone() -> int:
        line = Line()
        await asyncio.gather(*(visit(line, number) for number in range(20)))
        return len(line)

    assert run(everyone()) == 0
    assert order == [number for number in range(20) if number not in (5, 9)]
    assert set(at_once) == {1}
