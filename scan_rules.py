"""What must not become public, as patterns over bytes: forms of secrets, and traces of a person or of one computer.

Three sources of forms: the list that gitleaks keeps (``secret_forms.json``, made by ``benchmarks/secret_forms.py``), a
table of prefixes of providers of models and data that are not in it, from their own documentation, and what secrets
have in common wherever they come from: a name such as ``refresh_token`` before them, or a place in a URL. JSON web
tokens are RFC 7519, shared access signatures Azure's. detect-secrets (1.5.0) was tried and is not used: it took 3.8 s
for a tokenizer of 70 KB, calls every SHA-256 in a manifest a secret, reads neither parquet nor wheels nor weights'
headers, and knows no Hugging Face token.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Rule:
    """A ``pattern`` that begins where one of the lower-case ``anchors`` stands, in either case: finding those is what
    keeps a scan fast. What must stand right ``before`` belongs to a match too, from its group on if it has one. With
    ``reach`` a match may begin so many bytes before the anchor. ``token``: it is one long word, looked for among those
    alone. A match is none when it is wholly ``harmless``, or ``unless`` says so of its text."""

    kind: str
    anchors: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    before: re.Pattern[bytes] | None = None
    reach: int = 0
    token: bool = False
    harmless: re.Pattern[bytes] | None = None
    unless: Callable[[bytes], bool] | None = None

    def find(self, window: bytes, folded: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Start, end and text of every match in ``window``, of which ``folded`` is the lower case."""
        for anchor in self.anchors:
            at = folded.find(anchor)
            while at >= 0:
                if found := self._at(window, at):
                    yield found
                at = folded.find(anchor, at + 1)

    def _at(self, window: bytes, at: int) -> tuple[int, int, bytes] | None:
        begin = self.before.search(window, max(0, at - LONGEST_BEFORE), at) if self.before else None
        if self.before and not begin:
            return None
        if self.reach:
            match = self.pattern.search(window, max(0, at - self.reach), at + LONGEST_REACHED)
        else:
            match = self.pattern.match(window, at)
        if not match:
            return None
        start = begin.start(begin.lastindex or 0) if begin else match.start()
        text = match[match.lastindex] if match.lastindex else window[start : match.end()]
        excused = (self.harmless and self.harmless.fullmatch(text)) or (self.unless and self.unless(text))
        return None if excused else (start, match.end(), text)


def _rule(  # noqa: PLR0913, all but the first three by name
    kind: str,
    anchors: str,
    pattern: str,
    *,
    before: str | None = None,
    harmless: str | None = None,
    unless: Callable[[bytes], bool] | None = None,
    token: bool = False,
    reach: int = 0,
) -> Rule:
    excuse = re.compile(harmless.encode(), re.IGNORECASE) if harmless else None
    ahead = re.compile(before.encode() + rb"\Z") if before else None
    found = tuple(anchor.lower().encode() for anchor in anchors.split())
    return Rule(kind, found, re.compile(pattern.encode()), ahead, reach, token, excuse, unless)


def bits_per_character(text: bytes) -> float:
    """Shannon entropy of the characters of a text: 0 for one character again and again, 4 for random hexadecimal.

    >>> bits_per_character(b"aabb")
    1.0
    """
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0


def is_made_up(text: bytes) -> bool:
    """Whether a text stands for a secret in an example: one character repeated, a counted row, or a word that says so.

    >>> is_made_up(b"xxxxxxxxxxxx"), is_made_up(b"YOUR_API_KEY"), is_made_up(b"f3Gk29xQ")
    (True, True, False)
    """
    body = re.sub(rb"[^a-z0-9]", b"", text.lower())
    return len(set(body)) < 2 or bool(_STAND_IN.search(text.lower())) or body in _COUNTED


LONGEST_BEFORE, LONGEST_REACHED = 80, 1_024
_STAND_IN = re.compile(
    rb"your|example|placeholder|changeme|change[_-]me|redacted|insert|dummy|x{4}|\*{3}|\.{3}|<\w|^\$|\$\{|%\w|\{\{"
    rb"|secret_?key$|^(?:my|the|a|some)[_-]|^(?:none|null|true|false|undefined|password|passwd|token|secret|api_?key)$"
)
_COUNTED = (b"1234567890", b"0123456789", b"123456789", b"12345678", b"abcdefghijklmnopqrstuvwxyz", b"0123456789abcdef")


def _is_no_token(text: bytes) -> bool:
    """Whether what follows a name that is not always secret, such as ``token``, is an ordinary word or number."""
    few = len(text) < 16 or not re.search(rb"[0-9]", text) or not re.search(rb"[A-Za-z]", text)
    words = re.fullmatch(rb"(?:[A-Za-z]*[0-9]{0,4})(?:[-_./][A-Za-z]*[0-9]{0,4})*", text)
    return few or bool(words) or bits_per_character(text) < 3.0 or is_made_up(text)


def _is_no_password(text: bytes) -> bool:
    """Whether a value behind ``password`` and the like is a number, a call in a program or a stand-in."""
    return bool(re.fullmatch(rb"[0-9]{1,7}|[A-Za-z_][\w.]*\(.*", text)) or is_made_up(text)


def _is_no_login(text: bytes) -> bool:
    """Whether a text is not the base64 of ``user:password``."""
    try:
        said = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return True
    return not re.fullmatch(rb"[\x21-\x39\x3b-\x7e]{1,128}:[\x20-\x7e]{3,512}", said)


# Prefixes of tokens, of providers of models, data and their tools, that no word begins with and goes on like. What
# gitleaks keeps with a fixed length is not repeated here.
_PREFIXES = (
    *(b"gsk_", b"xai-", b"pplx-", b"nvapi-", b"fw_", b"fpk_", b"lsv2_pt_", b"lsv2_sk_", b"ls__", b"wandb_v1_", b"rpa_"),
    *(b"tvly-", b"tgp_v1_", b"pcsk_", b"llx-", b"jina_", b"pa-", b"csk-", b"r8_", b"apify_api_", b"sbp_", b"napi_"),
    *(b"nfp_", b"rnd_", b"phx_", b"figd_", b"figo_", b"dckr_pat_", b"dckr_oat_", b"ak-", b"as-", b"esecret_"),
    *(b"sk_", b"hvs.", b"hvb.", b"hvr.", b"glsa_", b"glc_", b"GOCSPX-", b"ya29."),
    *(b"ntn_", b"secret_", b"sl.", b"lin_oauth_", b"dp.st.", b"dp.sa.", b"pnb_", b"re_", b"key-", b"NRAK-", b"whsec_"),
    *(b"ATATT3xFfGF0", b"ATCTT3xFfGN0", b"HRKU-", b"tfp_", b"vcp_", b"vci_", b"vca_", b"vck_", b"snyk_"),
    *(b"sgp_", b"xapp-", b"xoxe.", b"shpat_", b"glrt-", b"gldt-"),
)
_BY_LENGTH = tuple(sorted(_PREFIXES, key=len, reverse=True))
# Behind a shorter prefix, which words begin with too, letters of both cases and digits must follow.
_LONG_PREFIX = 5


def _is_no_provider_token(text: bytes) -> bool:
    """Whether a long word has no provider's prefix, or goes on in words, in numbers or in one repeated character."""
    if not text.startswith(_PREFIXES):
        return True
    prefix = next(one for one in _BY_LENGTH if text.startswith(one))
    body = text[len(prefix) :]
    longest = max(map(len, re.split(rb"[-_.]", body)))
    drawn = longest >= 12 and all(re.search(kind, body) for kind in (rb"[0-9]", rb"[A-Za-z]"))
    if len(prefix) < _LONG_PREFIX and not (prefix.endswith(b"_") and longest >= 32):
        drawn = drawn and all(re.search(kind, body) for kind in (rb"[A-Z]", rb"[a-z]"))
    return not drawn or is_made_up(body)


def _kept_rules() -> tuple[Rule, ...]:
    """The forms that gitleaks keeps, whose keyword stands near their beginning."""
    path = Path(__file__).with_name("secret_forms.json")
    forms = json.loads(path.read_text(encoding="utf-8"))["forms"]
    return tuple(
        _rule(
            form["id"].replace("-", " "),
            " ".join(form["keywords"]),
            form["pattern"],
            unless=is_made_up,
            token=True,
            reach=24,
        )
        for form in forms
    )


_QUOTE = r"""\\{0,4}["'`]"""
_END = r"""\s"'\\()\[\]{}<>$,;&*|`"""
_ASSIGNED = rf"(?:{_QUOTE})?(?:\s{{0,8}}\])?[ \t]{{0,8}}(?:=>|:=|[=:])"
# A bare value ends its line or setting and could not be a name in a program.
_BARE = rf"(?=[^{_END}]{{0,128}}?[^A-Za-z_.{_END}])([^{_END}]{{6,128}})"
_VALUE = (
    rf"""(?:[ \t]{{0,8}}{_QUOTE}([^\s"'`\\()\[\]{{}}<>|]{{6,512}}){_QUOTE}"""
    rf"""|(?<==){_BARE}(?=[\s,;&"'`\\]|$)|[ \t]{{1,8}}{_BARE}(?=[ \t]{{0,8}}(?:[\r\n,;#}}"'`\\]|$)))"""
)
_TOKEN_VALUE = (
    rf"""[ \t]{{0,8}}(?:{_QUOTE})?(?:(?i:bearer|token)[ \t])?([A-Za-z0-9+/=_.~%-]{{16,2048}})"""
    r"""(?=[\s,;&"'`\\)}\]<]|$)"""
)
# Names whose value is always a secret, by their last word, and names whose value is one when it looks drawn by lot.
_BEFORE_KEY = r"(?i:api|secret|secret[_-]?access|access|private|account|signing|encryption)[_-]?"
_BEFORE_TOKEN = r"(?i:access|refresh|auth|session|hub|api)[_-]?"
_BEFORE_SECRET = r"(?i:client|api|app|webhook|consumer)[_-]?"
PASSWORD = (
    _rule(
        "password",
        "password passwd passphrase",
        rf"(?i:passw(?:or)?d|passphrase){_ASSIGNED}{_VALUE}",
        unless=_is_no_password,
    ),
    _rule("password", "pwd", rf"(?<![A-Za-z])(?i:pwd){_ASSIGNED}{_VALUE}", unless=_is_no_password),
    _rule("password", "_auth", rf"(?i:_auth){_ASSIGNED}{_VALUE}", unless=_is_no_password),
    _rule("password", "key", rf"(?i:key){_ASSIGNED}{_VALUE}", before=_BEFORE_KEY, unless=_is_no_password),
    _rule("password", "token", rf"(?i:token){_ASSIGNED}{_VALUE}", before=_BEFORE_TOKEN, unless=_is_no_password),
    _rule("password", "secret", rf"(?i:secret){_ASSIGNED}{_VALUE}", before=_BEFORE_SECRET, unless=_is_no_password),
    _rule(
        "password",
        "<password> <passwd> <secret> <token> <apikey>",
        r"<\w{5,8}>([^<>\s]{6,512})</",
        unless=is_made_up,
    ),
)
_SOMETIMES = "token secret credential auth authorization cookie bearer"


def _any(anchors: str) -> str:
    return f"(?i:{'|'.join(sorted(anchors.split(), key=len, reverse=True))})s?"


def _token(
    kind: str, anchors: str, pattern: str, before: str | None = None, harmless: str | None = None,
    unless: Callable[[bytes], bool] | None = is_made_up,
) -> Rule:  # fmt: skip
    return _rule(kind, anchors, pattern, before=before, harmless=harmless, unless=unless, token=True)


_WORD = r"(?<![A-Za-z0-9])"
_HOOKS = (
    ("hooks.slack.com/", r"(?i:hooks\.slack\.com/(?:services|workflows|triggers)/[\w/]{20,256})"),
    ("discord.com/api discordapp.com/api", r"(?i:discord(?:app)?\.com/api/webhooks/\d{5,25}/[\w-]{30,100})"),
    ("/open-apis/bot", r"(?i:/open-apis/bot/v2/hook/[\w-]{16,64})"),
    ("oapi.dingtalk.com/", r"(?i:oapi\.dingtalk\.com/robot/send\?access_token=[0-9a-f]{32,80})"),
    ("qyapi.weixin.qq.com/", r"(?i:qyapi\.weixin\.qq\.com/cgi-bin/webhook/send\?key=[\w-]{16,64})"),
    ("hooks.zapier.com/", r"(?i:hooks\.zapier\.com/hooks/catch/\d+/\w{5,20})"),
    ("webhook.office.com/", r"(?i:webhook\.office\.com/webhookb2/[\w@-]{36,128})"),
)
SECRETS = (
    _token(
        "Hugging Face token", "hf_ api_org_", r"(?:hf|api_org)_(?:[A-Za-z0-9]{30,256}|(?:oauth|jwt)_[\w.-]{20,4096})"
    ),
    _token("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,256}", unless=None),
    _token("GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9_]{40,256}", unless=None),
    _token("AWS key id", "AKIA ASIA ABIA ACCA", r"(?<![A-Z0-9])A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?![A-Z0-9])"),
    _token(
        "OpenAI style key",
        "sk-",
        r"(?<![A-Za-z0-9_-])sk-(?:(?:[a-z]{2,10}[0-9]{0,2}-){0,3}(?=[A-Za-z_-]{0,200}[0-9])[A-Za-z0-9_]{20,256}"
        r"[A-Za-z0-9_-]{0,256}|(?:proj|svcacct|admin|ant|or)-(?=[A-Za-z_-]{0,200}[0-9])[A-Za-z0-9_-]{20,256})",
    ),
    _token("Slack token", "xox", r"xox[a-z]-[A-Za-z0-9-]{10,256}"),
    _token("Google key", "AIza", r"(?<![A-Za-z0-9/+])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9/+])", unless=None),
    _token("GitLab token", "glpat-", r"glpat-[A-Za-z0-9_-]{20,256}"),
    _token("Stripe key", "sk_live_ rk_live_", _WORD + r"[rs]k_live_[A-Za-z0-9]{16,256}", unless=None),
    _token("SendGrid key", "SG.", _WORD + r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,256}", unless=None),
    _token("npm token", "npm_", _WORD + r"npm_[A-Za-z0-9]{36}", unless=None),
    _token("PyPI token", "pypi-AgEI", r"pypi-AgEI[A-Za-z0-9_-]{50,512}", unless=None),
    _token("Replicate token", "r8_", _WORD + r"r8_[A-Za-z0-9]{37,64}", unless=None),
    _token(
        "JSON web token", "eyJ", r"(?<![A-Za-z0-9-])eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{10,1000}", unless=None
    ),
    _token("Azure storage key", "AccountKey=", r"(?i:AccountKey=)[A-Za-z0-9+/]{86}==", unless=None),
    _token(
        "Azure shared access signature", "sig=", r"(?i:(?<=[?&;])sig=[A-Za-z0-9%+/]{40,128}(?:=|%3D)?)", unless=None
    ),
    _token("Discord token", ".", r"\.[\w-]{6}\.[\w-]{27,38}(?![\w.-])", r"(?<![\w.-])[MNO][\w-]{23,25}", unless=None),
    _token("Telegram token", ":AA", r":AA[\w-]{33}(?![\w-])", r"(?<!\d)\d{8,10}", unless=None),
    _token("Square token", "sq0", r"sq0(?:csp|atp)-[\w-]{22,43}", unless=None),
    _rule(
        "Mailchimp key",
        "-us",
        r"-us[0-9]{1,2}(?!\w)",
        before=r"""(?:(?i:mailchimp)\W{0,4}|[=:][ \t]{0,4}["']?)([0-9a-f]{32})""",
    ),
    _rule(
        "Twilio key", "SK", r"SK[0-9a-f]{32}(?![A-Za-z0-9])", before=r"""(?:(?i:twilio)\W{0,4}|[=:][ \t]{0,4}["']?)()"""
    ),
    _token("Zhipu key", ".", r"\.[A-Za-z0-9]{16}(?![A-Za-z0-9.])", r"(?<![0-9A-Za-z.])[0-9a-f]{32}", unless=None),
    _token("Tencent Cloud key id", "AKID", r"(?<![\w/+])AKID[A-Za-z0-9]{32}(?![\w/+])", unless=_is_no_token),
    _token("Volcengine key id", "AKLT", r"(?<![\w/+])AKLT[A-Za-z0-9]{30,60}(?![\w/+])", unless=_is_no_token),
    _token("Alibaba Cloud key id", "LTAI", r"(?<![\w/+])LTAI[A-Za-z0-9]{12,30}(?![\w/+])", unless=_is_no_token),
    _token("Airtable token", "pat", r"(?<![\w/+])pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", unless=None),
    _token("Facebook token", "EAACEdEose0cBA", r"EAACEdEose0cBA[A-Za-z0-9]{20,256}", unless=None),
    _token("Baidu key", "bce-v3/ALTAK-", r"bce-v3/ALTAK-[\w/-]{20,128}"),
    _token("Google refresh token", "1//0", r"(?<![\w/.])1//0[\w-]{30,256}"),
    _token("Terraform token", ".atlasv1.", r"\.atlasv1\.[\w=-]{40,80}", r"(?<!\w)[A-Za-z0-9]{10,20}"),
    _rule("private key", "-BEGIN", r"-[ ]?BEGIN (?:[A-Z0-9]{1,20} ){0,4}(?:ENCRYPTED )?PRIVATE KEY", before="-{3,4}"),
    _rule("private key", "---- BEGIN", r"---- BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY"),
    _rule("private key", "PuTTY-User-Key-File-", r"PuTTY-User-Key-File-\d"),
    _rule("private key", "privatekey", r"(?i:privatekey[ \t]{0,4}=[ \t]{0,4}[A-Za-z0-9+/]{43}=)"),
    *(_token("webhook address", anchor, pattern) for anchor, pattern in _HOOKS),
    _rule(
        "password in a URL",
        "://",
        r"""://[^\s:/?#@\[\]"'<>{}$]{0,64}:([^\s/?#@\[\]"'<>{}\\]{3,256})@[\w\[]""",
        harmless=r"pass(?:word|wd)?|token|secret|x{3,}|\.{3}|\*+|\$\w*|\d{2,5}",
    ),
    _rule("token in a URL", "://", r"://([\w.~%+-]{16,256})@[\w\[]", unless=_is_no_token),
    _rule("login", '"auth"', r"""(?i:"auth")\s{0,4}:\s{0,4}"([A-Za-z0-9+/]{8,512}={0,2})""", unless=_is_no_login),
    _rule(
        "login",
        "authorization",
        r"""(?i:authorization["']?\s{0,4}[:=]\s{0,4}["']?basic)[ \t]{1,4}([A-Za-z0-9+/]{8,512}={0,2})""",
        unless=_is_no_login,
    ),
    _rule(
        "password in .netrc",
        "machine default",
        r"(?i:machine\s{1,8}\S{1,200}|default)\s{1,8}"
        r"(?i:(?:login|account)\s{1,8}\S{1,200}\s{1,8}){0,2}(?i:password)\s{1,8}(\S{4,512})",
        unless=is_made_up,
    ),
    _rule(
        "Kaggle key",
        '"username"',
        r"""(?i:"username")\s{0,4}:\s{0,4}"[^"]{1,64}"\s{0,4},\s{0,4}"key"\s{0,4}:\s{0,4}"([0-9a-f]{32})\"""",
    ),
    *PASSWORD,
    _rule("token", _SOMETIMES, rf"{_any(_SOMETIMES)}{_ASSIGNED}{_TOKEN_VALUE}", unless=_is_no_token),
    _rule("token", "key", rf"(?i:{_WORD}key){_ASSIGNED}{_TOKEN_VALUE}", harmless="[0-9a-f-]+", unless=_is_no_token),
    _token(
        "provider's token",
        " ".join(prefix.decode() for prefix in _PREFIXES),
        r"(?:(?<![\w.\\-])|(?<=\\[nrt]))[A-Za-z][\w.-]{19,512}",
        unless=_is_no_provider_token,
    ),
    _rule(
        "password in a command",
        "curl",
        r"curl [^\r\n]{0,400}?(?:-u|--user)[ =]{1,4}[\"']?[^\s:]{1,64}:(\S{4,256})",
        unless=is_made_up,
    ),
    _rule("password in a command", "sshpass", r"sshpass -p[ \t]{0,4}[\"']?([^\s\"'$]{4,256})", unless=is_made_up),
    _rule("password hash", "$apr1$ $1$ $2a$ $2b$ $2y$ $5$ $6$ $y$ $argon2", r"\$\w{1,10}\$[./A-Za-z0-9$=,+]{24,256}"),
    _rule("password", ":5432:", r":5432:[\w*-]{1,64}:[\w*-]{1,64}:(\S{4,256})", unless=is_made_up),
    *_kept_rules(),
)
# A slash that begins a path. Behind a letter only when that letter belongs to an escape inside a JSON string; a URL's
# path is no home.
_ROOT = r"(?:(?<![\w.~:/%-])|(?<=\\[nrt])|(?<=file://))/"
# Nobody's mailbox: RFC 2606 domains, addresses that take no mail, the user part of an SSH remote.
_NO_MAILBOX = (
    r"(?:no-?reply|git)@.+|.+@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|users\.noreply\.github\.com)"
    r"|.+@.+\.(?:example|invalid|test|localhost)"
)
_SPACE_HOME = "/home/user"  # the account that every Space runs under; it names no person
# Folders that hold what belongs to one computer; a path below them says where something ran, and often for whom.
_FOLDERS = (  # fmt: skip
    "/mnt/ /data1/ /data2/ /data3/ /opt/ /srv/ /scratch/ /workspace/ /tmp/ /Volumes/ /gpfs/ /lustre/ /nfs/ /storage/ "
    "/export/"
)
_EMAIL = r"@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
# Ends of names of hosts that people write mail to; with two letters each country has its own.
_DOMAINS = frozenset(
    b"com org net edu gov mil int info biz name pro mobi jobs travel museum coop aero asia cat eus io ai dev app "
    b"cloud tech online site website xyz top club shop store blog email group team work tools space page link live "
    b"life world today news agency digital global network systems solutions software studio science academy "
    b"university institute foundation school college health care center company consulting engineering expert "
    b"services support zone codes computer design education energy finance games guide house international "
    b"management media ninja party partners photography press productions rocks run social tips training ventures "
    b"works wiki art bio eco fun icu law llc inc ltd gmbh men moe one ong ngo red sex srl tel tokyo london berlin "
    b"paris nyc amsterdam swiss scot wales".split()
)


def _is_no_mailbox(text: bytes) -> bool:
    """Whether an ``@`` stands between two names of a program, such as ``W@x.sum``: no such domain, or one letter each.

    The ends of domains are those of IANA's list that mail is seen from.
    """
    name, _, host = text.rpartition(b"@")
    end = host.rpartition(b".")[2].lower()
    return (len(end) > 2 and end not in _DOMAINS) or (len(name) == 1 and len(host.partition(b".")[0]) == 1)


EMAIL = _rule(
    "e-mail address", "@", _EMAIL, before=r"(?<![\w.+%-])[\w.+%-]{1,64}", harmless=_NO_MAILBOX, unless=_is_no_mailbox
)
PERSONAL = (
    EMAIL,
    _rule("home folder", "/home/ /Users/ /root/", _ROOT + r"(?:home|Users|root)/[\w.-]{1,64}", harmless=_SPACE_HOME),
    _rule("absolute path", _FOLDERS, _ROOT + r"\w{2,9}(?:/[\w.@+-]{1,64}){2,16}"),
    _rule("absolute path", "/data/ /private/", _ROOT + r"(?:data|private)(?:/[\w.@+-]{1,64}){3,16}"),
    _rule("absolute path", ":\\", r":(?:\\{1,4}(?!Users)[\w .-]{2,64}){2,16}", before=r"(?<![A-Za-z])[C-Z]"),
    _rule(
        "home folder",
        ":\\Users :\\\\Users :/Users",
        r":[\\/]{1,4}(?i:Users)(?:\\{1,4}|/)[\w.-]{1,64}",
        before=r"(?<![A-Za-z])[A-Za-z]",
    ),
)


def personal_rules(allowed: Collection[str] = ()) -> tuple[Rule, ...]:
    """``PERSONAL``, in which these very addresses are nobody's secret; a token or a path is never excused."""
    excuse = re.compile("|".join([_NO_MAILBOX, *map(re.escape, allowed)]).encode(), re.IGNORECASE)
    return tuple(replace(rule, harmless=excuse) if rule is EMAIL else rule for rule in PERSONAL)


def literal_rule(kind: str, text: str) -> Rule:
    """Finds this very text."""
    return Rule(kind, (text.lower().encode(),), re.compile(re.escape(text.encode())))
