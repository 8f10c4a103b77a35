"""The languages the program speaks to readers in: catalogues of messages (gettext .po), numbers and moments.

Needs Babel, which the report and the gateway's pages bring; knows no message by name.
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

LANGUAGES = ("ko", "en")


@lru_cache
def read_catalogue(package: str, lang: str) -> Mapping[str, str]:
    """Message id to text, of the package's catalogue in that language.

    A message id carries no text of its own, so the file is read whole.
    """
    path = resources.files(package) / "locale" / lang / "LC_MESSAGES" / "inhouse.po"
    with path.open("rb") as file:
        messages = read_po(file, locale=lang)
    return {str(message.id): str(message.string) for message in messages if message.id}


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
