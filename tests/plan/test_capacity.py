"""Capacity: the queueing model follows the simulation, and the machines that are named keep what is asked of them."""

from __future__ import annotations

import numpy as np
import pytest

from inhouse.bench.plan import Objectives
from inhouse.bench.traces import TraceRequest
from inhouse.core.errors import UsageError
from inhouse.plan.assumptions import load_assumptions
from inhouse.plan.capacity import level_at, machines_for, most_kept, plan_capacity
from inhouse.plan.demand import Demand, Lengths, demand_in, demand_of, workload_at
from inhouse.plan.queueing import capacity, knee, predict_load
from inhouse.plan.service import ServiceModel
from inhouse.plan.simulate import simulate

GPU = ServiceModel(
    slots=32, decode_s=((1, 0.02), (8, 0.025), (32, 0.04)), cache_s=1e-7, prompt_fixed_s=0.002, prompt_s=1e-4,
    prompt_square_s=1e-9, request_s=0.001,
)  # fmt: skip
CPU = ServiceModel(
    slots=4, decode_s=((1, 0.01), (2, 0.015), (4, 0.024)), cache_s=1e-6, prompt_fixed_s=0.002, prompt_s=1.5e-3,
    request_s=0.003,
)  # fmt: skip
CHAT = Lengths.varied(400, 120)
GOAL = Objectives(ttft_s=2.0, tpot_s=0.1)


@pytest.mark.parametrize("model", [GPU, CPU], ids=["gpu", "cpu"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.9])
@pytest.mark.parametrize("machines", [1, 3])
def test_the_queueing_model_follows_the_simulation(model: ServiceModel, part: float, machines: int) -> None:
    rate = part * capacity(model, CHAT, machines)
    said = predict_load(model, CHAT, rate, machines=machines)
    was = simulate(model, workload_at(rate, CHAT, 12_000), machines=machines)
    assert said.utilisation == pytest.approx(part)
    assert said.e2e_s["p50"] == pytest.approx(float(np.quantile(was.e2e_s, 0.5)), rel=0.15)
    assert said.e2e_s["p95"] == pytest.approx(float(np.quantile(was.e2e_s, 0.95)), rel=0.35)


def test_a_full_machine_completes_what_the_capacity_says() -> None:
    result = simulate(GPU, workload_at(3 * capacity(GPU, CHAT), CHAT, 6000))
    assert 6000 / result.end_s == pytest.approx(capacity(GPU, CHAT), rel=0.05)


def test_over_its_capacity_a_queue_has_no_end() -> None:
    said = predict_load(CPU, CHAT, 1.1 * capacity(CPU, CHAT))
    assert said.e2e_s["p50"] == float("inf")


def test_memory_lowers_the_capacity() -> None:
    tight = ServiceModel(**{**GPU.to_dict(), "cache_tokens": 3000})
    assert capacity(tight, CHAT) < 0.7 * capacity(GPU, CHAT)


def test_the_knee_lies_where_more_at_once_brings_little() -> None:
    flat = ServiceModel(slots=16, decode_s=((1, 0.01), (4, 0.011), (16, 0.044)))
    assert knee(flat, Lengths.fixed(10, 100)) == 4


def test_the_most_that_is_kept_is_kept_and_a_fifth_more_is_not() -> None:
    most = most_kept(GPU, CHAT, GOAL, 0.95)
    assert level_at(GPU, CHAT, most, GOAL).simulated.attained >= 0.95
    assert level_at(GPU, CHAT, 1.2 * most, GOAL).simulated.attained < 0.95


def test_the_machines_named_suffice_and_one_fewer_does_not() -> None:
    demand = Demand(3600 * 4.5 * most_kept(GPU, CHAT, GOAL, 0.95), CHAT)
    need = machines_for(GPU, demand, GOAL, 0.95)
    assert need.machines is not None
    assert need.level is not None
    assert need.level.simulated.attained >= 0.95
    fewer = level_at(GPU, CHAT, demand.rate, GOAL, machines=need.machines - 1)
    assert fewer.simulated.attained < 0.95
    assert need.with_spare is not None
    assert need.with_spare >= need.machines


def test_one_machine_of_one_failing_leaves_nearly_nobody_in_time() -> None:
    need = machines_for(GPU, Demand(600, CHAT), GOAL, 0.95)
    assert need.machines == 1
    assert need.one_away is not None
    assert need.one_away.attained < 0.1
    assert need.with_spare == 2


def test_what_one_request_alone_breaks_no_number_of_machines_keeps() -> None:
    plan = plan_capacity(CPU, Demand(60, Lengths.fixed(4000, 10)), objectives=Objectives(ttft_s=0.5))
    assert plan.need.machines is None
    assert plan.kept_requests_s == 0
    assert plan.headroom is None


def test_a_plan_is_the_same_for_the_same_seed() -> None:
    demand = Demand(2000, CHAT)
    assert plan_capacity(GPU, demand, seed=7) == plan_capacity(GPU, demand, seed=7)


def test_the_demand_is_what_the_assumptions_say() -> None:
    amounts = load_assumptions().amounts
    demand = demand_of(load_assumptions(), users=500)
    day = 500 * amounts["demand.requests_per_user_day"].likely
    assert demand.peak_requests_hour == pytest.approx(day * amounts["demand.peak_hour_share"].likely)
    assert demand.lengths.mean[0] == pytest.approx(amounts["demand.prompt_tokens"].likely, rel=0.01)


def test_a_day_holds_a_days_requests_most_of_them_in_the_busiest_hour() -> None:
    demand = demand_of(load_assumptions(), users=5000)
    day = demand.day()
    hours = np.bincount((day.arrivals_s // 3600).astype(int))
    assert len(day.arrivals_s) == pytest.approx(demand.requests_day or 0, rel=0.03)
    assert hours.argmax() == 4


def test_a_trace_brings_its_own_rate_lengths_and_bursts() -> None:
    trace = [TraceRequest(at, 100 + n, 10 + n % 3) for n, at in enumerate((0, 0.1, 0.2, 10, 10.1, 10.2, 20))]
    demand = demand_in(trace, "t")
    assert demand.rate == pytest.approx(6 / 20)
    assert demand.burst > 1
    assert demand.lengths.mean[0] == pytest.approx(103)


@pytest.mark.parametrize("burst", [0.5, 1.0, 3.0])
def test_arrivals_have_the_rate_and_the_burstiness_asked_for(burst: float) -> None:
    gaps = np.diff(workload_at(5.0, CHAT, 60_000, burst=burst).arrivals_s)
    assert gaps.mean() == pytest.approx(0.2, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(burst, rel=0.05)


def test_bad_demands_are_refused() -> None:
    for make in (lambda: Demand(0, CHAT), lambda: Demand(10, CHAT, burst=0), lambda: Lengths.varied(0.2, 10)):
        with pytest.raises(UsageError):
            make()
    with pytest.raises(UsageError):
        plan_capacity(GPU, Demand(10, CHAT), share=1.5)
    with pytest.raises(UsageError):
        machines_for(CPU, Demand(1e9, CHAT), Objectives(e2e_s=60), 0.95)


def test_the_tightest_objective_at_a_load_is_kept_by_just_the_share_and_grows_with_the_load() -> None:
    plan = plan_capacity(GPU, Demand(3600, CHAT), objectives=GOAL, share=0.9)
    ttft = [level.simulated.kept_s["ttft_s"] for level in plan.levels]
    assert ttft == sorted(ttft)
    level = plan.levels[3]
    tight = Objectives(ttft_s=level.simulated.kept_s["ttft_s"])
    again = level_at(GPU, CHAT, level.queue.requests_s, tight).simulated
    assert again.attained == pytest.approx(0.9, abs=0.001)


def test_a_recorded_hour_is_tried_itself_and_takes_more_machines_where_all_ask_at_once() -> None:
    even = [TraceRequest(second / 2, 400, 120) for second in range(2000)]
    at_once = [TraceRequest(100.0 * (second // 200), 400, 120) for second in range(2000)]
    few, many = (machines_for(GPU, demand_in(trace, "t"), GOAL, 0.95).machines for trace in (even, at_once))
    assert few is not None
    assert many is not None
    assert many > few


def test_of_a_long_trace_the_busiest_hour_is_taken() -> None:
    quiet = [TraceRequest(60.0 * minute, 10, 10) for minute in range(300)]
    busy = [TraceRequest(7200 + second, 20, 20) for second in range(3600)]
    demand = demand_in(sorted([*quiet, *busy], key=lambda one: one.at_s), "t")
    assert demand.peak_requests_hour == pytest.approx(3660, rel=0.02)
    assert demand.recorded is not None
    assert demand.recorded.arrivals_s[-1] <= 3600
