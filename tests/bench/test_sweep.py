"""Where a sweep goes next, and what it takes for the knee."""

from __future__ import annotations

import pytest

from inhouse.bench.metrics import by_stage
from inhouse.bench.plan import Closed, Objectives, Open, Stage, Sweep
from inhouse.bench.sweep import Knee, Level, find_knee, knee_metric, level_of, next_load, stage_at
from inhouse.core.records import Sample

CLOSED = Sweep(Stage(Closed(1), count=10), limit=32)
OPEN = Sweep(Stage(Open(1.0), count=10), limit=32)


def test_load_doubles_until_throughput_stops_rising() -> None:
    levels: list[Level] = []
    for tokens_s in (10.0, 19.0, 30.0, 30.5):
        load = next_load(CLOSED, levels)
        assert load is not None
        levels.append(Level(load, tokens_s, errors=0.0))
    assert [level.load for level in levels] == [1, 2, 4, 8]
    assert next_load(CLOSED, levels) is None
    assert find_knee(CLOSED, levels) == Knee(4, "gain")


@pytest.mark.parametrize(
    ("level", "reason"),
    [
        (Level(2, 20.0, errors=0.5), "errors"),
        (Level(2, 20.0, errors=0.0, attained=0.5), "objectives"),
        (Level(2, 20.0, errors=0.0, keeps_up=False), "overload"),
    ],
)
def test_a_load_that_breaks_something_ends_the_sweep(level: Level, reason: str) -> None:
    levels = [Level(1, 10.0, errors=0.0, attained=1.0), level]
    assert find_knee(CLOSED, levels) == Knee(1, reason)  # type: ignore[arg-type]
    assert next_load(CLOSED, levels) is None


def test_a_first_load_that_is_too_much_leaves_no_knee() -> None:
    levels = [Level(1, 10.0, errors=1.0)]
    assert find_knee(CLOSED, levels) == Knee(None, "errors")
    assert knee_metric(CLOSED, levels).value == 0


def test_a_sweep_that_meets_its_limit_says_so() -> None:
    levels = [Level(2**n, 10.0 * 2**n, errors=0.0) for n in range(6)]
    assert next_load(CLOSED, levels) is None
    metric = knee_metric(CLOSED, levels)
    assert (metric.value, metric.labels["broken"]) == (32, "limit")


def test_many_streams_get_requests_enough_for_all_of_them() -> None:
    assert stage_at(CLOSED, 16).count == 64
    assert stage_at(OPEN, 16.0).count == 10


def _open_stage(service_s: float, rate: float = 10.0, slots: int = 1, count: int = 60) -> list[Sample]:
    """What a server with so many slots makes of a constant rate."""
    free = [0.0] * slots
    samples = []
    for index in range(count):
        due = index / rate
        slot = min(range(slots), key=lambda s: free[s])
        begin = max(due, free[slot])
        free[slot] = end = begin + service_s
        tags = {"stage": "s", "rate": rate}
        samples.append(Sample(index, due, due, end, end, (end,), completion_tokens=1, tags=tags))
    return samples


@pytest.mark.parametrize(("service_s", "keeps_up"), [(0.05, True), (0.099, True), (0.15, False), (0.3, False)])
def test_requests_that_pile_up_are_seen(service_s: float, keeps_up: bool) -> None:
    (stage,) = by_stage(_open_stage(service_s))
    assert level_of(stage, 10.0, Objectives()).keeps_up is keeps_up
