"""What must not become public, as patterns over bytes: forms of secrets, and traces of a person or of one computer.

Token forms are those of the providers' own documentation: Hugging Face, GitHub, AWS, Azure storage, OpenAI, Slack,
Discord, Telegram, Google, GitLab, Stripe, Square, SendGrid, Mailchimp, Twilio, npm, PyPI, Replicate, DigitalOcean;
JWT is RFC 7519. detect-secrets (1.5.0) was tried and is not used: it took 3.8 s for a tokenizer of 70 KB, calls every
SHA-256 in a manifest a secret, reads neither parquet nor wheels nor weights' headers, and knows no Hugging Face token.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Rule:
    """A ``pattern`` that is only tried where one of ``needles`` occurs, which is what keeps a scan fast; so does a
    pattern that begins with a character and looks behind it afterwards. A wholly ``harmless`` match is no finding."""

    kind: str
    needles: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    harmless: re.Pattern[bytes] | None = None


def _rule(kind: str, needles: str, pattern: str, harmless: str | None = None) -> Rule:
    excuse = re.compile(harmless.encode(), re.IGNORECASE) if harmless else None
    return Rule(kind, tuple(needle.encode() for needle in needles.split()), re.compile(pattern.encode()), excuse)


SECRETS = (
    _rule("Hugging Face token", "hf_ api_org_", r"(?:hf|api_org)_[A-Za-z0-9]{30,256}"),
    _rule("GitHub token", "gh github_pat_", r"gh[pousr]_[A-Za-z0-9]{36,256}|github_pat_[A-Za-z0-9_]{40,256}"),
    _rule("AWS key id", "AKIA ASIA", r"A(?:KIA|SIA)(?<![A-Z0-9].{4})[A-Z0-9]{16}(?![A-Z0-9])"),
    _rule("OpenAI style key", "sk-", r"sk-(?<![A-Za-z0-9_-]sk-)(?=[A-Za-z_-]{0,200}[0-9])[A-Za-z0-9_-]{20,256}"),
    _rule("Slack token", "xox hooks.slack", r"xox[a-z]-[A-Za-z0-9-]{10,256}|hooks\.slack\.com/services/[\w/]{20,256}"),
    _rule("Google key", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _rule("GitLab token", "glpat-", r"glpat-[A-Za-z0-9_-]{20,256}"),
    _rule("Stripe key", "k_live_", r"[rs]k_live_(?<![A-Za-z0-9].k_live_)[A-Za-z0-9]{16,256}"),
    _rule("SendGrid key", "SG.", r"SG\.(?<![A-Za-z0-9]SG\.)[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,256}"),
    _rule("npm token", "npm_", r"npm_(?<![A-Za-z0-9]npm_)[A-Za-z0-9]{36}"),
    _rule("PyPI token", "pypi-", r"pypi-AgEI[A-Za-z0-9_-]{50,512}"),
    _rule("Replicate token", "r8_", r"r8_(?<![A-Za-z0-9]r8_)[A-Za-z0-9]{37,64}"),
    _rule("DigitalOcean token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _rule("JSON web token", "eyJ", r"eyJ(?<![\w-]eyJ)[\w-]{10,1000}\.eyJ[\w-]{10,1000}\.[\w-]{10,1000}"),
    _rule("Azure storage key", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    _rule("Discord token", ".", r"[MNO](?<![\w.-].)[\w-]{23,25}\.[\w-]{6}\.[\w-]{27,38}(?![\w.-])"),
    _rule("Telegram token", ":AA", r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])"),
    _rule("Square token", "sq0", r"sq0(?:csp|atp)-[\w-]{22,43}"),
    _rule("Mailchimp key", "-us", r"(?<![0-9a-f])[0-9a-f]{32}-us[0-9]{1,2}(?!\w)"),
    _rule("Twilio key", "SK", r"SK(?<![A-Za-z0-9]SK)[0-9a-f]{32}(?![A-Za-z0-9])"),
    _rule("private key", "PRIVATE PuTTY", r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY|PuTTY-User-Key-File-\d"),
    _rule(
        "password in a URL",
        "://",
        r"""://[^\s:/?#@\[\]"'<>{}$]{1,64}:([^\s:/?#@\[\]"'<>{}$*]{3,128})@[\w\[]""",
        r"pass(?:word|wd)?|token|secret|x{3,}|\.{3}",
    ),
)
# A quoted value, or a bare one that ends its line or setting and could not be a name in a program. The value is
# the only group of any rule here; where there is a group, it is what a finding masks.
_QUOTE = r"""\\{0,4}["']"""
_END = r"""\s"'\\()\[\]{}<>$,;&*|"""
_BARE = rf"(?=[^{_END}]{{0,128}}?[^A-Za-z_.{_END}])([^{_END}]{{6,128}})"
PASSWORD = _rule(
    "password",
    "assw ASSW _secret _SECRET _Secret secret_ac SECRET_AC _key _KEY _Key _token _TOKEN _Token",
    r"(?i)(?:password|passwd|secret_access_key|client_secret|api_key|hub_token|auth_token)"
    rf"(?:{_QUOTE})?[ \t]{{0,8}}[=:](?:"
    rf"""[ \t]{{0,8}}{_QUOTE}([^\s"'\\()\[\]{{}}<>$*|]{{6,128}}){_QUOTE}"""
    rf"""|(?<==){_BARE}(?=[\s,;&"'\\]|$)|[ \t]{{1,8}}{_BARE}(?=[ \t]{{0,8}}(?:[\r\n,;#}}"'\\]|$)))""",
)
# A slash that begins a path. Behind a letter only when that letter belongs to an escape inside a JSON string; a URL's
# path is no home.
_ROOT = r"/(?:(?<![\w.~:/%-]/)|(?<=\\[nrt]/)|(?<=file:///))"
# Nobody's mailbox: RFC 2606 domains, addresses that take no mail, the user part of an SSH remote.
_NO_MAILBOX = (
    r"(?:no-?reply|git)@.+|.+@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|users\.noreply\.github\.com)"
    r"|.+@.+\.(?:example|invalid|test|localhost)"
)
_SPACE_HOME = "/home/user"  # the account that every Space runs under; it names no person
# Folders that hold what belongs to one computer; a path below them says where something ran, and often for whom.
_FOLDERS = "mnt|data\\d*|opt|srv|scratch|workspace|tmp|Volumes|gpfs|lustre|nfs|storage|export|private/(?:var|tmp)"
_EMAIL = r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
EMAIL = _rule("e-mail address", "@", _EMAIL, _NO_MAILBOX)
PERSONAL = (
    PASSWORD,
    EMAIL,
    _rule("home folder", "/home/ /Users/ /root/", _ROOT + r"(?:home|Users|root)/[\w.-]{1,64}", _SPACE_HOME),
    _rule("absolute path", "/", _ROOT + rf"(?:{_FOLDERS})(?:/[\w.@+-]{{1,64}}){{2,16}}"),
    _rule("absolute path", ":\\", r"[C-Z](?<![A-Za-z].):(?:\\{1,4}(?!Users)[\w .-]{2,64}){2,16}"),
    _rule("home folder", "Users", r"(?<![A-Za-z])[A-Za-z]:(?:\\{1,4}|/)Users(?:\\{1,4}|/)[\w.-]{1,64}"),
)


def personal_rules(allowed: Collection[str] = ()) -> tuple[Rule, ...]:
    """``PERSONAL``, in which these very addresses are nobody's secret; a token or a path is never excused."""
    excuse = re.compile("|".join([_NO_MAILBOX, *map(re.escape, allowed)]).encode(), re.IGNORECASE)
    return tuple(replace(rule, harmless=excuse) if rule is EMAIL else rule for rule in PERSONAL)


def literal_rule(kind: str, text: str) -> Rule:
    """Finds this very text."""
    return Rule(kind, (text.encode(),), re.compile(re.escape(text.encode())))
