"""Finds credentials: keys of known services by their form, and what stands after a word for secret.

Works on the text as it is (a key with odd characters in it is no key).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from inhouse.gateway.guard.verdict import Span

_PEM = (
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----[^-]{0,8000}"
    r"(?:-----END [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----)?"
)
# Each form: a literal that must be in the text (to pay for a pattern only where it can match), name, pattern.
_FORMS: tuple[tuple[tuple[str, ...], str, re.Pattern[str]], ...] = tuple(
    (literals, name, re.compile(pattern))
    for literals, name, pattern in (
        (("AKIA", "ASIA", "ABIA", "ACCA"), "AWS access key", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), "GitHub token", r"gh[pousr]_[A-Za-z0-9]{30,255}"),
        (("github_pat_",), "GitHub token", r"github_pat_[A-Za-z0-9_]{22,255}"),
        (("glpat-",), "GitLab token", r"glpat-[A-Za-z0-9_\-]{20,64}"),
        (("sk-",), "OpenAI or Anthropic key", r"sk-(?:ant-|proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_\-]{20,220}"),
        (("xox",), "Slack token", r"xox[abeoprs]-[A-Za-z0-9\-]{10,120}"),
        (
            ("hooks.slack.com",),
            "Slack webhook",
            r"hooks\.slack\.com/services/T[A-Za-z0-9]{6,14}/B[A-Za-z0-9]{6,14}/[A-Za-z0-9]{18,34}",
        ),
        (("AIza",), "Google API key", r"AIza[0-9A-Za-z_\-]{35}"),
        (("ya29.",), "Google OAuth token", r"ya29\.[0-9A-Za-z_\-]{20,300}"),
        (("GOCSPX-",), "Google client secret", r"GOCSPX-[0-9A-Za-z_\-]{20,40}"),
        (("_live_", "_test_"), "Stripe key", r"(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{16,120}"),
        (("SG.",), "SendGrid key", r"SG\.[0-9A-Za-z_\-]{16,32}\.[0-9A-Za-z_\-]{30,60}"),
        (("hf_",), "Hugging Face token", r"hf_[A-Za-z0-9]{30,60}"),
        (("npm_",), "npm token", r"npm_[A-Za-z0-9]{36}"),
        (("pypi-AgE",), "PyPI token", r"pypi-AgE[A-Za-z0-9_\-]{40,300}"),
        (("ntn_", "secret_"), "Notion token", r"(?:ntn_|secret_)[A-Za-z0-9]{40,60}"),
        (("AccountKey=",), "Azure storage key", r"AccountKey=[A-Za-z0-9+/=]{60,100}"),
        (("ih-",), "key of this gateway", r"ih-[a-z0-9]{6,12}-[A-Za-z0-9_\-]{20,80}"),
        (("KakaoAK ",), "Kakao key", r"KakaoAK [0-9a-f]{32}"),
        (("eyJ",), "JSON web token", r"eyJ[A-Za-z0-9_\-]{8,2000}\.eyJ[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]{8,1000}"),
        (("PRIVATE KEY",), "private key", _PEM),
        (
            ("://",),
            "password in a URL",
            r"[a-z][a-z0-9+]{1,20}://[^\s:/@\"'<>{}$]{1,64}:[^\s/@\"'<>{}$*]{3,128}@[^\s/\"'<>]{1,255}",
        ),
    )
)
_LABEL = re.compile(
    r"(?:password|passwd|passphrase|pwd|secret[_ -]?(?:access[_ -]?)?key|client[_ -]?secret|secret|api[_ -]?key|"
    r"apikey|access[_ -]?(?:key|token)|auth[_ -]?token|bearer|token|"
    r"비밀번호|비번|암호|패스워드|비밀 ?키|인증 ?키|api ?키|액세스 ?키|토큰)"
    r"(?:[\"'`]? ?(?::=|[:=])|은|는| is| to|은 다음과 같|을| 값은)? {0,3}[\"'`]?"
)
_VALUE = re.compile(r"[A-Za-z0-9!@#$%^&*_\-+=/.~?]{6,200}")
_PLACEHOLDER = re.compile(
    r"^(?:\W*|x{3,}.*|.*\*{3,}.*|\.{3}.*|.*\.\.\..*|(?:your|my|the|some|a|new|old)[-_.].*|(?:your|change|insert|"
    r"enter|fake|dummy|sample|example|todo|none|null|true|false|undefined).*|"
    r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[a-z_]+\.[a-z_.]+|https?:.*|/.*|.*(?:password|secret|token|example).*)$",
    re.IGNORECASE,
)
_CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")


def find_secrets(text: str, low: str) -> Iterator[Span]:
    """The credentials in the text, in no particular order; spans may overlap. `low` is the text in lower case."""
    for literals, name, pattern in _FORMS:
        if not any(literal in text for literal in literals):
            continue
        for match in pattern.finditer(text):
            start = match.start()
            if start and (text[start - 1].isalnum() and text[start - 1].isascii()) and name != "password in a URL":
                continue
            if name == "password in a URL" and _PLACEHOLDER.match(
                match[0].split("://", 1)[1].split("@")[0].split(":", 1)[-1]
            ):
                continue
            if name.startswith("OpenAI") and not any(character.isdigit() for character in match[0]):
                continue
            yield Span("secret", *match.span(), 0.98, name)
    for label in _LABEL.finditer(low):
        value = _VALUE.match(text, label.end())
        if value is not None and _is_secret(value[0].rstrip(".,!?"), sure=label[0].rstrip("\"'` ")[-1:] in ":="):
            yield Span(
                "secret", value.start(), value.start() + len(value[0].rstrip(".,?")), 0.8, "after a word for secret"
            )


def _is_secret(value: str, *, sure: bool) -> bool:
    """Whether a value after a label looks made up by a machine or a careful person, not like a word of a sentence."""
    if len(value) < 8 or _PLACEHOLDER.match(value) or _CONSTANT.fullmatch(value):
        return False
    classes = sum(
        (
            any(c.isdigit() for c in value),
            any(c.islower() for c in value),
            any(c.isupper() for c in value),
            any(not c.isalnum() for c in value),
        )
    )
    if not any(c.isdigit() for c in value) or classes < 2:
        return False
    # A date, a time or a number with units is no secret.
    if re.fullmatch(r"[0-9.,:/\-]+|[0-9]+[a-zA-Z]{1,3}", value):
        return False
    return entropy(value) >= (2.5 if sure else 3.0)


def entropy(value: str) -> float:
    """Shannon entropy in bits per character, of the characters' own frequencies."""
    counts = Counter(value)
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
