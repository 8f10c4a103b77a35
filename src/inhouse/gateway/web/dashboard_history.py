"""What the dashboard's charts draw of a range of time: columns over its steps, and what the whole range came to.

Figures only, in no language. Knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inhouse.gateway.traffic.history import History, Point, Range
from inhouse.gateway.traffic.sums import DURATIONS, PERCENTILES, all_percentiles, figures, parts, total

_MOST_MACHINES = 4
_NO_TIMES: dict[str, list[float | None]] = {name: [None] * len(PERCENTILES) for name in DURATIONS}
_RATES = {
    "requests": "requests",
    "failed": "failed",
    "refused": "refused",
    "prompt": "prompt",
    "completion": "completion",
    "waiting": "waiting_s",
    "running": "running_s",
}


def history_of(history: History, subject: str, shown: Range, now: float, *, machines: bool) -> dict[str, Any]:
    """The subject's columns: `at`, rates a second, percentiles in seconds (50, 95, 99), the share of answers from the
    cache, won an hour; `total` of the range; `machines` by name where they are wanted. Blocks.
    """
    points = history.points(subject, shown, now)
    at = _grid(points, shown, now)
    by_at = {point.at: point for point in points}
    held = [by_at.get(one) for one in at]
    columns: dict[str, Any] = {"at": at}
    for name, key in _RATES.items():
        columns[name] = [0 if one is None else _rounded(one.sums.get(key, 0) / one.seconds) for one in held]
    times = [_NO_TIMES if one is None else all_percentiles(one.sums) for one in held]
    for name in DURATIONS:
        columns[name] = [[_rounded(one[name][index]) for one in times] for index in range(len(PERCENTILES))]
    columns["cache"] = [None if one is None else _cache_share(one) for one in held]
    columns["krw"] = [
        0 if one is None else _rounded(one.sums.get("micro_krw", 0) / 1e6 / one.seconds * 3600) for one in held
    ]
    columns["total"] = figures(total(point.sums for point in points))
    if machines:
        names = history.subjects("host", shown, now)[:_MOST_MACHINES]
        columns["machines"] = {name: _machine(history.points(f"host:{name}", shown, now), at) for name in names}
    return columns


def _grid(points: Sequence[Point], shown: Range, now: float) -> list[int]:
    """Every step of the range up to the last that is shown; from the first that has anything, at the earliest."""
    step = shown.step_s
    last = int(now // step) * step - step
    if points:
        last = max(last, points[-1].at)
    first = int((now - shown.length_s) // step) * step
    return list(range(first, last + 1, step))


def _cache_share(point: Point) -> float | None:
    requests = point.sums.get("requests", 0)
    return round(sum(parts(point.sums, "cache").values()) / requests, 4) if requests else None


def _machine(points: Sequence[Point], at: Sequence[int]) -> dict[str, list[float | None]]:
    by_at = {point.at: point.sums for point in points}
    found: dict[str, list[float | None]] = {}
    for name in ("cpu", "memory", "disk", "gpu"):
        column = [_mean(by_at.get(one), name) for one in at]
        if any(value is not None for value in column):
            found[name] = column
    return found


def _mean(sums: dict[str, float] | None, name: str) -> float | None:
    if sums is None or name not in sums or not sums.get("samples"):
        return None
    return round(sums[name] / sums["samples"], 4)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
