"""A sampler watches for all: this process's requests, and with a Redis those of its siblings; history outlives it."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from made_rows import made_row

from inhouse.gateway.failover import PoolStatus, ReplicaStatus
from inhouse.gateway.logs import open_log
from inhouse.gateway.replica import Condition
from inhouse.gateway.shared import Shared
from inhouse.gateway.traffic.history import range_named
from inhouse.gateway.traffic.machine import Machine
from inhouse.gateway.traffic.meter import Bin
from inhouse.gateway.traffic.now import from_json, to_json, together
from inhouse.gateway.traffic.sampler import Sampler
from inhouse.store.database import Database


def pools():
    replica = ReplicaStatus("r", Condition.READY, 3, 4, "", 2)
    return (PoolStatus("m", 3, 2, 4, (replica,), None, {"key": 2}),)


@pytest.fixture
def database(store_url):
    opened = Database(store_url)
    yield opened
    opened.close()


@asynccontextmanager
async def sampling(database, redis_url="", namespace="test", clock=time.time, of=pools):
    shared = Shared(redis_url, namespace=namespace) if redis_url else None
    sampler = Sampler(database, Machine(Path.cwd()), of, open_log("error"), clock=clock, shared=shared)
    if shared is not None:
        await shared.start()
    await sampler.start()
    try:
        yield sampler
    finally:
        await sampler.close()
        if shared is not None:
            await shared.close()


async def seen(sampler, wanted, within_s=10.0):
    """The first moment that is as wanted."""
    async with asyncio.timeout(within_s), aclosing(sampler.watch()) as moments:
        async for now in moments:
            if wanted(now):
                return now
    return None


async def test_what_waits_and_runs_is_counted_beside_what_has_ended(database):
    async with sampling(database) as sampler:
        sampler.note(made_row())
        now = await seen(sampler, lambda now: now.machines and now.minute_of("all").get("running_s", 0) > 3)
    assert now.minute_of("all")["requests"] == 1
    assert now.minute_of("key:key")["waiting_s"] == pytest.approx(now.minute_of("all")["waiting_s"])
    assert now.second_of("model:m")["running_s"] == pytest.approx(3, abs=0.5)
    (read,) = now.machines.values()
    assert 0 <= read["cpu"] <= 1
    assert read["memory_bytes"] < read["memory_of"]


async def test_siblings_see_each_others_requests_while_anyone_watches(database, redis_url):
    name = f"test-{time.time_ns()}"
    async with (
        sampling(database, redis_url, name) as one,
        sampling(database, redis_url, name) as other,
        sampling(database, redis_url, f"{name}-foreign") as foreign,
    ):
        watching = asyncio.create_task(seen(one, lambda now: now.minute_of("all").get("requests") == 5, 20))
        await asyncio.sleep(1.5)
        for sampler, number in ((one, 2), (other, 3), (foreign, 100)):
            for _ in range(number):
                sampler.note(made_row(key_id=f"of {number}"))
        now = await watching
    assert now.minute_of("key:of 3")["requests"] == 3
    assert "key:of 100" not in now.minute


async def test_what_came_until_the_end_is_in_the_history_and_others_add_to_it(database):
    now = time.time()
    for _ in range(2):  # one after the other, as in a restart
        async with sampling(database) as sampler:
            sampler.note(made_row(micro_krw=7))
            sampler.note(made_row(micro_krw=7, status=500, error="x"))
    for name in ("1h", "6h", "24h", "7d", "1y"):
        points = sampler.history.points("all", range_named(name), now + 2 * 86400 if name == "1y" else now + 700)
        found = [point.sums for point in points]
        if name in ("1h", "6h"):  # steps that are over by then
            assert sum(sums.get("requests", 0) for sums in found) == 4
            assert sum(sums.get("micro_krw", 0) for sums in found) == 28
        if name == "1y":
            assert sum(sums.get("failed", 0) for sums in found) == 2


async def test_what_the_store_did_not_take_is_written_when_it_does_again(database):
    at = int(time.time() // 10) * 10 - 20
    async with sampling(database) as sampler:
        with database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE traffic RENAME TO away")
        sampler._due.append(Bin(10, at, "all", {"requests": 1}))
        while not sampler._failing:
            await asyncio.sleep(0.05)
        with database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE away RENAME TO traffic")
        while sampler._failing:
            await asyncio.sleep(0.05)
    (point,) = sampler.history.points("all", range_named("1h"), time.time())
    assert point.sums == {"requests": 1}


def test_moments_add_up_and_a_machine_counts_once(database):
    sampler = Sampler(database, Machine(Path.cwd()), pools, open_log("error"), clock=lambda: 1000.0)
    moment = from_json(to_json(sampler.now))
    assert moment == sampler.now
    one = from_json(
        '{"at":1,"second":{"all":{"requests":1}},"minute":{"all":{"requests":5}},"minute_s":55,'
        '"machines":{"box":{"cpu":0.5,"own_bytes":10}}}'
    )
    two = from_json(
        '{"at":1.2,"second":{"all":{"requests":2}},"minute":{},"minute_s":52,'
        '"machines":{"box":{"cpu":0.6,"own_bytes":20},"other":{"cpu":0.1}}}'
    )
    both = together([one, two])
    assert (both.second_of("all"), both.minute_of("all"), both.minute_s) == ({"requests": 3}, {"requests": 5}, 55)
    assert both.machines == {"box": {"cpu": 0.6, "own_bytes": 30}, "other": {"cpu": 0.1}}
