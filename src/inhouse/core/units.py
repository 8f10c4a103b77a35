"""How sizes, durations and rates are written for people, the same in every table."""

from __future__ import annotations


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
