"""The simulation: equal to one that goes step by step, and true to what failures, queues and priorities do."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_samples import step_by_step

from inhouse.core.errors import UsageError
from inhouse.plan.demand import Lengths, workload_at
from inhouse.plan.service import ServiceModel
from inhouse.plan.simulate import Outage, Workload, simulate

MODEL = ServiceModel(
    slots=4, decode_s=((1, 0.011), (2, 0.016), (4, 0.027)), cache_s=1.3e-6, prompt_fixed_s=0.002,
    prompt_s=7e-4, prompt_square_s=2e-7, request_s=0.003, prompt_batch=300,
)  # fmt: skip
LENGTHS = Lengths.varied(180, 40)


def _one(at: float = 0.0, prompt: int = 100, output: int = 11) -> Workload:
    return Workload(np.array([at]), np.array([prompt]), np.array([output]))


@pytest.mark.parametrize("rate", [0.5, 2.0, 5.0])
def test_it_equals_a_simulation_that_goes_step_by_step(rate: float) -> None:
    work = workload_at(rate, LENGTHS, 400, burst=1.5, seed=3)
    fast, slow = simulate(MODEL, work), step_by_step(MODEL, work)
    np.testing.assert_allclose(fast.first_s, [one.times[0] for one in slow], rtol=1e-9)
    np.testing.assert_allclose(fast.done_s, [one.times[-1] for one in slow], rtol=1e-9)


@pytest.mark.parametrize("users", [1, 3, 7])
def test_a_closed_loop_equals_it_too(users: int) -> None:
    count = 120
    work = Workload(
        np.arange(count) * 1.7e-3,
        np.arange(20, 20 + count),
        np.arange(1, 1 + count) % 40 + 1,
        users=users,
        think_s=0.1237,
    )
    fast, slow = simulate(MODEL, work), step_by_step(MODEL, work)
    np.testing.assert_allclose(np.sort(fast.done_s), np.sort([one.times[-1] for one in slow]), rtol=1e-9)


def test_one_request_alone_takes_its_prompt_and_its_steps() -> None:
    done = simulate(MODEL, _one()).done_s[0]
    prefill = 0.003 + 0.002 + 7e-4 * 100 + 2e-7 * 100**2
    decode = sum(0.011 + 1.3e-6 * (101 + step) for step in range(10))
    assert done == pytest.approx(prefill + decode)


def test_a_cold_machine_serves_once_it_is_up() -> None:
    cold = simulate(MODEL, _one(), outages=[Outage(0, 0.0, 30.0)])
    assert cold.done_s[0] == pytest.approx(simulate(MODEL, _one()).done_s[0] + 30.0, abs=0.01)


def test_a_failure_breaks_off_what_had_begun_and_sends_the_rest_elsewhere() -> None:
    # Two machines; the first takes requests 0 and 2. When it fails, 0 has its first token and 2 does not.
    work = Workload(np.array([0.0, 0.0, 0.2]), np.array([100, 100, 290]), np.array([200, 200, 5]))
    result = simulate(MODEL, work, machines=2, outages=[Outage(0, 0.25, 60.0)])
    assert result.broken == 1
    assert np.isnan(result.done_s[0])
    assert result.done_s[2] < 60.0


def test_nothing_is_lost_where_machines_fail_again_and_again() -> None:
    work = workload_at(6.0, LENGTHS, 2000, seed=1)
    away = [Outage(number % 3, 20.0 * number + 5, 20.0 * number + 18) for number in range(12)]
    result = simulate(MODEL, work, machines=3, outages=away)
    assert result.answered.sum() + result.broken == 2000
    assert result.broken > 0


def test_a_full_queue_refuses_and_all_others_are_answered() -> None:
    work = workload_at(50.0, LENGTHS, 500)
    result = simulate(MODEL, work, queue=10)
    assert result.refused > 0
    assert result.answered.sum() + result.refused == 500


def test_what_comes_first_in_rank_waits_less() -> None:
    work = workload_at(4.0, LENGTHS, 3000)
    ranks = np.arange(3000) % 2
    result = simulate(MODEL, Workload(work.arrivals_s, work.prompt_tokens, work.output_tokens, ranks))
    waits = result.first_s - result.arrivals_s
    assert np.median(waits[ranks == 0]) < 0.5 * np.median(waits[ranks == 1])


def test_memory_limits_how_many_are_served_together() -> None:
    work = Workload(np.zeros(4), np.full(4, 100), np.full(4, 50))
    free = simulate(MODEL, work)
    tight = simulate(ServiceModel(**{**MODEL.to_dict(), "cache_tokens": 200}), work)
    assert np.sort(free.first_s)[1] < free.done_s.min()
    assert np.sort(tight.first_s)[1] > tight.done_s.min()


def test_two_machines_carry_what_one_cannot() -> None:
    work = workload_at(1.6 * MODEL.rate(4, *LENGTHS.mean), LENGTHS, 2000)
    one, two = simulate(MODEL, work), simulate(MODEL, work, machines=2)
    assert np.quantile(two.e2e_s, 0.95) < 0.2 * np.quantile(one.e2e_s, 0.95)


def test_a_million_tokens_cost_no_more_time_than_ten() -> None:
    assert simulate(MODEL, _one(output=1_000_000)).answered.all()


@pytest.mark.parametrize("away", [Outage(1, 0.0, 1.0), Outage(0, 2.0, 1.0), Outage(0, 0.0, float("inf"))])
def test_an_outage_that_cannot_be_is_refused(away: Outage) -> None:
    with pytest.raises(UsageError):
        simulate(MODEL, _one(), outages=[away])


def test_lengths_and_arrivals_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError):
        Workload(np.array([1.0, 0.0]), np.array([1, 1]), np.array([1, 1]))
    with pytest.raises(UsageError):
        _one(output=0)
