"""How sums of money are said: won to three digits in words, as people of the language say them."""

from __future__ import annotations

import math

from inhouse.report.language import number, word

_KOREAN = ((10**12, "조"), (10**8, "억"), (10**4, "만"))
_NO_BREAK = "\u00a0"


def won_in_words(value: float, lang: str) -> str:
    """163 million won, 1억 6,300만 원; whole won below ten thousand, two decimals below one hundred."""
    if not math.isfinite(value):
        return "–"
    sign = "\N{MINUS SIGN}" if value < 0 else ""
    size = abs(value)
    if size < 10_000:
        shown = number(round(size, 2) if size < 100 else round(size), lang)
        return sign + word(lang, "money.won").replace("{value}", shown).replace(" ", _NO_BREAK)
    size = float(f"{size:.3g}")
    said = _korean(round(size), lang) if lang == "ko" else _english(size, lang)
    return sign + said.replace(" ", _NO_BREAK)


def _korean(whole: int, lang: str) -> str:
    parts = []
    for unit, name in _KOREAN:
        count, whole = divmod(whole, unit)
        if count:
            parts.append(f"{number(count, lang)}{name}")
    return " ".join(parts) + f" {number(whole, lang)}원" if whole else " ".join(parts) + " 원"


def _english(size: float, lang: str) -> str:
    for unit, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if size >= unit:
            return f"{number(size / unit, lang)} {name} won"
    return f"{number(size, lang)} won"
