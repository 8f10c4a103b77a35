"""What happens in the busiest hour: a rush, requests that go first, machines that start."""

from __future__ import annotations

import numpy as np
import pytest

from inhouse.bench.plan import Objectives
from inhouse.core.errors import UsageError
from inhouse.plan.demand import Demand, Lengths
from inhouse.plan.moments import Happening, Moment, busiest_hours, moments
from inhouse.plan.queueing import capacity
from inhouse.plan.service import ServiceModel

GPU = ServiceModel(
    slots=32, decode_s=((1, 0.02), (8, 0.025), (32, 0.04)), cache_s=1e-7, prompt_fixed_s=0.002, prompt_s=1e-4,
    request_s=0.001,
)  # fmt: skip
CHAT = Lengths.varied(400, 120)
GOAL = Objectives(ttft_s=2.0, tpot_s=0.1)
DEMAND = Demand(3600 * 0.6 * capacity(GPU, CHAT), CHAT)


def brought(happening: Happening, machines: int = 1) -> dict[str, Moment]:
    return {one.name: one for one in moments(GPU, DEMAND, machines, GOAL, happening=happening)}


def test_in_a_rush_beyond_the_capacity_most_wait_and_those_that_go_first_do_not() -> None:
    seen = brought(Happening(rush=3, urgent=0.2))
    assert seen["rush"].outcome.attained < 0.5
    assert seen["rush_urgent"].outcome.attained > 0.95
    assert seen["rush_others"].outcome.attained < 0.5
    urgent, others = (seen[name].outcome.requests for name in ("rush_urgent", "rush_others"))
    assert urgent + others == seen["rush"].outcome.requests
    assert urgent / (urgent + others) == pytest.approx(0.2, abs=0.03)


def test_without_a_rush_and_without_ranks_the_hour_is_as_it_was() -> None:
    seen = brought(Happening(rush=1))
    assert "rush_urgent" not in seen
    assert seen["rush"].outcome.attained > 0.95


def test_the_longer_a_start_takes_the_fewer_are_in_time() -> None:
    slow, fast = (brought(Happening(cold_start_s=seconds)) for seconds in (120, 5))
    for name in ("replaced", "cold"):
        assert slow[name].outcome.attained < fast[name].outcome.attained
    # Who asks as cold machines are started waits for nearly as long as that takes.
    assert slow["cold"].outcome.ttft_s["p99"] == pytest.approx(120, rel=0.1)


def test_beside_others_a_machine_that_starts_again_is_missed_less() -> None:
    assert brought(Happening(), 2)["replaced"].outcome.attained > brought(Happening())["replaced"].outcome.attained


def test_where_few_ask_in_an_hour_several_hours_are_played() -> None:
    hours = busiest_hours(Demand(100, CHAT), 0)
    assert len(hours) == 40
    assert len({float(hour.arrivals_s[0]) for hour in hours}) == 40
    assert np.mean([hour.arrivals_s[-1] for hour in hours]) == pytest.approx(3600, rel=0.1)


def test_what_cannot_happen_is_refused() -> None:
    for wrong in ({"rush": 0.5}, {"urgent": 1.0}, {"cold_start_s": -1.0}):
        with pytest.raises(UsageError):
            Happening(**wrong)
