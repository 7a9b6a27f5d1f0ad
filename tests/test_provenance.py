"""An import keeps its source's licence and says whose it is, or claims nothing."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from countdown_r1.build_dataset.dataset import build
from countdown_r1.build_dataset.front_matter import read_front_matter

ROWS = [{"nums": [44, 19, 35], "target": 98}, {"nums": [63, 95, 96], "target": 64}]


def source(folder: Path, card: str | bytes | None) -> Path:
    folder.mkdir()
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    if card is not None:
        (folder / "README.md").write_bytes(card.encode() if isinstance(card, str) else card)
    return folder


def imported(given: Path, out: Path) -> tuple[dict[str, Any], str]:
    build(out, source=str(given), languages=("en",))
    return read_front_matter(out), (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ({"license": "cc-by-nc-4.0"}, {"license": "cc-by-nc-4.0"}),
        ({"license": ["mit", "cc-by-4.0"]}, {"license": ["mit", "cc-by-4.0"]}),
        (
            {"license": "other", "license_name": "mine", "license_link": "https://example.org/l"},
            {"license": "other", "license_name": "mine", "license_link": "https://example.org/l"},
        ),
        ({"license": "CC BY-NC (ask)"}, {"license": "other", "license_name": "CC BY-NC (ask)"}),
        ({"license": "other", "license_link": "../../etc/passwd"}, {"license": "other"}),
        ({"license": "other", "license_link": "javascript:alert(1)"}, {"license": "other"}),
    ],
)
def test_the_licence_of_the_source_travels(tmp_path: Path, keys: dict[str, Any], kept: dict[str, Any]) -> None:
    front, card = imported(source(tmp_path / "given", f"---\n{yaml.safe_dump(keys)}---\n# mine\n"), tmp_path / "out")
    assert {key: value for key, value in front.items() if key.startswith("license")} == kept
    assert "synthetic" not in front["tags"]
    assert "Apache-2.0" not in card
    assert "as the source states it. The puzzles are the work of the authors of `given`" in card
    assert "依来源所述" in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize(
    "card",
    [
        None,
        "# no metadata\n",
        "---\nlanguage: en\n---\n",
        "---\nlicense: {a: 1}\n---\n",
        "---\nlicense: [\n---\n",
        b"\xff",
    ],
)
def test_where_no_licence_is_stated_none_is_claimed(
    tmp_path: Path, card: str | bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    front, text = imported(source(tmp_path / "given", card), tmp_path / "out")
    assert not {"license", "synthetic"} & {*front, *front["tags"]}
    assert "not stated by the source, so none is claimed here" in text
    assert "来源未注明许可证" in text
    assert "states no licence" in caplog.text


def test_a_lone_file_claims_nothing_and_generated_puzzles_stay_ours(tmp_path: Path) -> None:
    given = source(tmp_path / "given", "---\nlicense: mit\n---\n")
    front, text = imported(given / "train.jsonl", tmp_path / "file")
    assert "license" not in front and "the authors of `train.jsonl`" in text
    build(tmp_path / "made", rows=40, languages=("en",))
    front = read_front_matter(tmp_path / "made")
    assert front["license"] == "apache-2.0" and "synthetic" in front["tags"]
    front, _ = imported(tmp_path / "made", tmp_path / "again")
    assert front["license"] == "apache-2.0" and "synthetic" in front["tags"]


def test_a_licence_s_own_text_goes_along_when_the_card_links_to_it(tmp_path: Path) -> None:
    card = "---\nlicense: other\nlicense_name: mine\nlicense_link: LICENSE.txt\n---\n"
    given = source(tmp_path / "given", card)
    (given / "LICENSE.txt").write_text("Be kind.")
    front, _ = imported(given, tmp_path / "out")
    assert front["license_link"] == "LICENSE.txt"
    front, _ = imported(tmp_path / "out", tmp_path / "again")
    assert front["license_link"] == "LICENSE.txt"
    assert (tmp_path / "again/LICENSE.txt").read_text() == "Be kind."


CHAIN = """
from pathlib import Path
from countdown_r1.hub import connect, user_name
hub = connect("rehearsal", data=Path("hub"))
from countdown_r1.build_dataset.dataset import build, load, push
from countdown_r1.build_dataset.front_matter import read_front_matter
from countdown_r1.train.questions import Questions, select_rows
theirs, ours = (f"{user_name(hub)}/{name}" for name in ("nc-puzzles", "nc"))
hub.api.create_repo(theirs, repo_type="dataset")
first = hub.api.upload_folder(repo_id=theirs, repo_type="dataset", folder_path="given").oid
build(Path("one"), source=theirs, languages=("en",))
push(Path("one"), ours, hub)
card = Path("given/README.md")
card.write_text(card.read_text().replace("cc-by-nc-4.0", "mit"))
hub.api.upload_folder(repo_id=theirs, repo_type="dataset", folder_path="given")
build(Path("two"), source=ours, languages=("en",))
build(Path("three"), source=f"{theirs}@{first}", languages=("en",))
for folder in ("one", "two", "three"):
    front = read_front_matter(Path(folder))
    names = [name.partition("/")[2] for name in front["source_datasets"]]
    print(front.get("license"), names, "synthetic" in front["tags"])
print(first[:12] in Path("one/README.md").read_text(), Path("two/README.md").read_text().count("and before that of"))
print(load(theirs, "en", "train").to_list() == load("given", "en", "train").to_list())
print(len(select_rows(Questions(theirs, language="en"), "train", 2)))
"""


def test_a_chain_of_imports_from_a_hub_keeps_the_licence_of_the_revision_that_was_read(tmp_path: Path) -> None:
    source(tmp_path / "given", "---\nlicense: cc-by-nc-4.0\nlanguage: en\n---\n# mine\n")
    settings = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    settings["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    command = [sys.executable, "-c", textwrap.dedent(CHAIN)]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "cc-by-nc-4.0 ['nc-puzzles'] False",
        "cc-by-nc-4.0 ['nc', 'nc-puzzles'] False",
        "cc-by-nc-4.0 ['nc-puzzles'] False",
        "True 2",
        "True",
        "2",
    ]
    assert not re.search(r"license: apache", (tmp_path / "two/README.md").read_text(encoding="utf-8"))
