"""The names and addresses of a run's repositories, and the commits that are known so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..repo_names import check_repo_id


@dataclass(frozen=True)
class Links:
    """The repositories of a run, None for what it has not. ``site`` is put before every path: the Hub's address, or
    nothing on a rehearsal Hub, whose port says nothing to a reader. Revisions are commits, None where not known yet:
    of the dataset, of the branch with the best weights, of the model's ``main``, which has a ``tag`` by then;
    ``checkpoints`` are those of the branches ``step-N``."""

    dataset: str | None
    model: str
    space: str | None
    site: str = ""
    dataset_revision: str | None = None
    weights_revision: str | None = None
    model_revision: str | None = None
    tag: str | None = None
    evaluation: str | None = None
    completions: str | None = None
    checkpoints: dict[str, str] = field(default_factory=dict)

    @property
    def repos(self) -> dict[str, tuple[str, str]]:
        """Type and id of each repository by its role, in the order in which they are pushed."""
        found = {"dataset": ("dataset", self.dataset), "model": ("model", self.model)}
        found |= {"evaluation": ("dataset", self.evaluation), "completions": ("dataset", self.completions)}
        found |= {"space": ("space", self.space)}
        return {role: (kind, name) for role, (kind, name) in found.items() if name}

    @property
    def urls(self) -> dict[str, str | None]:
        """``ROLE_url`` and ``ROLE_id`` for the templates; None for a repository that the run has not."""
        prefixes = {"model": "", "dataset": "datasets/", "space": "spaces/"}
        values: dict[str, str | None] = {}
        for role in ("dataset", "model", "evaluation", "completions", "space"):
            kind, name = self.repos.get(role, ("", None))
            values |= {f"{role}_id": name, f"{role}_url": f"{self.site}/{prefixes[kind]}{name}" if name else None}
        return values

    @property
    def namespace(self) -> str:
        return self.model.partition("/")[0]


def every_link(namespace: str, name: str, dataset_name: str, site: str = "") -> Links:
    """All the repositories that a run called ``name`` may come to have."""
    model = f"{namespace}/countdown-r1-{name}"
    demo = model if model.endswith("-demo") else f"{model}-demo"  # a Space may have the name of a model
    links = Links(f"{namespace}/{dataset_name}", model, demo, site)
    return replace(links, evaluation=f"{model}-evaluation", completions=f"{model}-completions")


def check_names(links: Links) -> None:
    """Raise ``InputError`` for a repository whose name the Hub would refuse: before anything is sent."""
    for role, (_, repo_id) in links.repos.items():
        about = "change publish.dataset_name in the recipe" if role == "dataset" else "rename the folder of the run"
        check_repo_id(repo_id, about)
