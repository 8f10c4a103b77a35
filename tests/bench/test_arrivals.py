"""Arrival processes and the clock that keeps to them."""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
import time
from itertools import islice, pairwise

import pytest

from inhouse.bench.arrivals import arrivals, keep_time, until
from inhouse.bench.plan import Open


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert list(islice(arrivals(Open(4.0, "constant"), random.Random(0)), 4)) == [0.0, 0.25, 0.5, 0.75]


def test_poisson_arrivals_have_exponential_gaps_of_the_right_mean() -> None:
    times = list(islice(arrivals(Open(10.0, "poisson"), random.Random(0)), 20_000))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert statistics.fmean(gaps) == pytest.approx(0.1, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(0.1, rel=0.05)  # of an exponential, the same as the mean


def test_the_same_seed_gives_the_same_arrivals() -> None:
    first, second, other = (list(islice(arrivals(Open(5.0), random.Random(s)), 50)) for s in (1, 1, 2))
    assert first == second != other


def test_a_schedule_ends_at_its_count_or_its_time_whichever_comes_first() -> None:
    def times() -> list[float]:
        return [0.0, 1.0, 2.0, 3.0]

    assert list(until(times(), count=2, duration_s=10.0)) == [0.0, 1.0]
    assert list(until(times(), count=4, duration_s=1.5)) == [0.0, 1.0]
    assert list(until(times(), count=None, duration_s=None)) == times()


async def test_every_time_comes_once_in_order_and_none_early() -> None:
    start = time.perf_counter() + 0.01
    due: list[tuple[float, float]] = []
    times = [i / 400 for i in range(80)]
    await keep_time(times, start, lambda at: due.append((at, time.perf_counter() - start - at)))
    assert [at for at, _ in due] == times
    assert min(late for _, late in due) > -0.0002
    assert statistics.median(late for _, late in due) < 0.005  # loose: the machine may be busy


async def test_a_clock_that_is_cancelled_stops_its_thread() -> None:
    task = asyncio.create_task(keep_time([0.0, 60.0], time.perf_counter(), lambda at: None))
    await asyncio.sleep(0.02)
    assert [thread for thread in threading.enumerate() if thread.name == "arrivals"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [thread for thread in threading.enumerate() if thread.name == "arrivals"]
