"""How sizes and durations are written for people, the same in every table, and how durations are read."""

from __future__ import annotations

import re

from inhouse.core.errors import UsageError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|sec|m|min|h)?", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def format_bytes(size: float) -> str:
    """A size in decimal units, as disks and downloads are sold: 98.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} TB"


def format_seconds(seconds: float) -> str:
    """A duration at the precision that a reader can use: 12 ms, 3.4 s, 2 min 05 s, 1 h 02 min."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def parse_seconds(text: str, name: str) -> float:
    """A duration as people write it, in seconds: 90, 90s, 500ms, 10m, 1.5h.

    Raises:
        UsageError: it is no duration, or not over zero; `name` says of what.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[(match[2] or "s").lower()] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"{name} {text!r} is no duration", do="Write it as 90s, 10m or 1h")
    return seconds
