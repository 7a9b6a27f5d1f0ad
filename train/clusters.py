"""Where a run may start and what it costs there: the recipe's sections from ``launch`` to ``cost``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

LAUNCHERS = ("local", "accelerate", "slurm", "kubernetes", "hf-jobs")
SHARDINGS = ("none", "zero1", "zero2", "zero3", "fsdp2")
VLLM = ("none", "auto", "colocate", "server")
SHORTEST_HOURS = 0.01


@dataclass(frozen=True)
class Launch:
    """Who starts the processes, how many, and how they share the work.

    ``local`` is this process alone; ``accelerate`` starts one process per GPU of this machine; the others submit to
    a cluster. ``sharding`` spreads weights and optimizer over the processes (DeepSpeed ZeRO or FSDP2); ``compile``
    fuses the operations inside each layer, which costs a minute at the start and saves time and memory. ``vllm``
    says where completions are written: ``auto`` lets memory decide between every training GPU (``colocate``) and
    GPUs of their own (``server``). With ``completions_per_update`` the accumulation steps follow from the number of
    processes. ``gpu_gib`` is the memory of one GPU where the run will be, when that is not this machine.

    A process that makes no progress for ``stall_seconds`` (or twice its longest pause so far) is stuck; the first
    step gets ``startup_seconds``.
    """

    launcher: str = "local"
    nodes: int = 1
    gpus_per_node: int = 1
    sharding: str = "none"
    vllm: str = "none"
    compile: bool = False
    completions_per_update: int | None = None
    gpu_gib: float | None = None
    stall_seconds: int = 75
    startup_seconds: int = 900

    def __post_init__(self) -> None:
        one_of("launch", "launcher", self.launcher, LAUNCHERS)
        one_of("launch", "sharding", self.sharding, SHARDINGS)
        one_of("launch", "vllm", self.vllm, VLLM)
        at_least("launch", vars(self), nodes=1, gpus_per_node=1, completions_per_update=1, gpu_gib=1)
        at_least("launch", vars(self), stall_seconds=1, startup_seconds=1)
        if self.compile and self.sharding == "zero3":
            raise InputError(
                "section 'launch': zero3 gathers weights inside each layer, which leaves nothing to compile; "
                "set compile=false, or sharding to zero1, zero2 or fsdp2"
            )
        if self.launcher == "local" and (self.nodes, self.gpus_per_node) != (1, 1):
            raise InputError("section 'launch': 'local' is one process on one node; several need launcher: accelerate")
        if self.launcher in ("accelerate", "hf-jobs") and self.nodes != 1:
            raise InputError(
                f"section 'launch': '{self.launcher}' is one machine; several nodes need slurm or kubernetes"
            )

    @property
    def gpus(self) -> int:
        """GPUs of all nodes."""
        return self.nodes * self.gpus_per_node


@dataclass(frozen=True)
class Slurm:
    """What ``sbatch`` is asked for. ``setup`` lines run first on every node, for example ``module load cuda``.

    ``warning_seconds`` before the time limit (and at preemption, as far as the cluster's grace time allows) the run
    writes a checkpoint and is put back into the queue.
    """

    partition: str | None = None
    account: str | None = None
    hours: float = 24.0
    gpu_gres: str | None = "gpu"
    cpus_per_task: int = 8
    warning_seconds: int = 180
    setup: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        at_least("slurm", vars(self), hours=SHORTEST_HOURS, cpus_per_task=1, warning_seconds=0)
        for key in ("partition", "account", "gpu_gres", "options"):
            one_line("slurm", key, getattr(self, key))


@dataclass(frozen=True)
class Kubernetes:
    """An Indexed Job. ``claim`` is a PersistentVolumeClaim that every node can write to (ReadWriteMany for several);
    ``secret`` holds the Hub token under the key ``token``."""

    image: str = "countdown-r1:latest"
    namespace: str = "default"
    claim: str = "countdown-r1"
    secret: str | None = None
    gpu_resource: str | None = "nvidia.com/gpu"
    cpus: int = 8
    memory_gib: int = 64
    hours: float = 24.0
    grace_seconds: int = 300

    def __post_init__(self) -> None:
        at_least("kubernetes", vars(self), cpus=1, memory_gib=1, hours=SHORTEST_HOURS, grace_seconds=0)


@dataclass(frozen=True)
class HfJobs:
    """A job on Hugging Face's machines: ``flavor`` as ``hf jobs hardware`` lists them, paid by the minute."""

    flavor: str = "a100-large"
    hours: float = 8.0
    namespace: str | None = None
    python: str = "3.12"

    def __post_init__(self) -> None:
        at_least("hf_jobs", vars(self), hours=SHORTEST_HOURS)


@dataclass(frozen=True)
class Cost:
    """What an hour of one machine costs and how long a step is expected to take, to tell time and money beforehand.

    They hold for ``gpus`` GPUs (processes, without GPUs) of ``nodes`` machines together, as ``launch`` counts them; a
    run on others is not told a total. Without ``gpus`` they are taken to hold for whatever the run has.
    """

    price_per_hour: float = 0.0
    currency: str = "USD"
    hardware: str = ""
    seconds_per_step: float | None = None
    gpus: int | None = None
    nodes: int = 1

    def __post_init__(self) -> None:
        at_least("cost", vars(self), price_per_hour=0, seconds_per_step=0.001, gpus=1, nodes=1)


def one_of(section: str, key: str, value: str, names: tuple[str, ...]) -> None:
    """Raise ``InputError`` unless ``value`` is one of ``names``."""
    if value not in names:
        raise InputError(f"section '{section}': no {key} '{value}'; it is one of {', '.join(names)}")


def at_least(section: str, values: Mapping[str, Any], **lowest: float) -> None:
    """Raise ``InputError`` for the first number below its lowest value.

    None is not looked at; neither is what is no number at all, which is refused where its kind is known.
    """
    for key, bound in lowest.items():
        try:
            number = float(values[key])
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if not number >= bound:  # NaN neither
            raise InputError(f"section '{section}', key '{key}': at least {bound:g}, got {values[key]}")


def one_line(section: str, key: str, value: str | tuple[str, ...] | None) -> None:
    """Raise ``InputError`` when a text, or one of several, holds more than one line."""
    for text in (value,) if isinstance(value, str) else value or ():
        if "\n" in text or "\r" in text:
            raise InputError(
                f"section '{section}', key '{key}': expected one line, got {text!r}; take the line breaks out"
            )
