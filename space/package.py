"""The folder that becomes a Space: a small app.py, the package as a wheel, pinned requirements and a card.

The builder of Spaces sees requirements.txt alone when it installs, so that file cannot name a wheel of the
repository. ``app.py`` puts the wheel on the import path instead, and requirements.txt lists what the package
needs. Everything is written byte for byte the same when nothing changed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from string import Template

import yaml

from ..errors import StageError
from ..game.solver import easiest_solution
from ..hub import DEFAULT_ENDPOINT
from .puzzles import link
from .story import Story, opening_puzzle, own
from .trained_on import TrainedOn, of_record

DISTRIBUTION = "countdown-r1"
ZERO_GPU = {"spaces==0.51.3", "torch==2.8.0"}  # the versions that ZeroGPU is documented to support
ZERO_GPU_PYTHON = "3.12"
GRADIO = "6.31.0"  # for publishing without gradio installed; a Space needs a full version
_ROOT = Path(__file__).resolve().parent.parent
_WEIGHTS = ("train/tiny/", "train/novice/")  # a Space reads its model from the Hub
_DIST_INFO = ("METADATA", "entry_points.txt", "top_level.txt", "licenses/LICENSE")
_APP = '''"""A Space that shows a model solving Countdown puzzles; the code is in the wheel beside this file."""
$spaces
import os
import sys
from pathlib import Path

MODEL = "$model"
REVISION = "$revision"
OTHERS = $others  # models to compare with; the variable COUNTDOWN_R1_COMPARE names more, separated by spaces
HERE = Path(__file__).resolve().parent

sys.path.insert(0, str(HERE / "$wheel"))

from countdown_r1.errors import CountdownError  # noqa: E402
from countdown_r1.space.server import serve  # noqa: E402

if __name__ == "__main__":
    port = os.environ.get("PORT") or os.environ.get("GRADIO_SERVER_PORT") or "7860"
    everywhere = "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    try:
        serve(
            f"{MODEL}@{REVISION}",
            int(port),
            host=os.environ.get("GRADIO_SERVER_NAME") or everywhere,
            others=[*OTHERS, *os.environ.get("COUNTDOWN_R1_COMPARE", "").split()],
            told=HERE / "story.json",
            may_be_missing=True,
        )
    except CountdownError as error:
        sys.exit(f"Error: {error}")
'''
_DOCKERFILE = """# Anywhere but on the Hub: docker build -t countdown . && docker run -p 7860:7860 -e HF_TOKEN countdown
FROM python:$python-slim
RUN useradd -m user
USER user
WORKDIR /home/user/app
COPY --chown=user requirements.txt .
RUN pip install --no-cache-dir --user $torch -r requirements.txt
COPY --chown=user . .
ENV GRADIO_SERVER_NAME=0.0.0.0 PORT=7860 GRADIO_ANALYTICS_ENABLED=False
EXPOSE 7860
CMD ["python", "app.py"]
"""
_CPU_WHEELS = "--extra-index-url https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class Wishes:
    """What a Space is to have: the training ``story`` its page tells, if any, ``others`` to compare with, ZeroGPU; and
    what was ``measured`` of its model, for its card, in a sentence of English and one of Chinese."""

    story: Story | None = None
    others: tuple[str, ...] = ()
    zero_gpu: bool = False
    measured: tuple[str, str] = ("", "")


def package_space(
    out: Path,
    *,
    model_repo: str,
    revision: str,
    dataset_repo: str | None,
    space_repo: str = "SPACE_OR_URL",
    endpoint: str | None = None,
    wishes: Wishes | None = None,
) -> Path:
    """Write the repository of the Space ``space_repo`` to ``out`` and return it.

    ``revision`` pins the model, best as a commit; ``endpoint`` is where the card's links lead. Raises ``StageError``
    when the package is not installed, so that its metadata are nowhere to be found.
    """
    wishes = wishes or Wishes()
    zero_gpu = wishes.zero_gpu
    out.mkdir(parents=True, exist_ok=True)
    wheel = write_wheel(out)
    values = {"model": model_repo, "revision": revision, "wheel": wheel.name, "others": json.dumps(list(wishes.others))}
    values["spaces"] = "\nimport spaces  # ZeroGPU: before torch  # noqa: F401\n" if zero_gpu else ""
    _write(out / "app.py", Template(_APP).substitute(values))
    _write(out / "story.json", json.dumps(wishes.story, ensure_ascii=False, indent=1) + "\n")
    _write(out / "requirements.txt", "\n".join(requirements(zero_gpu)) + "\n")
    python = _python(zero_gpu)
    _write(out / "Dockerfile", Template(_DOCKERFILE).substitute(python=python, torch="" if zero_gpu else _CPU_WHEELS))
    trained = of_record((own(wishes.story) or {}).get("trained_on"))
    puzzle = opening_puzzle(wishes.story, trained)
    body = Template(resources.files("countdown_r1.space").joinpath("card.md").read_text(encoding="utf-8")).substitute(
        model=_link(model_repo, "", endpoint),
        revision=revision,
        dataset=_link(dataset_repo, "datasets/", endpoint) if dataset_repo else "drawn as you ask for them",
        version=metadata.version(DISTRIBUTION),
        space=space_repo,
        measured=wishes.measured[0] or "No rate of this model was handed over with this Space.",
        measured_zh=wishes.measured[1] or "制作这个 Space 时没有得到该模型的解题率。",
        learned=_learned(trained, "en"),
        learned_zh=_learned(trained, "zh"),
        numbers=" ".join(map(str, puzzle.nums)),
        target=puzzle.target,
        answer=easiest_solution(puzzle),
        link=link(puzzle),
    )
    _write(out / "README.md", f"---\n{_front_matter(model_repo, dataset_repo, zero_gpu)}---\n\n{body}")
    return out


def _learned(trained: TrainedOn, language: str) -> str:
    """What the model was trained on, in a sentence; what models of this project usually are where nobody knows."""
    known, kind = trained.recorded, trained.described(language)
    if language == "zh":
        return f"{'本模型是用' if known else '本项目的模型通常是用'}{kind}训练的。"
    return f"{'The model was' if known else 'Models of this project usually are'} trained on {kind}."


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _python(zero_gpu: bool) -> str:
    return ZERO_GPU_PYTHON if zero_gpu else f"{sys.version_info.major}.{sys.version_info.minor}"


def write_wheel(folder: Path) -> Path:
    """A wheel of the running package in ``folder``: from a checkout or an installed wheel, without a build tool.

    Dates and order are fixed, so the same sources give the same bytes. The shipped weights stay out.
    """
    # A build may leave an egg-info beside the sources, which is found first there and holds no METADATA.
    found = metadata.distributions(name=DISTRIBUTION)
    installed = next((one for one in found if one.read_text("METADATA")), None)
    if installed is None:
        raise StageError(f"{DISTRIBUTION} is not installed here; run: pip install -e .")
    stem = f"{DISTRIBUTION.replace('-', '_')}-{installed.version}"
    info = f"{stem}.dist-info"
    files = {f"countdown_r1/{name}": (_ROOT / name).read_bytes() for name in sorted(set(package_files()))}
    files |= {f"{info}/{name}": text.encode() for name in _DIST_INFO if (text := installed.read_text(name))}
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: countdown-r1\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = _record(files, info)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return path


def package_files() -> Iterator[str]:
    """Every file of the package but the shipped weights, as posix paths below its root."""
    project = _ROOT / "pyproject.toml"
    if project.is_file():
        names = _files_of_checkout(tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["setuptools"])
    else:
        listed = metadata.files(DISTRIBUTION) or []
        names = (path.as_posix().removeprefix("countdown_r1/") for path in listed if path.parts[0] == "countdown_r1")
    yield from (name for name in names if not name.startswith(_WEIGHTS) and not name.endswith(".pyc"))


def _files_of_checkout(setuptools: dict) -> Iterator[str]:
    """What setuptools would put into a wheel: modules of the listed packages and their data files."""
    for package in setuptools["packages"]:
        folder = _ROOT.joinpath(*package.split(".")[1:])
        for pattern in ("*.py", *setuptools["package-data"].get(package, [])):
            yield from (path.relative_to(_ROOT).as_posix() for path in folder.glob(pattern) if path.is_file())


def requirements(zero_gpu: bool = False) -> list[str]:
    """What the package and its ``space`` extra need, pinned to the versions that run here; for ZeroGPU the torch it
    supports, and its own package."""
    project = _ROOT / "pyproject.toml"
    if project.is_file():
        values = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        needed = [*values["dependencies"], *values["optional-dependencies"]["space"]]
    else:
        needed = [line for line in metadata.requires(DISTRIBUTION) or [] if _needed(line)]
    pinned = {_pinned(line.partition(";")[0].strip()) for line in needed}
    if zero_gpu:
        pinned = {line for line in pinned if not line.startswith("torch==")} | ZERO_GPU
    return sorted(pinned)


def _needed(requirement: str) -> bool:
    """Whether an installed package's requirement belongs to the base or the ``space`` extra."""
    marker = requirement.partition(";")[2]
    return "extra ==" not in marker or 'extra == "space"' in marker.replace("'", '"')


def _pinned(requirement: str) -> str:
    """``torch>=2.6`` as ``torch==2.13.0``; a build's local part (``+cpu``) is found on no index and goes."""
    name = requirement.split(">", 1)[0].split("=", 1)[0].strip()
    version = _version(name.partition("[")[0])
    return f"{name}=={version}" if version else requirement


def _version(name: str) -> str | None:
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return GRADIO if name == "gradio" else None


def _record(files: dict[str, bytes], info: str) -> bytes:
    """The wheel's list of files: path, SHA-256 in URL-safe base64, size (PEP 427)."""
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    return "".join([*lines, f"{info}/RECORD,,\n"]).encode()


def _front_matter(model_repo: str, dataset_repo: str | None, zero_gpu: bool) -> str:
    """The Space's settings, as the Hub reads them from the top of its README."""
    values = {
        "title": "Countdown",
        "emoji": "🎯",
        "colorFrom": "green",
        "colorTo": "yellow",
        "sdk": "gradio",
        "sdk_version": _version("gradio"),
        "python_version": _python(zero_gpu),
        "app_file": "app.py",
        "short_description": "Watch a small model think through number puzzles",
        "models": [model_repo],
        "datasets": [dataset_repo] if dataset_repo else [],
        "license": "apache-2.0",
        "suggested_hardware": "zero-a10g" if zero_gpu else "cpu-basic",
        "tags": ["countdown", "reasoning", "grpo"],
    }
    kept = {key: value for key, value in values.items() if value}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)


def _link(repo_id: str, prefix: str, endpoint: str | None) -> str:
    """A repository in Markdown; a loopback address leads nowhere for a reader, so none is written."""
    base = (endpoint or DEFAULT_ENDPOINT).rstrip("/")
    if "//127.0.0.1" in base or "//localhost" in base or "//[::1]" in base:
        return f"`{repo_id}`"
    return f"[{repo_id}]({base}/{prefix}{repo_id})"
