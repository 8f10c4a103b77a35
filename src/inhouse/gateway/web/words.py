"""The pages' words in each language, numbers and durations as its readers write them, and which language to speak.

Knows no page; a key that a catalogue lacks shows as itself.
"""

from __future__ import annotations

from typing import Any

from inhouse.core.language import LANGUAGES, number, read_catalogue

_PACKAGE = "inhouse.gateway.web"


def word(lang: str, key: str, **figures: Any) -> str:
    """The text under `key`, its {placeholders} filled in."""
    text = read_catalogue(_PACKAGE, lang).get(key) or key
    return text.format(**figures) if figures else text


def preferred_language(kept: str | None, accept: str) -> str:
    """The language chosen before, or the first of the browser's (Accept-Language) that is one of ours, or English."""
    if kept in LANGUAGES:
        return kept
    wanted: list[tuple[float, str]] = []
    for part in accept.split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            wanted.append((-float(weight or 1), tag.lower()))
        except ValueError:
            continue
    spoken = (tag.partition("-")[0] for _, tag in sorted(wanted, key=lambda one: one[0]))
    return next((tag for tag in spoken if tag in LANGUAGES), "en")


def count(value: float | None, lang: str) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else number(value, lang)


def seconds(value: float | None, lang: str) -> str:
    """A duration: 350 ms, 2.1 s, 4.5 min."""
    if value is None:
        return "–"
    if value < 1:
        return f"{number(value * 1000, lang)}\u00a0ms"
    if value < 90:
        return f"{number(value, lang)}\u00a0{word(lang, 'unit.s')}"
    return f"{number(value / 60, lang)}\u00a0{word(lang, 'unit.min')}"


def size(value: float | None, lang: str) -> str:
    """Bytes in units of 1000: 3.5 GB."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{number(value, lang)}\u00a0{unit}"
        value /= 1000
    return f"{number(value, lang)}\u00a0TB"


def won(value: float | None, lang: str) -> str:
    """Money in won."""
    return "–" if value is None else f"₩{number(value, lang)}"
