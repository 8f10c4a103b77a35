"""Several gateway processes on one Redis: limits, slots and shares that hold for all of them together."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from throwaway_redis import run_redis

from inhouse.core.errors import DeadlineExceeded, QueueFull, RateLimited, SharedStateLost
from inhouse.gateway.identity import Caller, KeyLimits
from inhouse.gateway.limits import RateLimits
from inhouse.gateway.shared import Shared
from inhouse.gateway.shared_limits import SharedRateLimits
from inhouse.gateway.shared_queue import SharedQueue


@pytest.fixture
def namespace() -> str:
    return uuid.uuid4().hex


@asynccontextmanager
async def process(url: str, namespace: str) -> AsyncIterator[Shared]:
    """What one gateway process has of the Redis."""
    shared = Shared(url, namespace=namespace)
    await shared.start()
    try:
        yield shared
    finally:
        await shared.close()


@asynccontextmanager
async def two(url: str, namespace: str) -> AsyncIterator[tuple[Shared, Shared]]:
    async with AsyncExitStack() as stack:
        yield tuple([await stack.enter_async_context(process(url, namespace)) for _ in range(2)])


def limits(shared: Shared) -> SharedRateLimits:
    return SharedRateLimits(shared, RateLimits())


def queue(shared: Shared, slots: int, max_waiting: int = 100) -> SharedQueue:
    made = SharedQueue(shared, "some model", max_waiting)
    made.resize(slots)
    return made


def caller(key: str = "k", team: str | None = None, *, of_team: KeyLimits | None = None, **own: int) -> Caller:
    return Caller(key, key, team=team, limits=KeyLimits(**own), team_limits=of_team or KeyLimits())


# --- limits ---------------------------------------------------------------------------------------------


async def test_two_processes_together_let_in_no_more_than_one(redis_url, namespace):
    async with two(redis_url, namespace) as (a, b):
        both = limits(a), limits(b)
        who = caller(requests_per_minute=10)
        for number in range(10):
            await both[number % 2].take(who, "m", 1)
        for each in both * 5:
            with pytest.raises(RateLimited) as refused:
                await each.take(who, "m", 1)
            assert 0 < refused.value.retry_after_s <= 6.001


async def test_tokens_are_counted_and_settled_together(redis_url, namespace):
    async with two(redis_url, namespace) as (a, b):
        one, other = limits(a), limits(b)
        who = caller(tokens_per_minute=1000)
        await one.take(who, "m", 900)
        with pytest.raises(RateLimited, match="1,000 tokens a minute"):
            await other.take(who, "m", 500)
        await one.settle(who, "m", 900, 100)
        await until_settled(a)
        state = await other.take(who, "m", 500)
        assert 400 <= state.tokens.remaining <= 405
        assert dict(state.headers())[b"x-ratelimit-limit-tokens"] == b"1000"


async def until_settled(shared: Shared) -> None:
    await asyncio.sleep(0)
    while len(shared._tasks) > 2:  # all but the beat and the listener
        await asyncio.sleep(0.005)


async def test_requests_at_once_are_counted_together(redis_url, namespace):
    async with two(redis_url, namespace) as (a, b):
        one, other = limits(a), limits(b)
        who = caller(max_concurrent=3)
        for each in (one, one, other):
            await each.take(who, "m", 1)
        for each in (one, other):
            with pytest.raises(RateLimited, match="3 requests under way"):
                await each.take(who, "m", 1)
        await one.settle(who, "m", 1, 1)
        await until_settled(a)
        await other.take(who, "m", 1)


async def test_what_the_team_refuses_does_not_count_for_the_key(redis_url, namespace):
    async with process(redis_url, namespace) as a:
        one = limits(a)
        who = caller("one", "t", of_team=KeyLimits(max_concurrent=1), requests_per_minute=2)
        await one.take(who, "m", 10)
        for _ in range(5):
            with pytest.raises(RateLimited, match="This team"):
                await one.take(who, "m", 10)
        await one.settle(who, "m", 10, 10)
        assert (await one.take(who, "m", 10)).requests.remaining == 0


async def test_what_a_dead_process_ran_is_not_counted(redis_url, namespace):
    async with process(redis_url, namespace) as survivor:
        async with process(redis_url, namespace) as dying:
            await limits(dying).take(caller(max_concurrent=1), "m", 1)
            with pytest.raises(RateLimited):
                await limits(survivor).take(caller(max_concurrent=1), "m", 1)
        await limits(survivor).take(caller(max_concurrent=1), "m", 1)


# --- the queue ------------------------------------------------------------------------------------------


async def test_two_processes_together_use_no_more_slots_than_there_are(redis_url, namespace):
    async with two(redis_url, namespace) as (a, b):
        both = queue(a, 3), queue(b, 3)
        running = most = 0

        async def request(number: int) -> None:
            nonlocal running, most
            ticket = await both[number % 2].enter(f"key {number % 5}")
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.005)
            running -= 1
            ticket.leave()

        await asyncio.gather(*(request(number) for number in range(60)))
        assert most == 3
        await until_settled(a)
        await until_settled(b)
        (await both[0].enter("last")).leave()
        assert both[0].waiting == 0


async def loads(
    queues: dict[str, SharedQueue], streams: dict[str, int], seconds: float, service_s: float
) -> tuple[Counter[str], dict[str, list[float]]]:
    served: Counter[str] = Counter()
    waits: dict[str, list[float]] = {name: [] for name in streams}
    end = time.perf_counter() + seconds

    async def stream(name: str) -> None:
        while time.perf_counter() < end:
            ticket = await queues[name].enter(name)
            waits[name].append(ticket.waited_s)
            await asyncio.sleep(service_s)
            ticket.leave()
            served[name] += time.perf_counter() < end

    await asyncio.gather(*(stream(name) for name, number in streams.items() for _ in range(number)))
    return served, waits


async def test_a_greedy_key_on_one_process_does_not_starve_a_key_on_the_other(redis_url, namespace):
    async with two(redis_url, namespace) as (a, b):
        queues = {"greedy": queue(a, 2), "modest": queue(b, 2)}
        served, waits = await loads(queues, {"greedy": 80, "modest": 4}, 3.0, 0.02)
        assert served["modest"] / served["greedy"] > 0.75
        assert (
            sorted(waits["modest"])[len(waits["modest"]) // 2] < sorted(waits["greedy"])[len(waits["greedy"]) // 2] / 3
        )


async def test_a_newcomer_on_the_other_process_takes_the_last_place_of_the_greediest(redis_url, namespace):
    async with two(redis_url, namespace) as (a, b):
        one, other = queue(a, 1, 3), queue(b, 1, 3)
        held = await one.enter("greedy")
        tasks = []
        for _ in range(3):
            tasks.append(asyncio.create_task(one.enter("greedy")))
            await asyncio.sleep(0.02)
        with pytest.raises(QueueFull):
            await one.enter("greedy")
        modest = asyncio.create_task(other.enter("modest"))
        with pytest.raises(QueueFull):
            await tasks[2]
        held.leave()
        (await modest).leave()
        for task in tasks[:2]:
            (await task).leave()


async def test_a_deadline_that_cannot_be_kept_is_refused_at_once_on_either_process(redis_url, namespace):
    async with two(redis_url, namespace) as (a, b):
        one, other = queue(a, 1), queue(b, 1)
        ticket = await one.enter("k")
        await asyncio.sleep(0.3)
        ticket.leave()
        held = await one.enter("k")
        waiting = [asyncio.create_task(one.enter("k")) for _ in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(DeadlineExceeded, match="it may have to wait"):
            await other.enter("k", deadline_s=0.6)
        with pytest.raises(DeadlineExceeded, match="did not get its turn"):
            await other.enter("new", deadline_s=0.5)
        held.leave()
        for task in waiting:
            (await task).leave()


async def test_a_higher_priority_goes_first_across_processes(redis_url, namespace):
    async with two(redis_url, namespace) as (a, b):
        one, other = queue(a, 1), queue(b, 1)
        held = await one.enter("k")
        low = asyncio.create_task(one.enter("low"))
        await asyncio.sleep(0.02)
        high = asyncio.create_task(other.enter("high", priority=1))
        await asyncio.sleep(0.02)
        held.leave()
        ticket = await high
        assert not low.done()
        ticket.leave()
        (await low).leave()


async def test_callers_that_leave_take_no_slots_with_them(redis_url, namespace):
    async with two(redis_url, namespace) as (a, b):
        one, other = queue(a, 2), queue(b, 2)
        held = [await one.enter("k"), await other.enter("k")]
        tasks = [asyncio.create_task((one, other)[n % 2].enter(f"key {n}")) for n in range(20)]
        await asyncio.sleep(0.05)
        for number, task in enumerate(tasks):
            if number % 3 == 0 and held:
                held.pop().leave()
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for ticket in [*held, *(result for result in results if not isinstance(result, BaseException))]:
            ticket.leave()
        (await other.enter("after", deadline_s=3.0)).leave()
        await until_settled(b)
        (await one.enter("after")).leave()


CHILD = """
import asyncio, sys
from inhouse.gateway.shared import Shared
from inhouse.gateway.shared_queue import SharedQueue

async def main():
    shared = Shared(sys.argv[1], namespace=sys.argv[2])
    await shared.start()
    queue = SharedQueue(shared, "some model", 100)
    queue.resize(2)
    await queue.enter("child")
    await queue.enter("child")
    asyncio.create_task(queue.enter("child"))
    await asyncio.sleep(0.1)
    print("holding", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_the_slots_of_a_killed_process_are_free_after_a_while(redis_url, namespace):
    child = subprocess.Popen([sys.executable, "-c", CHILD, redis_url, namespace], stdout=subprocess.PIPE, text=True)
    try:
        assert await asyncio.to_thread(child.stdout.readline) == "holding\n"
        async with process(redis_url, namespace) as survivor:
            ours = queue(survivor, 2)
            with pytest.raises(DeadlineExceeded):
                await ours.enter("k", deadline_s=0.2)
            child.send_signal(signal.SIGKILL)
            begin = time.perf_counter()
            ticket = await ours.enter("k", deadline_s=10)
            assert 2 < time.perf_counter() - begin < 7
            ticket.leave()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


# --- without the Redis ----------------------------------------------------------------------------------


async def test_a_redis_that_is_not_there_is_named_at_the_start():
    with pytest.raises(SharedStateLost, match="does not answer"):
        await Shared("redis://127.0.0.1:9/0").start()


async def test_while_the_redis_is_away_each_process_goes_on_by_itself_and_joins_again(namespace):
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    who = caller(requests_per_minute=5)
    async with AsyncExitStack() as stack:
        with run_redis(server, port) as url:
            shared = await stack.enter_async_context(process(url, namespace))
            ours, waiting_room = limits(shared), queue(shared, 1)
            await ours.take(who, "m", 1)
            held = await waiting_room.enter("k")
            waiter = asyncio.create_task(waiting_room.enter("k"))
            await asyncio.sleep(0.05)
        for _ in range(5):
            await ours.take(who, "m", 1)  # its own memory's limit
        with pytest.raises(RateLimited):
            await ours.take(who, "m", 1)
        (await asyncio.wait_for(waiter, 5)).leave()
        held.leave()
        begin = time.perf_counter()
        (await waiting_room.enter("k")).leave()
        assert time.perf_counter() - begin < 1.0
        with run_redis(server, port):
            await asyncio.sleep(2.5)
            assert shared.connected
            assert (await ours.take(who, "m", 1)).requests.remaining == 4  # the new Redis begins with nothing
            ticket = await waiting_room.enter("k")
            with pytest.raises(DeadlineExceeded):
                await waiting_room.enter("k", deadline_s=0.1)
            ticket.leave()
            (await waiting_room.enter("k", deadline_s=1.0)).leave()
            await until_settled(shared)
