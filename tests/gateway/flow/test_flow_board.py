"""How queues and replicas stand over several processes on one Redis, whichever of them is asked."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from switchable_server import SwitchableServer, switchable

from inhouse.engines.base import ChatRequest, Message
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.gateway.base import Route
from inhouse.gateway.failover import PoolStatus, ReplicaStatus, Router
from inhouse.gateway.flow_board import FlowBoard, ProcessFlow, from_json, to_json, together
from inhouse.gateway.identity import Caller
from inhouse.gateway.pool import Offer
from inhouse.gateway.replica import Condition, Replica
from inhouse.gateway.shared import BEAT_S, Shared
from inhouse.gateway.shared_queue import SharedQueue


def pool(running: int, waiting: int, *replicas: ReplicaStatus, shared: str | None = None) -> PoolStatus:
    return PoolStatus("m", running, waiting, 4, replicas, shared)


def flow(process: str, *pools: PoolStatus, parent: str = "p") -> ProcessFlow:
    return ProcessFlow(process, parent, pools)


def test_a_queue_that_processes_share_is_counted_once_and_their_replicas_are_summed():
    up = ReplicaStatus("gpu", Condition.READY, 3, 4, "")
    down = ReplicaStatus("gpu", Condition.DOWN, 1, 4, "it does not answer")
    (status,) = together([flow("a", pool(4, 7, up, shared="m")), flow("b", pool(4, 6, down, shared="m"))])
    assert (status.running, status.waiting, status.slots) == (4, 7, 4)
    assert status.replicas == (ReplicaStatus("gpu", Condition.DOWN, 4, 4, "it does not answer"),)


def test_queues_of_their_own_are_summed():
    (status,) = together([flow("a", pool(1, 2)), flow("b", pool(3, 0)), flow("c", pool(2, 5), parent="q")])
    assert (status.running, status.waiting, status.slots) == (6, 7, 12)


def test_a_model_that_only_another_process_serves_is_told_too():
    other = PoolStatus("other", 0, 0, 1, ())
    assert [status.model for status in together([flow("a", pool(0, 0)), flow("b", other)])] == ["m", "other"]


def test_what_is_shown_is_read_as_it_was():
    replicas = (ReplicaStatus("gpu", Condition.TRIAL, 1, 4, 'ended with "9"'),)
    sent = flow("a", pool(1, 2, *replicas, shared="p/m"))
    assert from_json("a", to_json(sent)) == sent


class Process:
    """A gateway process as far as its queues go: one model on the server."""

    def __init__(self, url: str, namespace: str, server: SwitchableServer, parent: str) -> None:
        self.shared = Shared(url, namespace=namespace)
        replicas = (Replica("gpu", OpenAICompatibleEngine(server.url), "m", 2),)
        self.router = Router(
            {"m": Offer(replicas)}, make_queue=lambda model, offer: SharedQueue(self.shared, model, offer.max_waiting)
        )
        self.board = FlowBoard(self.router.status, self.router.refresh, self.shared, parent)

    async def ask(self) -> None:
        request = ChatRequest("m", (Message("user", "Say something."),), max_tokens=8)
        async for _ in self.router.chat(request, Caller("k", "k"), Route("m")):
            pass


@asynccontextmanager
async def process(url: str, namespace: str, server: SwitchableServer, parent: str = "one") -> AsyncIterator[Process]:
    made = Process(url, namespace, server, parent)
    await made.shared.start()
    await made.router.start()
    try:
        yield made
    finally:
        await made.router.close()
        await made.shared.close()


@pytest.fixture
def namespace() -> str:
    return uuid.uuid4().hex


async def test_every_process_tells_of_the_requests_of_all(redis_url, namespace):
    async with (
        switchable("gpu", tokens=30, token_s=0.1) as server,
        process(redis_url, namespace, server) as busy,
        process(redis_url, namespace, server) as idle,
        process(redis_url, namespace, server, parent="another machine") as far,
    ):
        asking = [asyncio.create_task(one.ask()) for one in (busy, busy, busy, far)]
        while server.under_way < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(BEAT_S * 1.5)  # by then each has shown itself
        await idle.board.look()
        (ours,), (every,) = idle.board.siblings(), idle.board.everyone()
        assert idle.board.processes == 3
        assert (every.running, every.waiting, every.slots) == (ours.running, ours.waiting, ours.slots) == (2, 2, 2)
        assert every.replicas[0].running == 2
        assert ours.replicas[0].running == 2 - far.router.status()[0].replicas[0].running
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def test_a_process_that_is_gone_is_told_of_no_more(redis_url, namespace):
    async with switchable("gpu") as server, process(redis_url, namespace, server) as stays:
        async with process(redis_url, namespace, server):
            await asyncio.sleep(BEAT_S * 1.5)
            await stays.board.look()
            assert stays.board.processes == 2
        await stays.board.look()
        assert stays.board.processes == 1
        assert list(await stays.shared.shown("flow")) == [stays.shared.process]


async def test_without_a_redis_a_process_tells_of_itself():
    board = FlowBoard(lambda: (pool(1, 0),), Router({}).refresh)
    await board.look()
    assert board.siblings() == board.everyone() == (pool(1, 0),)
    assert board.processes == 1
