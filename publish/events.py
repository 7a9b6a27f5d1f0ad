"""TensorBoard events fit for the Hub's metrics tab: the scalars alone, under names without host and process.

A trainer also writes all its arguments as text, paths and host names included, and names each file after the host.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

EVENTS = "events.out.tfevents."


def stage_events(runs: Path, out: Path) -> None:
    """Copy the scalars of every event file under ``runs`` to ``out/runs``; nothing without TensorBoard installed."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        return
    for number, path in enumerate(sorted(runs.rglob(EVENTS + "*"))):
        events = [event for event in map(_scalars, EventFileLoader(str(path)).Load()) if event is not None]
        if any(event.HasField("summary") for event in events):
            (out / "runs").mkdir(parents=True, exist_ok=True)
            with (out / "runs" / f"{EVENTS}{number}").open("wb") as file:
                writer = RecordWriter(file)
                for event in events:
                    writer.write(event.SerializeToString())
                writer.flush()


def _scalars(event: Any) -> Any:
    """An event with its scalars alone, the version that opens a file as it is; None when nothing is left."""
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    if event.HasField("file_version"):
        return Event(wall_time=event.wall_time, file_version=event.file_version)
    kept = Event(wall_time=event.wall_time, step=event.step)
    for value in event.summary.value:
        number = _number(value)
        if number is not None:
            kept.summary.value.add(tag=value.tag, simple_value=number)
    return kept if kept.summary.value else None


def _number(value: Any) -> float | None:
    """A scalar's number; the loader hands every scalar out as a tensor of one float without a shape."""
    scalar = value.HasField("tensor") and value.tensor.float_val and not value.tensor.tensor_shape.dim
    return value.tensor.float_val[0] if scalar else None
