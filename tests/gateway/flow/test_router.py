"""Routing between replicas and models: what a failure costs the caller, and what it never costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from switchable_server import SwitchableServer, switchable

from inhouse.core.errors import (
    DeadlineExceeded,
    EngineCrashed,
    EngineFailed,
    EngineRefused,
    EngineUnavailable,
    ModelNotServed,
    QueueFull,
)
from inhouse.engines.base import ChatRequest, DoneEvent, Message, TextEvent, UsageEvent
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.gateway.base import Route
from inhouse.gateway.failover import Router
from inhouse.gateway.flow_metrics import FlowCollector
from inhouse.gateway.identity import Caller
from inhouse.gateway.metrics import Metrics
from inhouse.gateway.pool import Offer
from inhouse.gateway.replica import Condition, Replica

CALLER = Caller("k", "k")
ASK = ChatRequest("model", (Message("user", "Say something."),), max_tokens=8)


def replica(server: SwitchableServer, slots: int = 4, **options: float) -> Replica:
    return Replica(server.name, OpenAICompatibleEngine(server.url, **options), "m", slots)


@asynccontextmanager
async def routing(
    *servers: SwitchableServer | Replica, max_waiting: int = 64, **options: object
) -> AsyncIterator[Router]:
    """A router for one model on the servers."""
    replicas = tuple(one if isinstance(one, Replica) else replica(one) for one in servers)
    async with running(Router({"model": Offer(replicas, max_waiting=max_waiting)}, **options)) as router:
        yield router


@asynccontextmanager
async def running(router: Router) -> AsyncIterator[Router]:
    await router.start()
    try:
        yield router
    finally:
        await router.close()


async def answer(router: Router, request: ChatRequest = ASK, *, route: Route | None = None, **options: object) -> str:
    route = route or Route(request.model)
    events = [event async for event in router.chat(request, CALLER, route, **options)]
    assert isinstance(events[-1], DoneEvent)
    assert isinstance(events[-2], UsageEvent)
    return "".join(event.text for event in events if isinstance(event, TextEvent))


def about(number: int) -> ChatRequest:
    """Requests that belong to different conversations, so that no replica is preferred for all of them."""
    return replace(ASK, messages=(Message("user", f"question {number}"),))


async def until(true: Callable[[], bool], limit_s: float = 5.0) -> None:
    deadline = time.perf_counter() + limit_s
    while not true():
        assert time.perf_counter() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def condition(router: Router, name: str) -> Condition:
    return next(r.condition for pool in router.status() for r in pool.replicas if r.name == name)


async def test_an_answer_passes_through_with_its_route():
    async with switchable("a") as a, routing(a) as router:
        route = Route("model")
        assert await answer(router, route=route) == "a0 a1 a2 "
        assert (route.replica, route.model, route.retries) == ("a", "model", 0)
        assert a.requests[0]["model"] == "m"
        (status,) = router.status()
        assert (status.running, status.waiting, status.slots) == (0, 0, 4)


@pytest.mark.parametrize("mode", ["cut", "fail", "busy"])
async def test_what_fails_before_its_first_event_is_answered_by_another_replica(mode):
    async with switchable("a", mode=mode) as a, switchable("b") as b, routing(a, b) as router:
        for number in range(8):
            route = Route("model")
            assert await answer(router, about(number), route=route) == "b0 b1 b2 "
            assert route.replica == "b"
        assert len(b.requests) == 8
        assert 1 <= len(a.requests) <= 6  # it is soon left alone; a cut on a reused connection was tried twice


async def test_an_absent_replica_costs_nothing_but_a_retry():
    async with switchable("a") as a:
        gone = Replica("gone", OpenAICompatibleEngine("http://127.0.0.1:9"), "m", 4)
        async with routing(gone, a) as router:
            for number in range(6):
                assert await answer(router, about(number)) == "a0 a1 a2 "
            assert condition(router, "gone") is Condition.DOWN


async def test_what_fails_after_its_first_event_is_never_sent_again():
    async with switchable("a", mode="cut_after") as a, switchable("b", mode="cut_after") as b, routing(a, b) as router:
        events = router.chat(ASK, CALLER, Route("model"))
        assert isinstance(await anext(events), TextEvent)
        with pytest.raises(EngineCrashed):
            await anext(events)
        assert len(a.requests) + len(b.requests) == 1


async def test_a_bad_request_is_refused_once_and_counts_against_nobody():
    async with switchable("a", mode="refuse") as a, switchable("b", mode="refuse") as b, routing(a, b) as router:
        for _ in range(10):
            with pytest.raises(EngineRefused):
                await answer(router)
        assert len(a.requests) + len(b.requests) == 10
        assert condition(router, "a") is condition(router, "b") is Condition.READY


async def test_the_circuit_opens_after_failures_and_closes_after_a_trial():
    async with switchable("a", mode="fail") as a, routing(a, check_s=0.1) as router:
        with pytest.raises(EngineFailed):
            await answer(router)
        assert len(a.requests) == 3
        assert condition(router, "a") is Condition.DOWN
        a.mode = "well"
        begin = time.perf_counter()
        answers = await asyncio.gather(*(answer(router) for _ in range(4)))
        assert answers == ["a0 a1 a2 "] * 4
        assert 0.5 < time.perf_counter() - begin < 4  # they waited for the trial, a second after the last failure
        assert condition(router, "a") is Condition.READY


async def test_the_trial_is_a_single_request():
    async with switchable("a", mode="fail", token_s=0.1) as a, routing(a, check_s=0.1) as router:
        with pytest.raises(EngineFailed):
            await answer(router)
        a.mode = "well"
        a.most_under_way = 0
        tasks = [asyncio.create_task(answer(router)) for _ in range(4)]
        await until(lambda: a.under_way > 0)
        await asyncio.sleep(0.05)
        assert a.most_under_way == 1
        await asyncio.gather(*tasks)
        assert a.most_under_way == 3  # the others together, once the trial had gone well


async def test_failures_that_are_not_in_a_row_change_nothing():
    async with switchable("a") as a, routing(a) as router:
        for failures in (1, 2, 2, 1):
            a.fail_next = failures
            route = Route("model")
            assert await answer(router, route=route) == "a0 a1 a2 "
            assert route.retries == failures
        assert condition(router, "a") is Condition.READY


async def test_a_replica_that_falls_silent_loses_its_requests_to_another():
    async with (
        switchable("a", mode="hang") as a,
        switchable("b", mode="hang") as b,
        routing(a, b, check_s=0.05) as router,
    ):
        tasks = [asyncio.create_task(answer(router)) for _ in range(2)]
        await until(lambda: a.under_way + b.under_way == 2)
        first, other = (a, b) if a.under_way else (b, a)
        other.mode = "well"
        first.mode = "ill"  # its health check fails; the requests that it hung up are still open
        answers = await asyncio.gather(*tasks)
        assert answers == [f"{other.name}0 {other.name}1 {other.name}2 "] * 2


async def test_the_least_loaded_replica_gets_the_next_request():
    async with switchable("a", token_s=0.2) as a, switchable("b", token_s=0.2) as b, routing(a, b) as router:
        await asyncio.gather(*(answer(router, about(number)) for number in range(8)))
        assert {a.most_under_way, b.most_under_way} == {4}


async def test_slots_are_never_exceeded_and_the_rest_wait():
    async with switchable("a", token_s=0.03) as a, routing(replica(a, slots=2)) as router:
        routes = [Route("model") for _ in range(6)]
        await asyncio.gather(*(answer(router, route=route) for route in routes))
        assert a.most_under_way == 2
        assert sum(route.queue_s > 0.05 for route in routes) == 4


async def test_a_conversation_stays_with_its_replica_while_load_allows():
    async with switchable("a") as a, switchable("b") as b, switchable("c") as c, routing(a, b, c) as router:
        for conversation in range(12):
            turns = (Message("user", f"conversation {conversation}"),)
            seen = set()
            for turn in range(3):
                route = Route("model")
                await answer(router, replace(ASK, messages=turns), route=route)
                seen.add(route.replica)
                turns += (Message("assistant", "well"), Message("user", f"turn {turn}"))
            assert len(seen) == 1
        assert min(len(server.requests) for server in (a, b, c)) >= 3  # and they are spread


async def test_a_popular_prefix_does_not_overload_its_replica():
    async with switchable("a", token_s=0.05) as a, switchable("b", token_s=0.05) as b, routing(a, b) as router:
        await asyncio.gather(*(answer(router, prefix=b"the same") for _ in range(8)))
        assert {a.most_under_way, b.most_under_way} == {4}


async def test_the_fallback_model_answers_where_all_replicas_fail():
    async with switchable("a", mode="fail") as a, switchable("b") as b:
        offers = {"model": Offer((replica(a),), fallback="spare"), "spare": Offer((replica(b),))}
        async with running(Router(offers)) as router:
            route = Route("model")
            assert await answer(router, route=route) == "b0 b1 b2 "
            assert (route.model, route.replica, route.retries) == ("spare", "b", 2)
            begin = time.perf_counter()
            assert await answer(router) == "b0 b1 b2 "  # now at once: the model is known to be down
            assert time.perf_counter() - begin < 0.2
            assert len(a.requests) == 3


async def test_the_fallback_model_answers_where_the_queue_is_full():
    async with switchable("a", token_s=0.1) as a, switchable("b") as b:
        offers = {
            "model": Offer((replica(a, slots=1),), fallback="spare", max_waiting=0),
            "spare": Offer((replica(b),)),
        }
        async with running(Router(offers)) as router:
            assert sorted(await asyncio.gather(answer(router), answer(router))) == ["a0 a1 a2 ", "b0 b1 b2 "]


async def test_a_fallback_is_no_way_to_a_model_that_the_key_may_not_use():
    async with switchable("a", mode="fail") as a, switchable("b") as b:
        offers = {"model": Offer((replica(a),), fallback="spare"), "spare": Offer((replica(b),))}
        async with running(Router(offers)) as router:
            with pytest.raises(EngineFailed):
                async for _ in router.chat(ASK, Caller("k", "k", models=("model",)), Route("model")):
                    pass
            assert b.requests == []


async def test_fallbacks_in_a_circle_end():
    async with switchable("a", mode="fail") as a:
        offers = {"model": Offer((replica(a),), fallback="other"), "other": Offer((replica(a),), fallback="model")}
        async with running(Router(offers)) as router:
            with pytest.raises(EngineFailed):
                await answer(router)


async def test_a_full_queue_says_so_at_once():
    async with switchable("a", token_s=0.1) as a, routing(replica(a, slots=1), max_waiting=1) as router:
        tasks = [asyncio.create_task(answer(router)) for _ in range(2)]
        await until(lambda: router.status()[0].waiting == 1)
        begin = time.perf_counter()
        with pytest.raises(QueueFull):
            await answer(router)
        assert time.perf_counter() - begin < 0.05
        await asyncio.gather(*tasks)


async def test_a_model_that_is_down_is_waited_for_and_then_refused_at_once():
    async with switchable("a", mode="ill") as a, routing(a, check_s=0.05, patience_s=0.5) as router:
        await until(lambda: condition(router, "a") is Condition.DOWN)
        begin = time.perf_counter()
        with pytest.raises(EngineUnavailable, match="No server of model is up"):
            await answer(router)
        assert 0.2 < time.perf_counter() - begin < 2
        begin = time.perf_counter()
        with pytest.raises(EngineUnavailable):
            await answer(router)
        assert time.perf_counter() - begin < 0.05
        assert not (await router.health()).ok
        a.mode = "well"
        await until(lambda: router.status()[0].slots > 0)
        assert await answer(router) == "a0 a1 a2 "
        assert (await router.health()).ok


async def test_a_request_that_waits_for_a_model_that_is_down_is_answered_when_it_comes_back():
    async with switchable("a", mode="ill") as a, routing(a, check_s=0.05) as router:
        await until(lambda: condition(router, "a") is Condition.DOWN)
        task = asyncio.create_task(answer(router))
        await asyncio.sleep(0.1)
        a.mode = "well"
        assert await task == "a0 a1 a2 "


async def test_when_the_caller_leaves_the_server_stops_and_the_slot_is_free():
    async with switchable("a", tokens=1000, token_s=0.01) as a, routing(replica(a, slots=1)) as router:
        events = router.chat(ASK, CALLER, Route("model"))
        await anext(events)
        await events.aclose()
        await until(lambda: a.left_early == 1)
        assert router.status()[0].running == 0
        task = asyncio.create_task(answer(router))  # cancelled as a whole, as the handler does
        await until(lambda: a.under_way == 1)
        task.cancel()
        await until(lambda: a.left_early == 2)
        assert router.status()[0].running == 0


async def test_a_caller_that_leaves_is_no_failure():
    async with switchable("a", tokens=1000, token_s=0.01) as a, routing(a) as router:
        for _ in range(5):
            events = router.chat(ASK, CALLER, Route("model"))
            await anext(events)
            await events.aclose()
        assert condition(router, "a") is Condition.READY


async def test_embeddings_are_retried_and_routed_too():
    async with switchable("a", mode="fail") as a, switchable("b") as b, routing(a, b) as router:
        for _ in range(6):
            route = Route("model")
            embeddings = await router.embed("model", ["one", "two"], CALLER, route)
            assert embeddings.vectors == ((1.0, 0.0), (1.0, 1.0))
            assert route.replica == "b"
        assert router.status()[0].running == 0


async def test_an_unknown_model_is_not_served():
    async with switchable("a") as a, routing(a) as router:
        assert not router.serves("other")
        with pytest.raises(ModelNotServed):
            await answer(router, replace(ASK, model="other"))


async def test_the_models_go_by_the_names_that_callers_use():
    async with switchable("a") as a, routing(a) as router:
        assert [info.name for info in await router.models()] == ["model"]


async def test_a_deadline_holds_for_retries_together():
    async with switchable("a", mode="fail") as a, routing(a) as router:
        begin = time.perf_counter()
        with pytest.raises(EngineFailed):
            await answer(router, deadline_s=0.2)
        assert time.perf_counter() - begin < 0.3
        assert len(a.requests) == 2


async def test_a_deadline_holds_while_a_model_is_down():
    async with switchable("a", mode="ill") as a, routing(a, check_s=0.05) as router:
        await until(lambda: condition(router, "a") is Condition.DOWN)
        begin = time.perf_counter()
        with pytest.raises(DeadlineExceeded):
            await answer(router, deadline_s=0.2)
        assert time.perf_counter() - begin < 0.5


async def test_a_deadline_holds_for_a_model_and_its_fallback_together():
    async with switchable("a", mode="ill") as a, switchable("b", mode="hang") as b:
        offers = {"model": Offer((replica(a),), fallback="spare"), "spare": Offer((replica(b, slots=1),))}
        async with running(Router(offers, check_s=0.05)) as router:
            held = asyncio.create_task(answer(router, replace(ASK, model="spare")))
            await until(lambda: b.under_way == 1)
            begin = time.perf_counter()
            with pytest.raises((EngineUnavailable, DeadlineExceeded)):
                await answer(router, deadline_s=0.4)
            assert time.perf_counter() - begin < 0.7
            held.cancel()


async def test_a_server_that_hangs_does_not_keep_the_list_of_models_waiting():
    async with switchable("a", mode="mute") as a, switchable("b") as b:
        offers = {"model": Offer((replica(a),)), "other": Offer((replica(b),))}
        async with running(Router(offers)) as router:
            begin = time.perf_counter()
            assert [info.name for info in await router.models()] == ["model", "other"]
            assert time.perf_counter() - begin < 4.5


async def test_one_model_that_is_down_does_not_take_the_others_out_of_service():
    async with switchable("a", mode="ill") as a, switchable("b") as b:
        router = Router({"down": Offer((replica(a),)), "up": Offer((replica(b),))}, check_s=0.05)
        async with running(router):
            await until(lambda: condition(router, "a") is Condition.DOWN)
            health = await router.health()
            assert health.ok
            assert health.detail == "not ready: down"


async def test_prometheus_reads_queues_and_replicas():
    async with switchable("a", token_s=0.1) as a, switchable("b", mode="ill") as b:
        offer = Offer((replica(a, slots=1), replica(b)))
        async with running(Router({"model": offer}, check_s=0.05)) as router:
            await until(lambda: condition(router, "b") is Condition.DOWN)
            tasks = [asyncio.create_task(answer(router)) for _ in range(3)]
            await until(lambda: router.status()[0].waiting == 2)
            metrics = Metrics()
            metrics.add(FlowCollector(router.status))
            read = metrics.exposition().decode()
            for line in (
                'inhouse_num_requests_waiting{model="model"} 2.0',
                'inhouse_slots{model="model"} 1.0',
                'inhouse_slots_used{model="model"} 1.0',
                'inhouse_replica_up{model="model",replica="a"} 1.0',
                'inhouse_replica_up{model="model",replica="b"} 0.0',
                'inhouse_replica_requests_running{model="model",replica="a"} 1.0',
            ):
                assert line in read.splitlines()
            await asyncio.gather(*tasks)
