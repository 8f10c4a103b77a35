"""The router before real models: two worker processes that are killed, stopped, loaded and overloaded."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from inhouse.core.errors import CorruptModel, DeadlineExceeded, EngineCrashed, EngineUnavailable
from inhouse.engines.base import ChatRequest, DoneEvent, Message, TextEvent
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.http import HttpClient
from inhouse.engines.launch import LaunchSpec
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.gateway.base import Route
from inhouse.gateway.failover import Router
from inhouse.gateway.identity import Caller
from inhouse.gateway.pool import Offer
from inhouse.gateway.replica import Condition, Replica

TINY = "smollm2:135m"
CALLER = Caller("k", "k")


def ask(text: str = "Tell me a story.", max_tokens: int = 4) -> ChatRequest:
    return ChatRequest("model", (Message("user", text),), max_tokens=max_tokens, ignore_eos=True)


def embedded(path: Path, slots: int = 2) -> EmbeddedEngine:
    return EmbeddedEngine(lambda _: LaunchSpec(TINY, path, context=512, slots=slots, threads=1))


@asynccontextmanager
async def routing(*engines: object, slots: int = 2, preload: bool = True, **options: object) -> AsyncIterator[Router]:
    replicas = tuple(Replica(f"replica-{n}", engine, TINY, slots) for n, engine in enumerate(engines, 1))
    router = Router({"model": Offer(replicas, preload=preload)}, **options)
    await router.start()
    try:
        yield router
    finally:
        await router.close()


async def answer(
    router: Router, request: ChatRequest | None = None, caller: Caller = CALLER, **options: object
) -> Route:
    route = Route("model")
    done = False
    async for event in router.chat(request or ask(), caller, route, **options):
        done = isinstance(event, DoneEvent)
    assert done
    return route


async def until(true: Callable[[], object], limit_s: float = 20.0) -> None:
    deadline = time.perf_counter() + limit_s
    while not true():
        assert time.perf_counter() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def conditions(router: Router) -> list[Condition]:
    return [replica.condition for replica in router.status()[0].replicas]


async def pid_of(engine: EmbeddedEngine) -> int:
    (loaded,) = await engine.loaded()
    return loaded.pids[0]


async def test_a_killed_replica_costs_waiting_requests_nothing_and_comes_back(tiny_model):
    one, other = embedded(tiny_model), embedded(tiny_model)
    async with routing(one, other, check_s=0.2) as router:
        await until(lambda: conditions(router) == [Condition.READY] * 2)
        pid = await pid_of(one)
        outcomes: Counter[str] = Counter()

        async def request(number: int) -> None:
            try:
                await answer(router, ask(f"Story {number}", 12))
                outcomes["answered"] += 1
            except EngineCrashed:
                outcomes["broken off"] += 1

        tasks = [asyncio.create_task(request(number)) for number in range(16)]
        await until(lambda: router.status()[0].running == 4)
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*tasks)
        assert outcomes["broken off"] <= 2  # what it was writing; everything else was answered
        assert outcomes.total() == 16
        await until(lambda: conditions(router) == [Condition.READY] * 2)
        assert await pid_of(one) != pid


async def test_a_frozen_replica_is_found_out_by_its_health_check(tiny_model):
    """The server's process is stopped: it still accepts connections, and never answers."""
    owner, other = embedded(tiny_model), embedded(tiny_model)
    try:
        await owner.load(TINY)
        worker = owner._models[TINY].worker
        client = OpenAICompatibleEngine(await worker.address(), api_key=worker.api_key)
        async with routing(client, other, check_s=0.2) as router:
            await until(lambda: conditions(router) == [Condition.READY] * 2)
            os.kill(worker.pid, signal.SIGSTOP)
            try:
                begin = time.perf_counter()
                routes = await asyncio.gather(*(answer(router, ask(f"Story {n}")) for n in range(4)))
                assert {route.replica for route in routes} == {"replica-2"}
                assert any(route.retries for route in routes)
                assert time.perf_counter() - begin < 12  # a health check gives up after 5 s
            finally:
                os.kill(worker.pid, signal.SIGCONT)
            await until(lambda: conditions(router)[0] is Condition.READY)
    finally:
        await owner.close()


async def test_a_single_replica_that_is_killed_is_waited_for(tiny_model):
    engine = embedded(tiny_model)
    async with routing(engine, check_s=0.2) as router:
        await answer(router)
        os.kill(await pid_of(engine), signal.SIGKILL)
        await answer(router)


async def test_when_the_caller_leaves_the_model_stops_generating(tiny_model):
    engine = embedded(tiny_model)
    async with routing(engine) as router:
        stream = router.chat(ask(max_tokens=400), CALLER, Route("model"))
        assert isinstance(await anext(stream), TextEvent)
        worker = engine._models[TINY].worker
        server = HttpClient(await worker.address(), headers={"Authorization": f"Bearer {worker.api_key}"})
        assert any(slot["is_processing"] for slot in await server.json("GET", "/slots"))
        await stream.aclose()
        deadline = time.perf_counter() + 2
        while any(slot["is_processing"] for slot in await server.json("GET", "/slots")):
            assert time.perf_counter() < deadline
        await server.close()
        assert router.status()[0].running == 0


async def test_a_greedy_key_does_not_starve_another(tiny_model):
    """Twenty streams of one key against one of another, on one slot: the one is served every second time."""
    async with routing(embedded(tiny_model, slots=1), slots=1) as router:
        await answer(router)
        waits: dict[str, list[float]] = {"greedy": [], "modest": []}
        over = asyncio.Event()

        async def stream(name: str) -> None:
            while not over.is_set():
                route = await answer(router, ask(max_tokens=4), Caller(name, name))
                waits[name].append(route.queue_s)

        tasks = [asyncio.create_task(stream("greedy")) for _ in range(20)]
        await asyncio.sleep(0.2)
        modest = asyncio.create_task(stream("modest"))
        await until(lambda: len(waits["modest"]) >= 6)
        served = {name: len(times) for name, times in waits.items()}
        over.set()
        await asyncio.gather(*tasks, modest)
        assert max(waits["modest"][:6]) < max(waits["greedy"][: served["greedy"]]) / 3
        assert served["modest"] >= 0.6 * (served["greedy"] - 1) / 2


async def test_a_cold_model_is_loaded_by_the_first_request_and_readiness_says_when_it_is_warm(tiny_model):
    async with routing(embedded(tiny_model), preload=False) as router:
        assert conditions(router) == [Condition.COLD]
        assert (await router.health()).ok  # it will serve whoever comes
        route = await answer(router)
        assert route.queue_s > 0.05  # the load was waited for in the queue
        assert conditions(router) == [Condition.READY]
    async with routing(embedded(tiny_model)) as router:
        assert not (await router.health()).ok
        await until(lambda: conditions(router) == [Condition.READY])
        assert (await router.health()).ok


async def test_a_second_replica_is_loaded_when_the_first_has_no_slot_left(tiny_model):
    async with routing(embedded(tiny_model), embedded(tiny_model), slots=1, preload=False) as router:
        await answer(router)
        assert conditions(router) == [Condition.READY, Condition.COLD]
        routes = await asyncio.gather(*(answer(router, ask(f"Story {n}", 16)) for n in range(6)))
        assert {route.replica for route in routes} == {"replica-1", "replica-2"}


async def test_a_request_that_cannot_wait_for_the_load_is_refused_at_once(tiny_model):
    engine = embedded(tiny_model)
    async with routing(engine, preload=False, check_s=0.1) as router:
        await answer(router)
        (member,) = router._pools["model"].members
        load_s = member.load_s
        assert load_s is not None
        await engine.unload(TINY)
        await until(lambda: conditions(router) == [Condition.COLD])
        begin = time.perf_counter()
        with pytest.raises(DeadlineExceeded, match="may have to wait"):
            await answer(router, deadline_s=load_s / 10)
        assert time.perf_counter() - begin < min(0.05, load_s)
        await answer(router, deadline_s=30)


async def test_a_model_that_cannot_be_loaded_is_refused_with_the_reason(tmp_path):
    def resolve(name: str) -> LaunchSpec:
        raise CorruptModel(f"{name} is damaged", do="Pull it again")

    async with routing(EmbeddedEngine(resolve), preload=False) as router:
        begin = time.perf_counter()
        with pytest.raises(EngineUnavailable, match="damaged"):
            await answer(router)
        assert time.perf_counter() - begin < 2
