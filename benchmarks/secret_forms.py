"""Bring ``secret_forms.json`` up to date: the forms of providers' secrets that the gitleaks project keeps.

    python benchmarks/secret_forms.py                      from gitleaks' own repository
    python benchmarks/secret_forms.py PATH/gitleaks.toml   from a copy

Only patterns and keywords are taken, under gitleaks' MIT licence, which the file carries. A form is left out when it
needs the name of a setting before it (``scan_rules`` has one rule for all names), looks into files of one name
only, or tells a public identifier; the patterns of Go are written as Python reads them, and a copy that no longer
compiles is refused.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

SOURCE = "https://raw.githubusercontent.com/gitleaks/gitleaks/master/config/gitleaks.toml"
OUT = Path(__file__).resolve().parent.parent / "secret_forms.json"
LICENCE = (
    "MIT License, Copyright (c) 2019 Zachary Rice. Permission is hereby granted, free of charge, to any person "
    "obtaining a copy of this software and associated documentation files, to deal in the Software without "
    "restriction, subject to the inclusion of this notice in all copies; provided as is, without any warranty "
    "(https://github.com/gitleaks/gitleaks/blob/master/LICENSE)"
)
# Any setting or any word would be enough for these, they are no secrets, or scan_rules has a wider rule.
LEFT_OUT = {
    *("curl-auth-header", "curl-auth-user", "facebook-access-token", "flutterwave-public-key", "intra42-client-secret"),
    *("generic-api-key", "jwt", "jwt-base64", "octopus-deploy-api-key", "private-key", "sourcegraph-access-token"),
    *("authress-service-client-access-key", "aws-access-token", "huggingface-access-token", "sendgrid-api-token"),
    *("huggingface-organization-api-token", "vault-service-token", "npm-access-token"),
    *(
        "twilio-api-key",
        "harness-api-key",
        "1password-secret-key",
        "azure-ad-client-secret",
        "clickhouse-cloud-api-secret-key",
    ),
}
_END = r"""(?:[\x60'"\s;]|\\[nr]|$)"""  # what gitleaks lets follow a secret; here anything but more of it may


def forms(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Identifier, lower-case keywords and Python pattern of every rule that is taken, by identifier."""
    taken = [rule for rule in config["rules"] if _is_taken(rule)]
    found = [
        {"id": rule["id"], "keywords": rule["keywords"], "pattern": python_pattern(rule["regex"])} for rule in taken
    ]
    return sorted(found, key=lambda form: form["id"])


def _is_taken(rule: dict[str, Any]) -> bool:
    pattern = rule.get("regex", "")
    return bool(pattern) and rule["id"] not in LEFT_OUT and "path" not in rule and r"[\w.-]{0,50}?" not in pattern


def python_pattern(pattern: str) -> str:
    """A pattern of Go's regexp as Python's ``re`` reads it, without capturing groups and without the end."""
    ended = pattern.endswith(_END)
    pattern = pattern.removesuffix(_END).replace(r"\z", r"\Z")
    pattern = re.sub(r"(?<!\\)\((?!\?)|\(\?P<\w+>", "(?:", pattern)
    while (at := pattern.find("(?i)", 1)) > 0:  # from here to the end of the group it stands in
        close = _group_end(pattern, at)
        pattern = f"{pattern[:at]}(?i:{pattern[at + 4 : close]}){pattern[close:]}"
    pattern += r"(?![\w-])" if ended else ""
    re.compile(pattern.encode())
    return pattern


def _group_end(pattern: str, start: int) -> int:
    depth = 0
    for at in range(start + 4, len(pattern)):
        if pattern[at] in "()" and pattern[at - 1] != "\\":
            depth += 1 if pattern[at] == "(" else -1
        if depth < 0:
            return at
    return len(pattern)


def main(source: str = SOURCE) -> None:
    if source.startswith("https://"):
        with urllib.request.urlopen(source, timeout=60) as answer:
            text = answer.read().decode()
    else:
        text = Path(source).read_text(encoding="utf-8")
    found = forms(tomllib.loads(text))
    lines = ",\n".join(json.dumps(form) for form in found)
    about = json.dumps({"source": SOURCE, "licence": LICENCE}, indent=1)[1:-2]
    OUT.write_text(f'{{{about},\n "forms": [\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{len(found)} forms -> {OUT.name}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
