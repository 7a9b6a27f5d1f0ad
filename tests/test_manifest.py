"""What every stage writes down about itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from countdown_r1 import manifest


def test_the_commit_is_the_one_that_was_named_else_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTDOWN_R1_COMMIT", "feed")  # a copy of the code may lie in another commit's checkout
    manifest.write(tmp_path, manifest.Manifest("train", ""))
    assert manifest.read(tmp_path).git_commit == "feed"
    monkeypatch.delenv("COUNTDOWN_R1_COMMIT")
    manifest.write(tmp_path, manifest.Manifest("train", ""))
    found = manifest.read(tmp_path).git_commit
    assert found is None or len(found) == 40
