"""What must not become public is found before the first byte leaves, and never shown in full.

Secrets are put together at run time, so that no scanner takes this file for a leak.
"""

import io
import json
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countdown_r1.errors import HubError
from countdown_r1.scan import BLOCK_BYTES, Finding, mask, refuse, scan

HF = "hf_" + "aB3" * 12
SECRETS = {
    "Hugging Face token": HF,
    "GitHub token": "ghp_" + "a1B2" * 9,
    "AWS key id": "AKIA" + "Q7" * 8,
    "OpenAI style key": "sk-" + "proj-" + "a1B2" * 10,
    "Slack token": "xoxb-" + "1234567890-abc",
    "Google key": "AIza" + "a1B2_" * 7,
    "GitLab token": "glpat-" + "a1B2" * 5,
    "JSON web token": "eyJ" + "a1B2" * 5 + ".eyJ" + "c3D4" * 5 + "." + "e5F6" * 5,
    "Azure storage key": "AccountKey=" + "a1B2" * 21 + "a1==",
    "Discord token": "MTk4NjIyNDgzNDcxOTI1MjQ4" + ".Cl2FMQ." + "a1B2c3D4e" * 3,
    "Telegram token": "110201543" + ":AA" + "a1B2c3D4e5F" * 3,
    "Square token": "sq0csp-" + "a1B2" * 10 + "c3D",
    "Mailchimp key": "0a1b" * 8 + "-us12",
    "Twilio key": "SK" + "0a1b" * 8,
    "private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
}


def kinds(folder: Path, name: str, content: str | bytes) -> list[str]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [finding.kind for finding in scan(folder)]


@pytest.mark.parametrize(("kind", "secret"), SECRETS.items())
def test_each_form_of_secret_is_found_with_its_line_and_masked(tmp_path: Path, kind: str, secret: str) -> None:
    (tmp_path / "notes.md").write_text(f"first\nsecond: {secret}\n")
    (finding,) = scan(tmp_path)
    assert (finding.path, finding.line, finding.kind) == ("notes.md", 2, kind)
    assert secret not in str(finding) and finding.shown.startswith(secret[:4]) and secret[5:] not in finding.shown


def test_a_password_inside_an_address_is_found_and_a_placeholder_is_not(tmp_path: Path) -> None:
    address = "https://someone:" + "correct-horse@example.com/data"
    assert kinds(tmp_path, "config.yaml", f"mirror: {address}") == ["password in a URL"]
    assert scan(tmp_path)[0].shown == mask("correct-horse")
    for harmless in ("https://user:password@example.com", "http://127.0.0.1:7860/a@b", "https://${USER}:${TOKEN}@a.b"):
        assert kinds(tmp_path, "config.yaml", harmless) == []


@pytest.mark.parametrize(
    "text",
    [
        'password = "correct-horse"',
        "PASSWORD=correct-horse",
        '{"password": "correct-horse"}',
        json.dumps(json.dumps({"password": "correct-horse"})),
        "client_secret: correct-horse",
        "password = correct-horse  # of the test account",
        "host=somewhere password=correct-horse user=someone",
    ],
)
def test_an_assigned_password_is_found_and_its_value_masked(tmp_path: Path, text: str) -> None:
    assert kinds(tmp_path, "settings.yaml", text) == ["password"]
    assert scan(tmp_path)[0].shown == mask("correct-horse")


@pytest.mark.parametrize(
    "text",
    [
        "password: str | None",
        "password = getpass.getpass()",
        'password = "${PASSWORD}"',
        "password: ********",
        "Invalid username or password: writing needs a token",
        "connect(password=password, user=user)",
        "password = settings.password",
        'f"password={password}"',
        "noreply@huggingface.co",
        "someone@example.com, someone@sub.example.org, 1234+someone@users.noreply.github.com",
        "git@github.com:someone/project.git",
        "https://example.com/home/someone",
        "the file lies in outputs/home/someone",
        "a Space runs in /home/user/app",
        "the risk-" + "averse-and-careful-player-wins-2-games",
        "1 + 2 = 3 @ 5. (3 * 4) / 6",
        "countdown-r1 @ file:./wheel",
        "x@y.T",
    ],
)
def test_ordinary_text_is_no_finding(tmp_path: Path, text: str) -> None:
    assert kinds(tmp_path, "card.md", text) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ask someone@somewhere.org", "e-mail address"),
        ("noreply@example.com.elsewhere.io is not @example.com".replace("noreply", "me"), "e-mail address"),
        ("saved to /home/" + "someone/run", "home folder"),
        ("saved to /Users/" + "someone/run", "home folder"),
        ("file:///root/" + "run", "home folder"),
        ('{"log": "done\\n/home/' + 'someone"}', "home folder"),
        ("C:\\Users\\" + "someone", "home folder"),
        (json.dumps("C:\\Users\\" + "someone"), "home folder"),
        ("c:/Users/" + "someone", "home folder"),
        ("/home/" + "user2/app", "home folder"),
    ],
)
def test_personal_traces_are_found_in_text(tmp_path: Path, text: str, kind: str) -> None:
    assert kinds(tmp_path, "records.jsonl", text) == [kind]


def test_an_address_that_was_allowed_is_no_finding_and_no_text_can_be_allowed_so(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("By first.author@university.edu, second.author@university.edu.\n")
    with pytest.raises(HubError, match=r"e-mail address \(firs.*e-mail address \(seco.*pass --allow-email ADDRESS"):
        refuse(scan(tmp_path), allow=True)
    allowed = ["First.Author@university.edu", "second.author@university.edu"]
    assert scan(tmp_path, allowed=allowed) == []
    assert [one.shown[:4] for one in scan(tmp_path, allowed=allowed[:1])] == ["seco"]
    assert len(scan(tmp_path, allowed=[".*@university.edu", "university.edu"])) == 2
    (tmp_path / "README.md").write_text(f"{HF} at /home/" + "someone")
    found = scan(tmp_path, allowed=[HF, "/home/" + "someone"])
    assert [one.kind for one in found] == ["Hugging Face token", "home folder"]
    with pytest.raises(HubError, match=r"remove it and retry$"):
        refuse(found)


def test_a_false_alarm_is_let_through_by_its_place_and_hash_and_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text(f"fine\ntoken: {HF}\n")
    (alarm,) = scan(tmp_path)
    with pytest.raises(HubError, match=rf"pass --allow-finding 'notes.md:2#{alarm.digest}'$") as refusal:
        refuse([alarm], allow=True)
    assert HF not in str(refusal.value)
    assert scan(tmp_path, allowed=[alarm.key]) == []
    for wrong in ("notes.md:2", f"notes.md:1#{alarm.digest}", f"notes.md:2#{'0' * 12}"):
        assert scan(tmp_path, allowed=[wrong]) == [alarm]
    assert scan(tmp_path, {"access token in use": HF}, allowed=[alarm.key]), "the token in use is no false alarm"
    path.write_text(f"fine\ntoken: {HF[:-1]}9\n")
    assert len(scan(tmp_path, allowed=[alarm.key])) == 1, "another text at the same place"


def test_a_file_counts_as_text_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    assert kinds(tmp_path, "deep/picture.png", f"token: {HF}") == ["Hugging Face token"]


def test_a_secret_in_a_binary_file_and_in_utf_16_is_found(tmp_path: Path) -> None:
    assert kinds(tmp_path, "weights.bin", b"\0\1\2" + HF.encode()) == ["Hugging Face token"]
    (tmp_path / "weights.bin").unlink()
    assert kinds(tmp_path, "windows.txt", f"me@somewhere.org {HF}".encode("utf-16")) == [
        "e-mail address",
        "Hugging Face token",
    ]


def test_the_header_of_safetensors_is_read_and_its_weights_are_not(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    weights = np.frombuffer(HF.encode() * 4, dtype=np.uint8)
    save_file({"weight": weights}, tmp_path / "model.safetensors")
    assert scan(tmp_path) == []
    save_file({"weight": weights}, tmp_path / "model.safetensors", metadata={"token": HF})
    assert [finding.kind for finding in scan(tmp_path)] == ["Hugging Face token"]


def test_a_wheel_is_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "package.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package/settings.py", f"\nTOKEN = '{HF}'")
    assert [(finding.path, finding.line) for finding in scan(tmp_path)] == [("package.whl!package/settings.py", 2)]


def test_parquet_columns_are_read_nested_ones_too(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    turns = [[{"role": "user", "content": "fine"}], [{"role": "user", "content": "me@somewhere.org"}]]
    pq.write_table(pa.table({"id": ["a", HF], "prompt": turns}), tmp_path / "train.parquet", compression="zstd")
    found = [(finding.path, finding.line, finding.kind) for finding in scan(tmp_path)]
    assert found == [
        ("train.parquet#id", 2, "Hugging Face token"),
        ("train.parquet#prompt", 2, "e-mail address"),
    ]


def test_parquet_schema_binary_columns_dictionaries_and_maps_are_read_too(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "dictionary": pa.array([HF]).dictionary_encode(),
        "binary": pa.array([HF.encode()]),
        "map": pa.array([[("key", HF)]], pa.map_(pa.string(), pa.string())),
    }
    for name, column in columns.items():
        pq.write_table(pa.table({name: column}), tmp_path / "x.parquet", compression="zstd")
        assert {finding.kind for finding in scan(tmp_path)} == {"Hugging Face token"}, name
    pq.write_table(pa.table({"a": ["x"]}).replace_schema_metadata({"author": HF}), tmp_path / "x.parquet")
    assert {finding.path for finding in scan(tmp_path)} == {"x.parquet#schema"}
    pq.write_table(pa.table({HF: ["x"]}), tmp_path / "x.parquet")
    assert scan(tmp_path)


def test_an_archive_in_an_archive_and_text_before_one_are_read(tmp_path: Path) -> None:
    def packed(name: str, content: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        return file.getvalue()

    (tmp_path / "outer.whl").write_bytes(packed("inner.zip", packed("notes.txt", f"\n{HF}".encode())))
    assert [finding.path for finding in scan(tmp_path)] == ["outer.whl!inner.zip!notes.txt"]
    (tmp_path / "outer.whl").write_bytes(f"{HF}\n".encode() + packed("notes.txt", b"fine"))
    assert [finding.path for finding in scan(tmp_path)] == ["outer.whl"]


def test_utf_16_without_a_mark_is_read(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert kinds(tmp_path, "windows.txt", f"token {HF}".encode(encoding)) == ["Hugging Face token"]


def test_a_vocabulary_may_hold_fragments_of_paths_and_addresses_but_no_secret(tmp_path: Path) -> None:
    fragments = {"/home/" + "someone": 1, "me@somewhere.org": 2}
    assert kinds(tmp_path, "tokenizer.json", json.dumps(fragments)) == []
    assert kinds(tmp_path, "tokenizer.json", json.dumps(fragments | {HF: 3})) == ["Hugging Face token"]


@settings(max_examples=60, deadline=None)
@given(
    before=st.integers(0, 8192 + 2 * BLOCK_BYTES),
    secret=st.sampled_from([HF, "someone@somewhere.org", "x" * 20 + "@example.com", "/home/" + "user/x"]),
    filler=st.sampled_from([" ", "\n", "a ", "line of text\n"]),
)
def test_the_place_in_a_large_file_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, before: int, secret: str, filler: str
) -> None:
    folder = tmp_path_factory.mktemp("large")
    text = (filler * (before // len(filler) + 1))[:before] + " " + secret + " " + filler * 1000
    path = folder / "large.txt"
    path.write_text(text)
    found = [(finding.line, finding.shown) for finding in scan(folder)]
    path.unlink()
    harmless = "@example.com" in secret or secret.startswith("/home/user")
    assert found == ([] if harmless else [(text.count("\n", 0, before) + 1, mask(secret))])


@pytest.mark.parametrize("edge", [8192, 8192 + BLOCK_BYTES])
@pytest.mark.parametrize("shift", range(-45, 3, 3))
def test_nothing_is_missed_or_cut_at_the_edge_of_a_block(tmp_path: Path, edge: int, shift: int) -> None:
    text = " " * (edge + shift - 1) + " " + HF + " me@sub.example.com " + "/home/" + "user "
    (tmp_path / "edge.txt").write_text(text + " " * 9000)
    assert scan(tmp_path) == [Finding("edge.txt", 1, "Hugging Face token", mask(HF))]


def test_forty_megabytes_on_one_line_take_seconds(tmp_path: Path) -> None:
    with (tmp_path / "long.jsonl").open("w") as file:
        for _ in range(40):
            file.write('{"text": "' + "(1 + 2) * 3 = 9, so far so good. " * 31_000 + '"}')
        file.write(HF)
    assert [finding.kind for finding in scan(tmp_path)] == ["Hugging Face token"]


@pytest.mark.parametrize("hostile", ["a", "a.", "a@", "-", "eyJ", "sk-", "hf_", "password=", "/home/", "-----BEGIN A "])
def test_hostile_text_is_scanned_in_linear_time(tmp_path: Path, hostile: str) -> None:
    (tmp_path / "hostile.txt").write_text(hostile * (1_000_000 // len(hostile)) + HF[:2])
    assert isinstance(scan(tmp_path), list)


def test_a_file_once_found_clean_is_looked_at_again_when_it_changed_or_more_is_private(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("x" * 100)
    assert scan(tmp_path) == scan(tmp_path) == []
    assert [one.kind for one in scan(tmp_path, {"name of this computer": "xxxxxx"})] == ["name of this computer"] * 16
    path.write_text("x" * (100 - len(HF) - 1) + f" {HF}")
    assert [one.kind for one in scan(tmp_path)] == ["Hugging Face token"] == [one.kind for one in scan(tmp_path)]
    (tmp_path / "tokenizer.json").write_text("me@somewhere.org")
    path.unlink()
    assert scan(tmp_path) == []
    os.link(tmp_path / "tokenizer.json", path)
    assert [one.path for one in scan(tmp_path)] == ["notes.txt"], "the same bytes under a name that excuses nothing"


def test_a_text_named_as_private_is_found_anywhere(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\0\0rehearsal-secret")
    found = scan(tmp_path, {"access token in use": "rehearsal-secret", "unset": ""})
    assert [finding.kind for finding in found] == ["access token in use"]


def test_findings_stop_an_upload_in_one_masked_line(tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text(f"{HF}\n" * 7)
    with pytest.raises(HubError) as refusal:
        refuse(scan(tmp_path))
    message = str(refusal.value)
    assert "many.txt:1: Hugging Face token" in message and "and 2 more" in message
    assert HF not in message and "\n" not in message
    refuse([])
