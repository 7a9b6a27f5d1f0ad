"""What a run cost, from its own timeline: GPU-hours, tokens, energy, money; elastic against reserved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import StageError
from .clusters import Cost
from .timeline import TIMELINE_FILE, read_timeline

TOLD = ("stages", "gpu_hours", "total", "tokens", "sessions", "price_per_hour", "currency")  # of cost.json, to people
COMPARED = ("elastic_gpu_hours", "reserved_gpu_hours", "saved_by_elastic")
STAGES = ("generation", "rewards", "update", "other")


@dataclass
class Session:
    """One stretch of a run on its machines: seconds by stage; ``began`` and ``ended`` in seconds since 1970.

    ``gpus`` train, ``server_gpus`` write for them; without servers the former do both. ``joules`` are those of all of
    them where the servers are ``metered``, else of the former.
    """

    began: float
    gpus: int
    ended: float
    server_gpus: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES[:3], 0.0))
    tokens: float = 0.0
    joules: float | None = None
    metered: bool = True

    @property
    def held(self) -> float:
        """Seconds that the machines were held."""
        return self.ended - self.began

    @property
    def all_gpus(self) -> int:
        """GPUs that were held."""
        return self.gpus + self.server_gpus

    @property
    def busy(self) -> float:
        """GPU-seconds of generation, by those that write, and of updates, by those that train."""
        return self.seconds["generation"] * (self.server_gpus or self.gpus) + self.seconds["update"] * self.gpus


def sessions(events: Iterable[Mapping[str, Any]]) -> list[Session]:
    """The run's sessions; one that was killed ends with its last event."""
    found: list[Session] = []
    for event in events:
        if event["event"] == "start":
            servers = event.get("server_gpus", 0)
            metered = not servers or event.get("servers_metered", False)
            found.append(Session(event["time"], event["gpus"], event["time"], servers, metered=metered))
            continue
        if not found:
            continue
        session = found[-1]
        session.ended = max(session.ended, event["time"])
        for name, key in zip(STAGES, ("generate", "reward", "update"), strict=False):
            session.seconds[name] += event.get(key, 0.0)
        session.tokens = event.get("tokens", session.tokens)
        session.joules = event["joules"] if event.get("joules") is not None else session.joules
    return found


def cost_of(cost: Cost, found: list[Session], nodes: int = 1) -> dict[str, Any]:
    """Every figure of ``cost.json``.

    ``allocated`` GPU-hours were held, ``busy`` ones generated or updated. Energy is that of all GPUs, or stands under
    ``training_energy_kwh`` where servers on other machines were not measured. Elastic pays for the sessions alone,
    reserved for everything from the first start to the last end, pauses included. Price and name of the hardware are
    left out when the run had other GPUs than they are stated for.
    """
    held = sum(session.held for session in found)
    allocated = sum(session.held * session.all_gpus for session in found)
    by_stage = {name: sum(s.seconds[name] * s.all_gpus for s in found) for name in STAGES[:3]}
    by_stage["other"] = max(0.0, allocated - sum(by_stage.values()))
    reserved = (found[-1].ended - found[0].began) * max(session.all_gpus for session in found) if found else 0.0
    cost = _of_these_gpus(cost, found, nodes)
    price = cost.price_per_hour * nodes
    per_gpu_second = price * held / 3600 / allocated if allocated else 0.0
    joules = [session.joules for session in found if session.joules is not None]
    energy = round(sum(joules) / 3.6e6, 4) if joules else None
    metered = all(session.metered for session in found)
    return {
        "hardware": cost.hardware,
        "processes": max((session.gpus for session in found), default=0),
        "server_gpus": max((session.server_gpus for session in found), default=0),
        "sessions": len(found),
        "hours": round(held / 3600, 4),
        "gpu_hours": {
            "allocated": round(allocated / 3600, 4),
            "busy": round(sum(session.busy for session in found) / 3600, 4),
        },
        "stages": {
            name: {"gpu_hours": round(seconds / 3600, 4), "total": round(seconds * per_gpu_second, 4)}
            for name, seconds in by_stage.items()
        },
        "tokens": int(max((session.tokens for session in found), default=0)),
        "energy_kwh": energy if metered else None,
        "training_energy_kwh": None if metered else energy,
        "elastic_gpu_hours": round(allocated / 3600, 4),
        "reserved_gpu_hours": round(reserved / 3600, 4),
        "saved_by_elastic": round(1 - allocated / reserved, 4) if reserved else 0.0,
        "price_per_hour": cost.price_per_hour,
        "currency": cost.currency,
        "total": round(price * held / 3600, 4),
    }


def _of_these_gpus(cost: Cost, found: list[Session], nodes: int) -> Cost:
    """``cost`` where it is stated for the GPUs that the run had, else one that states nothing."""
    other = cost.gpus is not None and any((cost.nodes, cost.gpus) != (nodes, session.all_gpus) for session in found)
    return Cost(currency=cost.currency) if other else cost


def cost_of_run(run: Path) -> dict[str, Any]:
    """``cost.json`` of RUN's model; with an evaluation also ``per_point``, the price of a point of solve rate.

    Raises ``StageError`` when there is no training to look at, or when its figures are not all there.
    """
    model = next((folder for folder in (run, run / "model") if (folder / "cost.json").is_file()), None)
    if model is None:
        raise StageError(f"{run} holds no cost.json: give the folder of a finished training, or of the run around it")
    try:
        values = json.loads((model / "cost.json").read_text(encoding="utf-8"))
        lacking = [key for key in TOLD + COMPARED if key not in values]
    except (ValueError, TypeError):
        raise StageError(f"{model / 'cost.json'} is not what a training writes: train again, or restore it") from None
    if lacking:
        raise StageError(f"{model / 'cost.json'} lacks {', '.join(lacking)}: it is not what a training writes")
    return values | {"per_point": _per_point(model.parent / "evaluation" / "summary.json", values)}


def cost_table(run: Path) -> str:
    """What ``cost_of_run`` finds, for people."""
    values = cost_of_run(run)
    money = f"{values['currency']} at {values['price_per_hour']:g} an hour of one machine"
    lines = [f"{'stage':<12} {'GPU-hours':>10} {money:>12}"]
    for name, stage in values["stages"].items():
        lines.append(f"{name:<12} {stage['gpu_hours']:>10.4f} {stage['total']:>12.4f}")
    lines.append(f"{'all':<12} {values['gpu_hours']['allocated']:>10.4f} {values['total']:>12.4f}")
    lines.append(f"busy {values['gpu_hours']['busy']:.4f} GPU-hours, {values['tokens']:,} tokens")
    for key, whose in (("energy_kwh", ""), ("training_energy_kwh", " of the GPUs that train")):
        if values.get(key) is not None:
            lines.append(f"energy {values[key]:.4f} kWh{whose}")
    lines.append(
        f"elastic {values['elastic_gpu_hours']:.4f} against reserved {values['reserved_gpu_hours']:.4f} GPU-hours: "
        f"{values['saved_by_elastic']:.1%} less, over {values['sessions']} session(s)"
    )
    if point := values["per_point"]:
        lines.append(
            f"a point of solve rate took {point['gpu_hours']:.4f} GPU-hours, {point['total']:.4f} {values['currency']} "
            f"({point['gained']:.1f} gained)"
            if point["gained"] > 0
            else "no point of solve rate was gained over the base"
        )
    return "\n".join(lines)


def _per_point(summary: Path, values: Mapping[str, Any]) -> dict[str, float] | None:
    """Points of solve rate ``gained`` over the base, and what each took; None without an evaluation."""
    if not summary.is_file():
        return None
    models = json.loads(summary.read_text(encoding="utf-8"))["models"]
    gained = round(100 * (max(entry["solve_rate"] for entry in models) - models[0]["solve_rate"]), 4)
    if gained <= 0:
        return {"gained": gained}
    hours, money = values["gpu_hours"]["allocated"] / gained, values["total"] / gained
    return {"gained": gained, "gpu_hours": round(hours, 4), "total": round(money, 4)}


def write_cost(cost: Cost, folder: Path, nodes: int = 1) -> None:
    """Write ``cost.json`` beside the timeline that it is computed from."""
    found = sessions(read_timeline(folder / TIMELINE_FILE))
    if found:
        found[-1].ended = max(found[-1].ended, time.time())  # weights were written since the last event
    values = cost_of(cost, found, nodes)
    (folder / "cost.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
