"""The router: for each model its pool, and another model where that one fails.

Implements `base.Upstream`. Which replica of a model answers is the pool's to choose.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from inhouse.core.errors import DeadlineExceeded, EngineError, InhouseError, ModelNotServed, QueueFull
from inhouse.engines.base import (
    ChatRequest,
    Embeddings,
    Engine,
    Event,
    Health,
    LoadedModel,
    ModelInfo,
    SupervisedEngine,
)
from inhouse.gateway.base import Route
from inhouse.gateway.fair_queue import FairQueue
from inhouse.gateway.identity import Caller
from inhouse.gateway.pool import CALLERS_FAULT, PATIENCE_S, Answering, Offer, Pool
from inhouse.gateway.queue import Queue
from inhouse.gateway.replica import Condition, Member, same_model

T = TypeVar("T")

# What another model may be better at. The rest would fail there too, or is the caller's to mend.
_WORTH_ANOTHER = (EngineError, QueueFull, DeadlineExceeded)
_QUICK_S = 3.0  # for what an engine that is well says at once
_BEGINNING = 2000  # letters of a prompt that say which conversation it belongs to


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """How a replica stands; `running` requests of `slots`.

    `restarts` counts how often its process was started again; None where it is not ours to start.
    """

    name: str
    condition: Condition
    running: int
    slots: int
    detail: str
    restarts: int | None = None


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """How a model's service stands: its queue and its replicas."""

    model: str
    running: int
    waiting: int
    slots: int
    replicas: tuple[ReplicaStatus, ...]
    shared: str | None = None
    """The name under which processes share the queue; None where it is this process's own."""
    waiting_by: Mapping[str, int] = field(default_factory=dict)
    """What waits in this process, by the key's id."""


class Router:
    """Serves the models of `offers`; owns their engines.

    Args:
        offers: by the name that callers use. A fallback is one of these names.
        make_queue: the queue for a model's offer; by default one in this process.
        check_s: how often each replica's health is looked at.
        patience_s: how long requests wait for a model that is down and has no fallback.
        clock: counts seconds and never goes back.
    """

    def __init__(
        self,
        offers: Mapping[str, Offer],
        *,
        make_queue: Callable[[str, Offer], Queue] | None = None,
        check_s: float = 5.0,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._pools = {
            model: Pool(
                model,
                offer,
                make_queue(model, offer) if make_queue else FairQueue(0, offer.max_waiting, clock),
                check_s=check_s,
                patience_s=patience_s,
                clock=clock,
            )
            for model, offer in offers.items()
        }

    async def chat(
        self,
        request: ChatRequest,
        caller: Caller,
        route: Route,
        *,
        deadline_s: float | None = None,
        prefix: bytes | None = None,
    ) -> AsyncGenerator[Event, None]:
        """See `Upstream.chat`. Leaving early stops the engine and frees the slot."""

        async def begin(pool: Pool, left_s: float | None) -> Answering:
            about = beginning(request) if prefix is None and len(pool.members) > 1 else prefix
            return await pool.begin(request, caller, route, left_s, about)

        answering = await self._first_that_can(request.model, caller, route, deadline_s, begin)
        error: EngineError | None = None
        complete = False
        try:
            yield answering.first
            async for event in answering.events:
                yield event
            complete = True
        except EngineError as failure:
            error = failure
            raise
        finally:
            await answering.end(error, complete=complete)

    async def embed(
        self, model: str, texts: Sequence[str], caller: Caller, route: Route, *, deadline_s: float | None = None
    ) -> Embeddings:
        """See `Upstream.embed`."""

        async def ask(pool: Pool, left_s: float | None) -> Embeddings:
            return await pool.ask(lambda engine, name: engine.embed(name, texts), caller, route, left_s)

        return await self._first_that_can(model, caller, route, deadline_s, ask)

    def serves(self, model: str) -> bool:
        """See `Upstream.serves`."""
        return model in self._pools

    async def models(self) -> tuple[ModelInfo, ...]:
        """What the engines say of the models, under our names; of one that is down only its name."""
        return tuple(await asyncio.gather(*(_info(pool) for pool in self._pools.values())))

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """See `Upstream.loaded`; each replica that holds its model is one."""
        members = [(pool.model, member.replica) for pool in self._pools.values() for member in pool.members]
        asking = (asyncio.wait_for(replica.engine.loaded(), _QUICK_S) for _, replica in members)
        held = await asyncio.gather(*asking, return_exceptions=True)
        return tuple(
            replace(loaded, model=model)
            for (model, replica), answer in zip(members, held, strict=True)
            if not isinstance(answer, BaseException)
            for loaded in answer
            if same_model(loaded.model, replica.model)
        )

    async def engine_pids(self) -> tuple[int, ...]:
        """The processes of the engines that are ours to start, as far as they run on this machine."""
        members = [member.replica for pool in self._pools.values() for member in pool.members]
        engines = {id(one.engine): one.engine for one in members if isinstance(one.engine, SupervisedEngine)}
        held = await asyncio.gather(*(engine.loaded() for engine in engines.values()), return_exceptions=True)
        return tuple(
            pid for answer in held if not isinstance(answer, BaseException) for loaded in answer for pid in loaded.pids
        )

    async def health(self) -> Health:
        """Well where any model can be asked now; `detail` names those that cannot.

        One model that is down must not take the others out of service.
        """
        wanting = [pool.model for pool in self._pools.values() if not pool.ready]
        detail = f"not ready: {', '.join(wanting)}" if wanting else ""
        return Health(len(wanting) < len(self._pools), detail=detail)

    def engine_of(self, model: str) -> tuple[Engine, str]:
        """An engine that serves the model, and the model's name there: to ask about it, not to answer with."""
        replica = self._pools[model].members[0].replica
        return replica.engine, replica.model

    def status(self) -> tuple[PoolStatus, ...]:
        """How each model's service stands now."""
        return tuple(_status(pool) for pool in self._pools.values())

    async def refresh(self) -> None:
        """Brings what `status` tells of queues that processes share up to date; SharedStateLost where it cannot."""
        await asyncio.gather(*(pool.queue.refresh() for pool in self._pools.values()))

    async def start(self) -> None:
        """See `Upstream.start`."""
        for pool in self._pools.values():
            await pool.start()

    async def close(self) -> None:
        """Ends what runs in the background, and the engines."""
        for pool in self._pools.values():
            await pool.close()
        engines = {id(m.replica.engine): m.replica.engine for pool in self._pools.values() for m in pool.members}
        await asyncio.gather(*(engine.close() for engine in engines.values()))

    async def _first_that_can(
        self,
        model: str,
        caller: Caller,
        route: Route,
        deadline_s: float | None,
        attempt: Callable[[Pool, float | None], Awaitable[T]],
    ) -> T:
        """The attempt on the model's pool, and where that fails on those that stand in for it."""
        until = None if deadline_s is None else self._clock() + deadline_s
        first: InhouseError | None = None
        for pool in self._line_of(model, caller):
            route.model = pool.model
            try:
                return await attempt(pool, None if until is None else max(0.0, until - self._clock()))
            except CALLERS_FAULT:
                raise
            except _WORTH_ANOTHER as error:
                first = first or error
        route.model = model
        raise first or ModelNotServed(f"There is no model {model!r} here")

    def _line_of(self, model: str, caller: Caller) -> Iterator[Pool]:
        """The model's pool, then those that stand in for it, as far as the caller may use them."""
        seen: set[str] = set()
        name: str | None = model
        while name is not None and name not in seen:
            seen.add(name)
            pool = self._pools.get(name)
            if pool is None:
                return
            if name == model or caller.may_use(name):
                yield pool
            name = pool.offer.fallback


def beginning(request: ChatRequest) -> bytes:
    """What is alike for the turns of one conversation: its first words, up to the end of the first user message."""
    letters = ""
    for message in request.messages:
        letters += message.content
        if message.role == "user" or len(letters) > _BEGINNING:
            break
    return letters[:_BEGINNING].encode("utf-8", "surrogatepass")


async def _info(pool: Pool) -> ModelInfo:
    replica = pool.members[0].replica
    try:
        async with asyncio.timeout(_QUICK_S):
            infos = await replica.engine.models()
    except (EngineError, TimeoutError):
        infos = ()
    found = next((info for info in infos if same_model(info.name, replica.model)), ModelInfo(pool.model))
    return replace(found, name=pool.model)


def _status(pool: Pool) -> PoolStatus:
    queue = pool.queue
    replicas = tuple(_replica_status(member) for member in pool.members)
    return PoolStatus(
        pool.model, queue.running, queue.waiting, queue.slots, replicas, queue.shared, queue.waiting_by_caller()
    )


def _replica_status(member: Member) -> ReplicaStatus:
    replica, engine = member.replica, member.replica.engine
    return ReplicaStatus(
        replica.name,
        member.condition,
        member.running,
        replica.slots,
        str(member.last_error or member.detail),
        engine.restarts(replica.model) if isinstance(engine, SupervisedEngine) else None,
    )
