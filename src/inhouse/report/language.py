"""The languages a report can be written in: their message catalogues (gettext .po) and number formats.

Knows no message by name; `message.py` fills findings in, the views look up their own words here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from importlib import resources

from babel.dates import format_datetime
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from inhouse.core.errors import UsageError

LANGUAGES = ("ko", "en")


def choose_language(asked: str | None, environ: Mapping[str, str]) -> str:
    """The language asked for, or the locale's where it is one of ours, or English.

    Raises:
        UsageError: where a language was asked for that has no catalogue.
    """
    if asked is not None:
        if asked not in LANGUAGES:
            raise UsageError(f"There is no report in the language {asked!r}", do=f"Use one of: {', '.join(LANGUAGES)}")
        return asked
    # The first that is set decides, as setlocale(3) does.
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return next((lang for lang in LANGUAGES if locale.lower().startswith(lang)), "en")


@lru_cache
def catalogue(lang: str) -> Mapping[str, str]:
    """Message id to text in that language. A message id carries no text of its own, so the files are read whole."""
    path = resources.files("inhouse.report") / "locale" / lang / "LC_MESSAGES" / "inhouse.po"
    with path.open("rb") as file:
        messages = read_po(file, locale=lang)
    return {str(message.id): str(message.string) for message in messages if message.id}


def word(lang: str, key: str, default: str | None = None) -> str:
    """The text under `key`; `default` (or the key itself) where the catalogue has none."""
    return catalogue(lang).get(key) or (key if default is None else default)


def number(value: float, lang: str, *, aligned: bool = False) -> str:
    """A number as people of that language write it: whole from 1,000 up, else to three significant digits.

    `aligned` keeps trailing zeros, so that figures below each other show the same precision.
    """
    if not math.isfinite(value):
        return "–"
    decimals = 0
    if 0 < abs(value) < 1000:
        value = float(f"{value:.3g}")
        decimals = min(9, max(0, 2 - math.floor(math.log10(abs(value)))))
    pattern = "#,##0" + ("." + ("0" if aligned else "#") * decimals if decimals else "")
    return str(format_decimal(value, format=pattern, locale=lang)).replace("-", "\N{MINUS SIGN}")


def moment(at: datetime, lang: str) -> str:
    """A date and time of day, in the time zone that `at` carries, which is named."""
    pattern = "y년 M월 d일 HH:mm zzz" if lang == "ko" else "d MMMM y, HH:mm zzz"
    return str(format_datetime(at, pattern, locale=lang))
