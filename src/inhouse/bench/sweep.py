"""Where more load stops paying: which load a sweep tries next, and which one was the knee. Sends nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from inhouse.bench.metrics import StageSamples, attained, output_tokens_s
from inhouse.bench.plan import Closed, Objectives, Open, Stage, Sweep
from inhouse.core.records import Metric

Reason = Literal["gain", "objectives", "overload", "errors", "limit"]

_ERRORS = 0.05  # share of failed requests from which on a load counts as too much


@dataclass(frozen=True, slots=True)
class Level:
    """What one load of a sweep brought. `keeps_up`: requests did not pile up (always so in a closed loop)."""

    load: float
    tokens_s: float
    errors: float
    attained: float | None = None
    keeps_up: bool = True


@dataclass(frozen=True, slots=True)
class Knee:
    """The highest load that paid, and what the next one broke; `load` None: already the first one did."""

    load: float | None
    reason: Reason


def stage_at(sweep: Sweep, load: float) -> Stage:
    """The sweep's stage at that load."""
    first = sweep.first
    if isinstance(first.arrival, Closed):
        streams = round(load)
        # Every stream needs some requests of its own, or a level would be all start and end.
        count = first.count and max(first.count, 4 * streams)
        return replace(first, arrival=Closed(streams), count=count)
    assert isinstance(first.arrival, Open)
    return replace(first, arrival=replace(first.arrival, rate=load))


def next_load(sweep: Sweep, levels: Sequence[Level]) -> float | None:
    """The next load to try; None when the knee is found."""
    if not levels:
        return _load(sweep.first)
    if find_knee(sweep, levels).reason != "limit":
        return None
    load = levels[-1].load * sweep.factor
    load = round(load) if isinstance(sweep.first.arrival, Closed) else load
    return load if load <= sweep.limit else None


def find_knee(sweep: Sweep, levels: Sequence[Level]) -> Knee:
    """The last level before the first that broke something."""
    before: Level | None = None
    for level in levels:
        if (reason := _broken(sweep, before, level)) is not None:
            return Knee(before.load if before else None, reason)
        before = level
    return Knee(before.load if before else None, "limit")


def level_of(stage: StageSamples, load: float, objectives: Objectives) -> Level:
    """What a stage's samples say of its load."""
    return Level(
        load=load,
        tokens_s=output_tokens_s(stage),
        errors=1 - len(stage.answered) / len(stage.samples),
        attained=attained(stage, objectives) if objectives else None,
        keeps_up="streams" in stage.labels or _keeps_up(stage),
    )


def knee_metric(sweep: Sweep, levels: Sequence[Level]) -> Metric:
    """The knee as a figure of the run: streams, or requests a second; 0 where already the first load was too much."""
    knee = find_knee(sweep, levels)
    closed = isinstance(sweep.first.arrival, Closed)
    return Metric(
        "knee_streams" if closed else "knee_requests_s",
        knee.load or 0,
        "" if closed else "requests/s",
        {"broken": knee.reason, "prompt_tokens": sweep.first.prompt_tokens, "output_tokens": sweep.first.output_tokens},
        n=len(levels),
        method=f"sweep by {sweep.factor:g}, gain ≥ {sweep.min_gain:.0%}",
    )


def _broken(sweep: Sweep, before: Level | None, level: Level) -> Reason | None:
    if level.errors > _ERRORS:
        return "errors"
    if level.attained is not None and level.attained < sweep.attained:
        return "objectives"
    if not level.keeps_up:
        return "overload"
    if before is not None and level.tokens_s < before.tokens_s * (1 + sweep.min_gain):
        return "gain"
    return None


def _keeps_up(stage: StageSamples) -> bool:
    """Whether hardly more requests were under way at the last arrival than after the first quarter of the time.

    A tenth of what arrived in between may pile up, and where arrivals are random as much again as their number
    scatters by, which is its root.
    """
    due = sorted(sample.intended_start_s for sample in stage.samples)
    last, early = due[-1], due[0] + (due[-1] - due[0]) / 4

    def under_way(at: float) -> int:
        return sum(sample.intended_start_s <= at < sample.end_s for sample in stage.samples)

    arrived = sum(at > early for at in due)
    scatter = 1.5 * math.sqrt(arrived) if stage.labels.get("arrival") == "poisson" else 0.0
    return under_way(last) - under_way(early) <= max(2.0, arrived / 10) + scatter


def _load(stage: Stage) -> float:
    if isinstance(stage.arrival, Closed):
        return stage.arrival.streams
    assert isinstance(stage.arrival, Open)
    return stage.arrival.rate
