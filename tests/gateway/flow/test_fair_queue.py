"""The queue before an engine: who is let in, in which order, and who is refused."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from inhouse.core.errors import DeadlineExceeded, EngineUnavailable, QueueFull
from inhouse.gateway.fair_queue import FairQueue


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def measured(clock: Clock, *, slots: int, service_s: float, max_waiting: int = 100) -> FairQueue:
    """A queue that knows how long a request takes."""
    queue = FairQueue(slots, max_waiting, clock)
    ticket = await queue.enter("before")
    clock.now += service_s
    ticket.leave()
    return queue


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_free_slot_is_granted_at_once():
    queue = FairQueue(2, 0)
    first, second = await queue.enter("a"), await queue.enter("a")
    assert (first.waited_s, queue.running) == (0.0, 2)
    with pytest.raises(QueueFull):
        await queue.enter("a")
    second.leave()
    second.leave()
    assert queue.running == 1


async def test_one_caller_is_served_in_the_order_of_arrival():
    queue = FairQueue(1, 10)
    order: list[int] = []

    async def request(number: int) -> None:
        ticket = await queue.enter("a")
        order.append(number)
        await asyncio.sleep(0.001)
        ticket.leave()

    await asyncio.gather(*(request(number) for number in range(6)))
    assert order == list(range(6))


async def test_a_request_knows_how_long_it_waited():
    queue = FairQueue(1, 10)
    ticket = await queue.enter("a")
    waiting = asyncio.create_task(queue.enter("a"))
    await asyncio.sleep(0.05)
    ticket.leave()
    assert 0.045 <= (await waiting).waited_s < 0.5


async def loads(
    queue: FairQueue, streams: dict[str, int], seconds: float, service_s: Callable[[str], float]
) -> Counter:
    """Each caller keeps so many requests in the air for so long; how many of its were served."""
    served: Counter[str] = Counter()
    end = time.perf_counter() + seconds

    async def stream(caller: str) -> None:
        while time.perf_counter() < end:
            ticket = await queue.enter(caller)
            await asyncio.sleep(service_s(caller))
            ticket.leave()
            served[caller] += time.perf_counter() < end  # not those that waited when it was over

    await asyncio.gather(*(stream(caller) for caller, count in streams.items() for _ in range(count)))
    return served


async def test_with_loads_of_20_to_1_both_callers_get_the_same_share():
    served = await loads(FairQueue(2, 1000), {"greedy": 80, "modest": 4}, 1.5, lambda _: 0.01)
    assert served["modest"] / served["greedy"] > 0.8


async def test_a_single_request_does_not_wait_behind_twenty_of_another_caller():
    queue = FairQueue(1, 1000)
    done: list[str] = []

    async def request(caller: str) -> None:
        ticket = await queue.enter(caller)
        await asyncio.sleep(0.005)
        ticket.leave()
        done.append(caller)

    greedy = [asyncio.create_task(request("greedy")) for _ in range(20)]
    await asyncio.sleep(0.012)
    await request("modest")
    assert done.index("modest") <= 4
    await asyncio.gather(*greedy)


async def test_shares_are_of_time_and_not_of_requests():
    served = await loads(FairQueue(1, 1000), {"long": 5, "short": 5}, 2.0, lambda who: 0.03 if who == "long" else 0.01)
    assert 2.0 < served["short"] / served["long"] < 4.5


async def test_being_away_is_no_credit():
    queue = FairQueue(1, 1000)
    await loads(queue, {"early": 3}, 0.5, lambda _: 0.005)
    held = await queue.enter("early")
    rest = asyncio.create_task(loads(queue, {"early": 10, "late": 10}, 0.5, lambda _: 0.005))
    await asyncio.sleep(0.01)
    held.leave()
    served = await rest
    assert 0.7 < served["late"] / served["early"] < 1.4


async def test_a_higher_priority_goes_first():
    queue = FairQueue(1, 10)
    order: list[str] = []

    async def request(caller: str, priority: int) -> None:
        ticket = await queue.enter(caller, priority=priority)
        order.append(caller)
        await asyncio.sleep(0.001)
        ticket.leave()

    await asyncio.gather(request("first", 0), request("low", 0), request("low", 0), request("high", 5))
    assert order == ["first", "high", "low", "low"]


async def test_when_full_a_newcomer_takes_the_last_place_of_the_greediest():
    queue = FairQueue(1, 3)
    held = await queue.enter("greedy")
    waiting = [asyncio.create_task(queue.enter("greedy")) for _ in range(3)]
    await settle()
    with pytest.raises(QueueFull):
        await queue.enter("greedy")
    modest = asyncio.create_task(queue.enter("modest"))
    await settle()
    with pytest.raises(QueueFull):
        await waiting[2]
    assert queue.waiting == 3
    held.leave()
    await modest
    assert not waiting[1].done()
    for task in waiting[:2]:
        task.cancel()


async def test_when_full_the_callers_end_up_with_equal_places():
    queue = FairQueue(1, 10)
    held = await queue.enter("a")
    tasks = [asyncio.create_task(queue.enter("a")) for _ in range(10)]
    await settle()
    tasks += [asyncio.create_task(queue.enter("b")) for _ in range(10)]
    await settle()
    refused = [task for task in tasks if task.done() and isinstance(task.exception(), QueueFull)]
    assert len(refused) == 10
    assert sum(not task.done() for task in tasks[:10]) == 5
    held.leave()
    for task in tasks:
        task.cancel()


async def test_a_full_queue_of_low_priority_gives_way_to_a_high_one():
    queue = FairQueue(1, 1)
    held = await queue.enter("low")
    low = asyncio.create_task(queue.enter("low"))
    await settle()
    high = asyncio.create_task(queue.enter("high", priority=1))
    await settle()
    with pytest.raises(QueueFull):
        await low
    with pytest.raises(QueueFull):
        await queue.enter("other")
    held.leave()
    (await high).leave()


async def test_a_deadline_that_cannot_be_kept_is_refused_at_once():
    clock = Clock()
    queue = await measured(clock, slots=1, service_s=2.0)
    await queue.enter("a")
    waiting = [asyncio.create_task(queue.enter("a")) for _ in range(3)]
    await settle()
    begin = time.perf_counter()
    with pytest.raises(DeadlineExceeded, match=r"wait for 12\.0 s") as refused:
        await queue.enter("a", deadline_s=5.0)
    assert time.perf_counter() - begin < 0.05
    assert refused.value.retry_after_s == pytest.approx(7.0)
    kept = asyncio.create_task(queue.enter("a", deadline_s=13.0))
    await settle()
    assert not kept.done()
    for task in [*waiting, kept]:
        task.cancel()


async def test_the_wait_is_expected_from_the_callers_own_share():
    clock = Clock()
    queue = await measured(clock, slots=1, service_s=2.0)
    await queue.enter("greedy")
    waiting = [asyncio.create_task(queue.enter("greedy")) for _ in range(20)]
    await settle()
    modest = asyncio.create_task(queue.enter("modest", deadline_s=8.0))  # the greedy one would wait for 42 s
    await settle()
    assert not modest.done()
    for task in [*waiting, modest]:
        task.cancel()


async def test_what_a_request_costs_counts_in_the_expected_wait():
    clock = Clock()
    queue = await measured(clock, slots=1, service_s=1.0)
    await queue.enter("a", cost=1.0)
    large = asyncio.create_task(queue.enter("a", cost=20.0))
    await settle()
    with pytest.raises(DeadlineExceeded):
        await queue.enter("a", deadline_s=15.0)
    large.cancel()


async def test_a_deadline_that_passes_while_waiting_ends_the_wait():
    queue = FairQueue(1, 10)
    held = await queue.enter("a")
    with pytest.raises(DeadlineExceeded):
        await queue.enter("a", deadline_s=0.05)
    assert queue.waiting == 0
    held.leave()
    assert queue.running == 0


@pytest.mark.parametrize("leaves", ["before its turn", "at its turn"])
async def test_a_caller_that_leaves_takes_no_slot_with_it(leaves):
    queue = FairQueue(1, 10)
    held = await queue.enter("a")
    gone = asyncio.create_task(queue.enter("b"))
    await settle()
    if leaves == "at its turn":
        held.leave()
        gone.cancel()
    else:
        gone.cancel()
        await settle()
        held.leave()
    with pytest.raises(asyncio.CancelledError):
        await gone
    (await queue.enter("c", deadline_s=1.0)).leave()
    assert (queue.running, queue.waiting) == (0, 0)


async def test_slots_that_are_added_are_granted_and_those_taken_away_are_not_granted_again():
    queue = FairQueue(0, 10)
    tasks = [asyncio.create_task(queue.enter("a")) for _ in range(4)]
    await settle()
    assert queue.running == 0
    queue.resize(3)
    await settle()
    assert queue.running == 3
    queue.resize(1)
    for task in tasks[:2]:
        (await task).leave()
    await settle()
    assert not tasks[3].done()
    (await tasks[2]).leave()
    (await tasks[3]).leave()


async def test_a_request_that_cannot_wait_for_a_cold_start_is_refused_at_once():
    queue = FairQueue(0, 10)
    queue.resize(0, opens_in_s=30.0)
    with pytest.raises(DeadlineExceeded, match=r"wait for 45\.0 s"):
        await queue.enter("a", deadline_s=10.0)
    patient = asyncio.create_task(queue.enter("a", deadline_s=60.0))
    await settle()
    queue.resize(1)
    (await patient).leave()


async def test_abandoning_ends_all_waits_and_leaves_the_queue_usable():
    queue = FairQueue(0, 10)
    tasks: list[Awaitable[object]] = [asyncio.create_task(queue.enter("a")) for _ in range(3)]
    await settle()
    queue.abandon(EngineUnavailable("down", why="killed", do="wait"))
    for task in tasks:
        with pytest.raises(EngineUnavailable, match="down"):
            await task
    queue.resize(1)
    (await queue.enter("a")).leave()
    assert (queue.running, queue.waiting) == (0, 0)


async def test_a_thousand_random_requests_leave_nothing_behind():
    import random

    random.seed(5)
    queue = FairQueue(3, 20)
    outcomes: Counter[str] = Counter()

    async def request(number: int) -> None:
        await asyncio.sleep(random.random() * 0.3)
        try:
            ticket = await queue.enter(
                f"k{number % 7}",
                priority=number % 2,
                deadline_s=random.choice([None, 0.0, 0.01, 0.1]),
                cost=random.random(),
            )
            try:
                assert queue.running <= 3
                await asyncio.sleep(random.random() * 0.002)
            finally:
                ticket.leave(complete=bool(number % 3))
            outcomes["served"] += 1
        except (QueueFull, DeadlineExceeded) as error:
            outcomes[type(error).__name__] += 1

    tasks = [asyncio.create_task(request(number)) for number in range(1000)]
    for task in random.sample(tasks, 100):
        asyncio.get_running_loop().call_later(random.random() * 0.3, task.cancel)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (queue.running, queue.waiting) == (0, 0)
    assert outcomes["served"] > 100
    assert outcomes["QueueFull"] + outcomes["DeadlineExceeded"] > 0
