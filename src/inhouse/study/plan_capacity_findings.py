"""The findings on capacity, derived from the kept capacity runs. Every figure is a prediction, and says so."""

from __future__ import annotations

from collections.abc import Iterator

from inhouse.core.records import Finding, Metric, Scalar, Severity, Side
from inhouse.study.plan import PLAN
from inhouse.study.run_data import RunData

# From so many machines on their number is a reason of its own against building with them.
MANY = 4

_Found = Iterator[Finding]


def capacity(data: RunData) -> _Found:
    """What this machine keeps up with, how many the demand takes, and what one failure does."""
    kept, most, asked = (data.find(f"{name}_requests_hour") for name in ("kept", "most", "asked"))
    if kept is None or most is None or asked is None:
        return
    figures = _figures(data, kept_requests=kept, most_requests=most, asked_requests=asked)
    needed = data.find("machines_needed")
    if needed is None:
        yield Finding(
            PLAN, Side.TECHNICAL, Severity.SERIOUS, "phase6.capacity_none", figures, data.evidence(kept, most)
        )  # fmt: skip
        return
    severity = Severity.GOOD if needed.value <= 1 else Severity.SERIOUS if needed.value >= MANY else Severity.WARNING
    figures = {**figures, "machines": int(needed.value)}
    evidence = data.evidence(needed, kept, most, asked)
    yield Finding(PLAN, Side.TECHNICAL, severity, "phase6.capacity", figures, evidence)
    yield from _objective(data)
    yield from _failure(data, needed)
    yield from _moments(data, needed)


def gpu_capacity(data: RunData) -> _Found:
    """How many of the machine that would be bought the demand takes, and how fast they would answer."""
    needed, kept = data.find("machines_needed"), data.find("kept_requests_hour")
    asked, ttft = data.find("asked_requests_hour"), data.find("ttft_s", stat="p95")
    e2e = data.find("e2e_s", stat="p95")
    if needed is None or kept is None or asked is None or ttft is None or e2e is None:
        return
    figures = _figures(data, kept_requests=kept, asked_requests=asked)
    figures |= {"machine": str(data.run.config.get("machine", "")), "machines": int(needed.value)}
    figures |= {"ttft_s": ttft.value, "e2e_s": e2e.value}
    evidence = data.evidence(needed, kept, asked, ttft, e2e)
    yield Finding(PLAN, Side.TECHNICAL, Severity.INFO, "phase6.gpu_capacity", figures, evidence)


def _objective(data: RunData) -> _Found:
    """What objective can be kept at what load: at half of what a machine completes, and at nine tenths."""
    found = {
        f"{load}_{name}_s": data.find(f"kept_{name}_s", load_percent=percent)
        for load, percent in (("half", 50), ("high", 90))
        for name in ("ttft", "tpot")
    }
    knee = data.find("knee_requests")
    if knee is None or any(metric is None for metric in found.values()):
        return
    figures: dict[str, Scalar] = {name: metric.value for name, metric in found.items() if metric is not None}
    figures |= {"knee_requests": int(knee.value), "share_percent": float(data.run.config.get("share", 0)) * 100}
    evidence = data.evidence(*found.values(), knee)
    yield Finding(PLAN, Side.TECHNICAL, Severity.INFO, "phase6.capacity_objective", figures, evidence)


def _moments(data: RunData, needed: Metric) -> _Found:
    """What a rush, a machine that starts again, and a cold beginning of the busiest hour bring."""
    brought = {name: data.find("moment_percent", moment=name) for name in ("rush", "replaced", "cold")}
    rush, start = data.find("rush_ratio"), data.find("start_s")
    if rush is None or start is None or any(metric is None for metric in brought.values()):
        return
    figures: dict[str, Scalar] = {f"{name}_percent": one.value for name, one in brought.items() if one is not None}
    figures |= {"machines": int(needed.value), "rush_ratio": rush.value, "cold_start_s": start.value}
    share = float(data.run.config.get("share", 0)) * 100
    late = any(one.value < share for one in brought.values() if one is not None)
    evidence = data.evidence(*brought.values(), rush, start, needed)
    severity = Severity.WARNING if late else Severity.INFO
    yield Finding(PLAN, Side.OPERATIONAL, severity, "phase6.capacity_rush", figures, evidence)


def _failure(data: RunData, needed: Metric) -> _Found:
    away, spare = data.find("one_away_percent"), data.find("machines_with_spare")
    if away is None or spare is None:
        return
    figures: dict[str, Scalar] = {
        "machines": int(needed.value), "one_away_percent": away.value, "spare_machines": int(spare.value)
    }  # fmt: skip
    severity = Severity.INFO if spare.value <= needed.value else Severity.WARNING
    evidence = data.evidence(away, spare, needed)
    yield Finding(PLAN, Side.OPERATIONAL, severity, "phase6.capacity_failure", figures, evidence)


def _figures(data: RunData, **requests: Metric) -> dict[str, Scalar]:
    """The model, the objectives, how many users there are, and requests an hour as whole numbers."""
    users = data.run.config.get("users")
    objectives = data.run.config.get("objectives", {})
    return {
        "model": data.run.model,
        "users": int(users) if isinstance(users, (int, float)) else None,
        "ttft_objective_s": objectives.get("ttft_s"),
        "tpot_objective_s": objectives.get("tpot_s"),
        "share_percent": float(data.run.config.get("share", 0)) * 100,
        **{name: round(metric.value) for name, metric in requests.items()},
    }
