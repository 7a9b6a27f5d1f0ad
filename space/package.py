"""The folder that becomes a Space: a small app.py, the package as a wheel, pinned requirements and a card.

The builder of Spaces sees requirements.txt alone when it installs, so that file cannot name a wheel of the
repository. ``app.py`` puts the wheel on the import path instead, and requirements.txt lists what the package
needs. Everything is written byte for byte the same when nothing changed.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path
from string import Template

import yaml

from ..errors import InputError, StageError
from ..hub import DEFAULT_ENDPOINT, Hub, ensure_repo, web_url
from ..hub_push import push_folder, verify_folder
from ..models import resolve

DISTRIBUTION = "countdown-r1"
GRADIO = "6.31.0"  # for publishing without gradio installed; a Space needs a full version
_ROOT = Path(__file__).resolve().parent.parent
_WEIGHTS = "train/tiny/"  # a Space reads its model from the Hub
_DIST_INFO = ("METADATA", "entry_points.txt", "top_level.txt", "licenses/LICENSE")
_APP = '''"""A Space that shows one model solving Countdown puzzles; the code is in the wheel beside this file."""

import os
import sys
from pathlib import Path

MODEL = "$model"
REVISION = "$revision"
WHEEL = "$wheel"

sys.path.insert(0, str(Path(__file__).resolve().parent / WHEEL))

from countdown_r1.errors import CountdownError  # noqa: E402
from countdown_r1.space.app import serve  # noqa: E402

if __name__ == "__main__":
    port = os.environ.get("PORT") or os.environ.get("GRADIO_SERVER_PORT") or "7860"
    everywhere = "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    try:
        serve(f"{MODEL}@{REVISION}", int(port), host=os.environ.get("GRADIO_SERVER_NAME") or everywhere)
    except CountdownError as error:
        sys.exit(f"Error: {error}")
'''


def package_space(
    out: Path, *, model_repo: str, revision: str, dataset_repo: str | None, endpoint: str | None = None
) -> Path:
    """Write the Space's repository to ``out`` and return it.

    ``revision`` pins the model, best as a commit; ``endpoint`` is where the card's links lead. Raises
    ``StageError`` when the package is not installed, so that its metadata are nowhere to be found.
    """
    out.mkdir(parents=True, exist_ok=True)
    wheel = write_wheel(out)
    values = {"model": model_repo, "revision": revision, "wheel": wheel.name}
    (out / "app.py").write_text(Template(_APP).substitute(values), encoding="utf-8")
    (out / "requirements.txt").write_text("\n".join(requirements()) + "\n", encoding="utf-8")
    body = Template(resources.files("countdown_r1.space").joinpath("card.md").read_text(encoding="utf-8")).substitute(
        model=_link(model_repo, "", endpoint),
        revision=revision,
        dataset=_link(dataset_repo, "datasets/", endpoint) if dataset_repo else "drawn as you ask for them",
        version=metadata.version(DISTRIBUTION),
    )
    (out / "README.md").write_text(f"---\n{_front_matter(model_repo, dataset_repo)}---\n\n{body}", encoding="utf-8")
    return out


def push_space(model: str, repo_id: str, hub: Hub) -> str:
    """Make (or bring up to date) the Space ``repo_id`` for a model on the Hub; returns its address.

    The model is pinned to the commit its revision means now. Raises ``InputError`` for a model in a folder, and
    ``HubError`` when the Hub refuses or holds something else afterwards.
    """
    source = resolve(model)
    if source.revision is None:
        raise InputError(f"a Space reads its model from the Hub and '{model}' is a folder; publish it first")
    commit = hub.api.model_info(source.path_or_id, revision=source.revision).sha or source.revision
    with tempfile.TemporaryDirectory() as place:
        folder = package_space(
            Path(place), model_repo=source.path_or_id, revision=commit, dataset_repo=None, endpoint=hub.endpoint
        )
        ensure_repo(hub, repo_id, "space", space_sdk="gradio")
        push_folder(hub, repo_id, "space", folder, message=f"Demo of {source.path_or_id}")
        verify_folder(hub, repo_id, "space", folder, revision="main")
    return web_url(hub, repo_id, "space")


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


def requirements() -> list[str]:
    """What the package and its ``space`` extra need, pinned to the versions that run here."""
    project = _ROOT / "pyproject.toml"
    if project.is_file():
        values = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        needed = [*values["dependencies"], *values["optional-dependencies"]["space"]]
    else:
        needed = [line for line in metadata.requires(DISTRIBUTION) or [] if _needed(line)]
    return sorted(_pinned(line.partition(";")[0].strip()) for line in needed)


def _needed(requirement: str) -> bool:
    """Whether an installed package's requirement belongs to the base or the ``space`` extra."""
    marker = requirement.partition(";")[2]
    return "extra ==" not in marker or 'extra == "space"' in marker.replace("'", '"')


def _pinned(requirement: str) -> str:
    """``torch>=2.6`` as ``torch==2.13.0``; a build's local part (``+cpu``) is found on no index and goes."""
    name = requirement.split(">", 1)[0].split("=", 1)[0].strip()
    version = _version(name)
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


def _front_matter(model_repo: str, dataset_repo: str | None) -> str:
    """The Space's settings, as the Hub reads them from the top of its README."""
    values = {
        "title": "Countdown",
        "emoji": "🎯",
        "colorFrom": "green",
        "colorTo": "yellow",
        "sdk": "gradio",
        "sdk_version": _version("gradio"),
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "app_file": "app.py",
        "short_description": "Watch a small model think through number puzzles",
        "models": [model_repo],
        "datasets": [dataset_repo] if dataset_repo else [],
        "license": "apache-2.0",
        "suggested_hardware": "cpu-basic",
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
