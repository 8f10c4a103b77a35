"""The findings on cost, derived from the kept run of the plan by plain functions.

Every figure is a prediction from named assumptions, and the sentences say so. What makes a finding grave is said here.
"""

from __future__ import annotations

from collections.abc import Iterator

from inhouse.core.records import Finding, Metric, Scalar, Severity, Side
from inhouse.plan.assumptions import stem_of
from inhouse.plan.breakeven import REQUESTS, USERS
from inhouse.store.repository import Store
from inhouse.study.plan import PLAN
from inhouse.study.plan_capacity_findings import capacity, gpu_capacity
from inhouse.study.run_data import RunData, derive_findings

# How many times the cheapest way ours may cost before it is serious; in how many draws ours must win to be good.
MUCH_DEARER, SURELY = 1.5, 0.9
# What is people's work, and what is the machine, of a bill's lines.
_WORK = ("people", "setup", "evaluation")
_MACHINE = ("hardware", "maintenance", "power", "network", "storage")
# Over this share of people the machine is the smaller matter; over this share of assumptions the sum is a sketch.
MOSTLY, SKETCH = 0.5, 0.5

_Found = Iterator[Finding]


def plan_findings(store: Store, study_id: str) -> list[Finding]:
    """What the plan's kept runs support, and one for each part that could not be made."""
    return derive_findings(
        store, study_id, PLAN, {"capacity": capacity, "gpu_capacity": gpu_capacity, "ownership": _ownership}
    )


def _ownership(data: RunData) -> _Found:
    years = list(data.every("year_won"))
    own = next((one for one in years if one.labels["way"] == "own"), None)
    if own is None:
        return
    users = int(_kept(data, "demand.users"))
    yield from _cost(data, own, users)
    yield from _people(data, own)
    yield from _market(data, own, [one for one in years if one is not own], users)
    yield from _break_even(data, years)
    yield from _sensitivity(data, own)
    yield from _per_solved(data)


def _cost(data: RunData, own: Metric, users: int) -> _Found:
    labels = {"way": "own"}
    month, tokens = data.find("per_user_month_won", **labels), data.find("per_million_tokens_won", **labels)
    every, assumed = data.find("assumptions"), data.find("assumed")
    if month is None or tokens is None or every is None or assumed is None:
        return
    figures: dict[str, Scalar] = {
        "users": users,
        "option": own.labels["option"],
        "year_won": own.value,
        "low_won": own.low,
        "high_won": own.high,
        "month_won": month.value,
        "tokens_won": tokens.value,
        "assumed": assumed.value,
        "amounts": every.value,
    }
    severity = Severity.WARNING if assumed.value > SKETCH * every.value else Severity.INFO
    yield Finding(
        PLAN, Side.BUSINESS, severity, "phase6.cost", figures, data.evidence(own, month, tokens, assumed, every)
    )


def _people(data: RunData, own: Metric) -> _Found:
    lines = {str(one.labels["line"]): one for one in data.every("line_won", way="own")}
    work = [lines[name] for name in _WORK if name in lines]
    machine = [lines[name] for name in _MACHINE if name in lines]
    if not work or not machine or own.value <= 0:
        return
    people = sum(one.value for one in work)
    figures: dict[str, Scalar] = {
        "people_percent": people / own.value * 100,
        "people_won": people,
        "machine_won": sum(one.value for one in machine),
    }
    severity = Severity.WARNING if people > MOSTLY * own.value else Severity.INFO
    evidence = data.evidence(own, *work, *machine)
    yield Finding(PLAN, Side.BUSINESS, severity, "phase6.people", figures, evidence)


def _market(data: RunData, own: Metric, others: list[Metric], users: int) -> _Found:
    if not others or own.value <= 0:
        return
    best = min(others, key=lambda one: one.value)
    shares = list(data.every("own_cheaper_share", way=best.labels["way"], option=best.labels["option"]))
    nearest = min(shares, key=lambda one: abs(_number(one.labels["users"]) - users), default=None)
    figures: dict[str, Scalar] = {
        "way": best.labels["way"],
        "option": best.labels["option"],
        "users": users,
        "own_won": own.value,
        "other_won": best.value,
        "dearer_ratio": own.value / best.value if best.value else None,
        "cheaper_percent": None if nearest is None else nearest.value * 100,
        "at_users": None if nearest is None else nearest.labels["users"],
    }
    evidence = data.evidence(own, best, nearest)
    if own.value <= best.value:
        severity = Severity.GOOD if nearest is not None and nearest.value >= SURELY else Severity.INFO
        yield Finding(PLAN, Side.BUSINESS, severity, "phase6.cheaper", figures, evidence)
        return
    severity = Severity.SERIOUS if own.value >= MUCH_DEARER * best.value else Severity.WARNING
    yield Finding(PLAN, Side.BUSINESS, severity, "phase6.dearer", figures, evidence)


def _break_even(data: RunData, years: list[Metric]) -> _Found:
    """Against the cheapest of each way that others offer: from how much demand on ours costs less, if ever."""
    for way, demand in (("api", REQUESTS), ("api", USERS), ("seats", USERS)):
        offered = [one for one in years if one.labels["way"] == way]
        if not offered:
            continue
        best = min(offered, key=lambda one: one.value)
        labels = {"way": way, "option": best.labels["option"], "demand": demand}
        never, reached = data.find("own_cheaper_never", **labels), data.find("own_cheaper_from", **labels)
        found = reached or never
        if found is None:
            continue
        figures: dict[str, Scalar] = {
            "way": way,
            "option": best.labels["option"],
            "from": found.value,
            "most": found.labels["most"],
            "users": _kept(data, USERS),
            "requests": _kept(data, REQUESTS),
        }
        over = "users" if demand == USERS else "requests"
        message = f"phase6.break_even_{over}" if reached else f"phase6.no_break_even_{over}"
        severity = Severity.INFO if reached else Severity.WARNING
        yield Finding(PLAN, Side.BUSINESS, severity, message, figures, data.evidence(found, best))


def _sensitivity(data: RunData, own: Metric) -> _Found:
    swings = sorted(data.every("swing_won"), key=lambda one: -one.value)
    if not swings:
        return
    first = swings[0]
    figures: dict[str, Scalar] = {
        "assumption": stem_of(str(first.labels["assumption"]))[0],
        "low_won": first.low,
        "high_won": first.high,
        "second": stem_of(str(swings[1].labels["assumption"]))[0] if len(swings) > 1 else None,
    }
    yield Finding(PLAN, Side.BUSINESS, Severity.INFO, "phase6.sensitivity", figures, data.evidence(own, *swings[:2]))


def _per_solved(data: RunData) -> _Found:
    for one in data.every("per_solved_won"):
        figures: dict[str, Scalar] = {
            "model": one.labels["model"],
            "suite": one.labels["suite"],
            "tries": one.n,
            "solved_won": one.value,
        }
        yield Finding(PLAN, Side.BUSINESS, Severity.INFO, "phase6.solved", figures, data.evidence(one))


def _kept(data: RunData, key: str) -> float:
    """The likely value of an assumption, as the run keeps it."""
    return float(data.run.config["amounts"][key]["likely"])


def _number(value: Scalar) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
