"""Which texts are secrets and which are not, kind by kind, and the containers in which they are found.

Secrets are drawn when the tests run, so that no scanner takes this file for a leak. ``{n}`` is so many letters and
digits, ``{n:hex}`` hexadecimal digits, ``{n:url}`` letters, digits, ``_`` and ``-``, ``{n:up}`` capitals and digits.
"""

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import random
import re
import string
import zipfile
import zlib
from pathlib import Path

import pytest

from countdown_r1.scan import scan

ALPHABETS = {
    None: string.ascii_letters + string.digits,
    "hex": string.digits + "abcdef",
    "url": string.ascii_letters + string.digits + "_-",
    "up": string.ascii_uppercase + string.digits,
    "b32": string.ascii_uppercase + "234567",
    "age": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
    "n": string.digits,
}
TOKENS = """
hf_{34} api_org_{34} hf_oauth_eyJ{60}.eyJ{80}.{43:url} ghp_{36} gho_{36} github_pat_{22}_{59} glpat-{20:url} glrt-{20}
gldt-{20} AKIA{16:b32} ASIA{16:b32} LTAI5t{18} LTAI{12} AKID{32} AKLT{43} bce-v3/ALTAK-{20}/{40:hex} AIza{35:url}
GOCSPX-{28:url} ya29.{120:url} 1//0{60:url} sk-{48} sk-{32:hex} sk-proj-{74:url}T3BlbkFJ{74:url}
sk-ant-api03-{93:url}AA sk-or-v1-{64:hex} gsk_{52} xai-{80} pplx-{48} nvapi-{64:url} fw_{24} lsv2_pt_{32:hex}_{10:hex}
wandb_v1_{60:url} r8_{37} rpa_{40:up} as-{22} ak-{22} tvly-{32} tgp_v1_{43:url} pcsk_{60:url} {32:hex}.{16}
sk_{48:hex} xoxb-{12:n}-{12:n}-{24} xapp-1-A0{9:up}-{13:n}-{64:hex} dckr_pat_{27} dapi{32:hex} hvs.{95:url} hvs.{24}
{14}.atlasv1.{67} glsa_{32}_{8:hex} shpat_{32:hex} AGE-SECRET-KEY-1{58:age} sk_live_{24} rk_live_{24} whsec_{32}
SG.{22:url}.{43:url} npm_{36} pypi-AgEIcHlwaS5vcmc{120:url} dop_v1_{64:hex} eyJ{20}.eyJ{60}.{43:url}
MTE{21}.{6}.{38:url} {10:n}:AA{33:url} sq0atp-{22:url} lin_api_{40} ntn_{11:n}{35} secret_{43} figd_{40:url}
pat{14}.{64:hex} pscale_tkn_{43:url} sbp_{40:hex} nfp_{36} fo1_{43:url} HRKU-AA{58:url} dp.pt.{43} pul-{40:hex}
PMAK-{24:hex}-{34:hex} rubygems_{48:hex} AKCp{69} ops_eyJ{260} NRAK-{27:up} EAACEdEose0cBA{120} sl.{135:url}
$6${16}${86} $apr1${8}${22} $2b$12${53} https://{40}@github.com/a/b.git https://x-access-token:ghs_{36}@github.com/a/b
postgres://bob:pa$$w*rd1@db.host:5432/x redis://:s3cr*t99@cache.host:6379/0 https://{32:hex}@o123.ingest.sentry.io/456
db.host:5432:app:bob:{14} https://acc.blob.core.windows.net/c/b?sv=2022-11-02&ss=b&sig={40}%2B%3D AccountKey={86}==
https://hooks.slack.com/workflows/T{8:up}/A{10:up}/{18:n}/{24} https://hooks.slack.com/services/T{8:up}/B{10:up}/{24}
https://discord.com/api/webhooks/{18:n}/{68:url}
https://open.feishu.cn/open-apis/bot/v2/hook/{8:hex}-{4:hex}-{4:hex}-{12:hex}
https://oapi.dingtalk.com/robot/send?access_token={64:hex}
https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={8:hex}-{4:hex}-{12:hex} WANDB_API_KEY={40:hex}
MAILCHIMP_API_KEY={32:hex}-us12 TWILIO_API_KEY=SK{32:hex} TWILIO_AUTH_TOKEN={32:hex} COHERE_API_KEY={40}
aws_session_token={200} MINIO_SECRET_KEY={40} JWT_SECRET={32} ENCRYPTION_KEY={43}= VERCEL_TOKEN={24}
//registry.npmjs.org/:_authToken={36} OKTA_TOKEN=00{40:url} HEROKU_API_KEY={8:hex}-{4:hex}-{4:hex}-{12:hex}
<password>{12}</password> {{"access_token":"{40}"}} {{"refresh_token":"{40}"}} {{"username":"bob","key":"{32:hex}"}}
{{"SecretAccessKey":"{40}"}} {{"apiKey":"{39:url}"}}
"""
LINES = [
    "machine api.wandb.ai login user password {40:hex}",
    "token: {32}",
    "pwd={12}!",
    "Server=db;Uid=sa;Pwd={10}7;",
    "SECRET_KEY = 'django-insecure-{50}'",
    "aws_secret_access_key = {40}",
    "Authorization: Bearer {40}",
    "X-Api-Key: {32}",
    "Cookie: {32}",
    "client_secret: {30}",
    "MISTRAL_API_KEY: {32}",
    "PrivateKey = {42}A=",
    "curl -u bob:{14} https://api.somewhere.com",
    "sshpass -p '{12}' ssh bob@host",
    "-----BEGIN " + "RSA PRIVATE KEY-----",
    "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----",
    "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "---- BEGIN SSH2 ENCRYPTED " + "PRIVATE KEY ----",
    "PuTTY-User-Key-File-3: ssh-ed25519",
]
MD5, SHA1 = hashlib.md5(b"a").hexdigest(), hashlib.sha1(b"a").hexdigest()
INNOCENT = [
    *("see /data/train/x.parquet", "model sk-learn-pipeline-v2-2024-11", f"id SK{MD5} seen", f"run {MD5}-us1 done"),
    *(f"sha256: {SHA1}{MD5}", f'"etag": "{MD5}"', f"cache key: {MD5}", '{"id":"550e8400-e29b-41d4-a716-446655440000"}'),
    *(
        "password: required",
        "password must be at least 8 characters",
        "password = input('Password: ')",
        "password: null",
    ),
    *("api_key = os.environ['OPENAI_API_KEY']", 'api_key=os.getenv("KEY")', "token: str | None = None", "secret: ''"),
    *(
        "HF_TOKEN=$HF_TOKEN",
        "HF_TOKEN=${HF_TOKEN}",
        "export HF_TOKEN=hf_...",
        "hf_" + "x" * 34,
        "token = 'hf_your_token_here'",
    ),
    *(
        "--token <YOUR_TOKEN>",
        "WANDB_API_KEY=your-key-here",
        "OPENAI_API_KEY=sk-...",
        "sk-" + "x" * 32,
        "password=********",
    ),
    *(
        "https://user:pass@host/path",
        "postgres://user:${PGPASS}@db/x",
        "redis://localhost:6379/0",
        "git@github.com:a/b.git",
    ),
    *("git+https://github.com/huggingface/trl.git@v0.14.0", f"image: ghcr.io/org/name@sha256:{MD5}{MD5}"),
    *("eos_token: <|im_end|>", '"eos_token": "<|endoftext|>"', '"_password": 135729', '"num_tokens": 4096000000000000'),
    *(
        "primary_key=id",
        "sort(key=lambda x: x[1])",
        "key = model.embed_tokens.weight",
        "state_key='optimizer_state_dict_v2'",
    ),
    *(
        "A @ B.mean()",
        "W@x.sum(axis=1)",
        "(72 - 66) * 10 @ 88",
        "@torch.no_grad()",
        "a@b.c",
        "X@W.mT",
        "noreply@github.com",
    ),
    *(
        r"so X:\frac{1}{2}\cdot 3 \times 4",
        r"f:\mathbb{R}\to\mathbb{R}",
        "/usr/bin/python",
        "/tmp/x",
        "and/or/not",
        "5 / 6 / 7",
    ),
    *("risk-free-and-careful-play-2-times", "disk-" + "a1b2" * 6, "path-to-the-model-checkpoint-2024-11-28"),
    *(
        "ak-47-and-other-things-in-2024-11",
        "as-of-2024-11-28T12:00:00-release",
        "re_the_quick_brown_fox_jumps_2_times_now",
    ),
    *("secret_of_monkey_island_2_special_edition", "the secret is 12345678", "AKIA" + "IOSFODNN7" + "EXAMPLE"),
    *(
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "Authorization: Bearer <token>",
        "p-value sig=0.0001",
    ),
    *(
        "Qwen2.5-3B-Instruct-GRPO-20241128",
        "checkpoint-1000/model-00001-of-00002.safetensors",
        "$6 and $5",
        "cost: $2.50$",
    ),
    *(
        "x" * 100,
        "1234567890" * 5,
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "secretary=Smith2024",
        "tokenizer=Qwen2Tokenizer",
    ),
    *("auth: oauth2-proxy-v7-6-0-linux-amd64", "cookie: chocolate-chip-cookies-with-nuts-2", "Basic auth is used"),
    *(
        "5 + 3 = 8, so 8 * 9 = 72.",
        "突然意识到 80 - 77 + 6 + 11 = 20",
        "<think>/answer</think>",
        "24/7/365",
        "http/1.1",
    ),
]


def drawn(pattern: str, lot: random.Random) -> str:
    """A secret of a form."""

    def text(found: re.Match[str]) -> str:
        return "".join(lot.choice(ALPHABETS[found[2]]) for _ in range(int(found[1])))

    return re.sub(r"\{(\d+)(?::(\w+))?\}", text, pattern).replace("{{", "{").replace("}}", "}")


def secrets(seed: int = 0) -> list[str]:
    lot = random.Random(seed)
    return [drawn(pattern, lot) for pattern in [*TOKENS.split(), *LINES]]


@pytest.mark.parametrize("name", ["notes.md", "records.jsonl", "tokenizer_config.json"])
def test_every_kind_of_secret_is_found_in_its_line(tmp_path: Path, name: str) -> None:
    kinds = secrets()
    assert len(kinds) > 120
    (tmp_path / name).write_text("\n".join(f"said {kind}" if " " in kind else kind for kind in kinds))
    found = {finding.line for finding in scan(tmp_path)}
    assert [kind[:12] for line, kind in enumerate(kinds, 1) if line not in found] == []


def test_secrets_of_every_kind_stand_out_in_a_vocabulary_too(tmp_path: Path) -> None:
    kinds = [kind for kind in secrets(1) if '"' not in kind]
    (tmp_path / "tokenizer.json").write_text("\n".join(json.dumps({"text": f"said: {kind} end"}) for kind in kinds))
    found = {finding.line for finding in scan(tmp_path)}
    missed = [kind for line, kind in enumerate(kinds, 1) if line not in found]
    assert len(missed) <= 2, missed


def test_ordinary_texts_are_no_findings(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("\n".join(INNOCENT), encoding="utf-8")
    assert [(INNOCENT[finding.line - 1], finding.kind) for finding in scan(tmp_path)] == []


def test_random_data_raises_no_alarm(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(3 << 20)
    (tmp_path / "random.bin").write_bytes(data)
    (tmp_path / "random.txt").write_bytes(base64.encodebytes(data))
    assert scan(tmp_path) == []


def zipped(content: bytes, depth: int = 1) -> bytes:
    for _ in range(depth):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.zip", content)
        content = file.getvalue()
    return content


def png(content: bytes) -> bytes:
    chunk = b"Comment\0\0" + zlib.compress(content)
    head = len(chunk).to_bytes(4, "big") + b"zTXt" + chunk
    return b"\x89PNG\r\n\x1a\n" + head + zlib.crc32(b"zTXt" + chunk).to_bytes(4, "big")


def safetensors(content: bytes) -> bytes:
    header = json.dumps({"__metadata__": {"pad": "x" * (17 << 20), "said": content.decode()}}).encode()
    return len(header).to_bytes(8, "little") + header


PACKINGS = {
    "a.gz": gzip.compress,
    "a.bz2": bz2.compress,
    "a.xz": lzma.compress,
    "a.tar.gz": lambda content: gzip.compress(b"\0" * 512 + content + b"\0" * 512),
    "deep.zip": lambda content: zipped(content, 6),
    "zip.gz": lambda content: gzip.compress(zipped(content)),
    "picture.png": png,
    "model.safetensors": safetensors,
    "mark.txt": lambda content: content.decode().encode("utf-16"),
    "long-utf-16.txt": lambda content: ("plain " * (3 << 20) + content.decode()).encode("utf-16-le"),
    "far.bin": lambda content: b"\0\xff\xfe" * (6 << 20) + content + b"\0",
    "escaped.json": lambda content: content.replace(b"_", b"\\u005f"),
    "percent.txt": lambda content: content.replace(b"_", b"%5F"),
    "page.html": lambda content: content.replace(b"_", b"&#95;"),
    "coded.txt": lambda content: b"said " + base64.b64encode(b"the very secret text is " + content),
}


@pytest.mark.parametrize("name", PACKINGS)
def test_a_secret_is_found_in_whatever_it_is_packed(tmp_path: Path, name: str) -> None:
    secret = drawn("hf_{34}", random.Random(5))
    (tmp_path / name).write_bytes(PACKINGS[name](f"token {secret} end".encode()))
    assert "Hugging Face token" in {finding.kind for finding in scan(tmp_path)}


def test_a_secret_in_a_name_is_found_and_not_repeated(tmp_path: Path) -> None:
    secret = drawn("hf_{34}", random.Random(6))
    folder = tmp_path / secret
    folder.mkdir()
    (folder / "notes.md").write_text("fine")
    (finding,) = scan(tmp_path)
    assert finding.kind == "Hugging Face token in a file's name" and secret not in str(finding)


def test_every_type_of_column_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    secret = drawn("hf_{34}", random.Random(7))
    columns = {
        "string_view": pa.array(["fine", secret], pa.string_view()),
        "binary_view": pa.array([b"fine", secret.encode()], pa.binary_view()),
        "fixed": pa.array([b"x" * len(secret), secret.encode()], pa.binary(len(secret))),
        "list_view": pa.array([["fine"], [secret]], pa.list_(pa.string())),
        "fixed_list": pa.array([["fine"], [secret]], pa.list_(pa.string(), 1)),
        "large": pa.array([["fine"], [secret]], pa.large_list(pa.large_string())),
        "struct": pa.array([{"a": {"b": "fine"}}, {"a": {"b": secret}}]),
    }
    for name, column in columns.items():
        pq.write_table(pa.table({name: column}), tmp_path / "x.parquet")
        assert [(one.path, one.line) for one in scan(tmp_path)] == [(f"x.parquet#{name}", 2)], name


def encrypted_zip() -> bytes:
    data = bytearray(zipped(b"text"))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    return bytes(data)


@pytest.mark.parametrize("content", [encrypted_zip(), zipped(b"text", 12)], ids=["encrypted", "nested"])
def test_what_cannot_be_looked_into_does_not_leave_unseen(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    assert [finding.kind for finding in scan(tmp_path)] == ["what cannot be looked into"]


def test_an_archive_that_unpacks_to_more_than_a_file_may_hold_is_refused_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("countdown_r1.scan_contents.MAX_UNPACKED_BYTES", 8 << 20)
    monkeypatch.setattr("countdown_r1.scan_contents._Budget.__init__.__defaults__", (8 << 20,))
    (tmp_path / "vocab.txt").write_bytes(zipped(b"\0" * (64 << 20)))
    (finding,) = scan(tmp_path)
    assert finding.kind == "what cannot be looked into" and "unpacks to more than" in finding.shown
