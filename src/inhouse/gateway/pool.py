"""All replicas of one model behind one queue: which of them a request goes to, and what happens when one fails.

Before the first event of an answer a request may be sent again, elsewhere or once more; after it, never. Knows
nothing of other models.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import ceil
from typing import TypeVar

from inhouse.core.errors import (
    ContextExceeded,
    EngineError,
    EngineRefused,
    EngineUnavailable,
    UnsupportedFeature,
)
from inhouse.engines.base import ChatRequest, Engine, Event
from inhouse.gateway.base import Route
from inhouse.gateway.identity import Caller
from inhouse.gateway.queue import Queue, Ticket
from inhouse.gateway.replica import Condition, Member, Replica

T = TypeVar("T")

ATTEMPTS = 3
_PAUSE_S = 0.1  # before a replica is tried that has just failed; as long again for each time
PATIENCE_S = 10.0
"""How long requests wait for a model of which no replica is up, before they are refused."""
# A replica that has a prompt's beginning in its cache is preferred up to this over the mean load.
_AFFINITY = 1.25
CALLERS_FAULT = (EngineRefused, ContextExceeded, UnsupportedFeature)
"""What the request is to blame for, wherever it is sent."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model on offer.

    `fallback` stands in for it where all `replicas` fail, `max_waiting` requests may wait for it, and it is loaded
    at the start (`preload`) or by its first request.
    """

    replicas: tuple[Replica, ...]
    fallback: str | None = None
    max_waiting: int = 64
    preload: bool = True


@dataclass(slots=True, eq=False)
class Answering:
    """An answer under way: its first event, the others, and what is to be given back at its end."""

    first: Event
    events: AsyncGenerator[Event, None]
    member: Member
    ticket: Ticket

    async def end(self, error: EngineError | None = None, *, complete: bool = False) -> None:
        """The answer has ended, or is ended now: the engine stops, and the slot is free."""
        try:
            await self.events.aclose()
        finally:
            self.member.ended(None if isinstance(error, CALLERS_FAULT) else error, complete=complete)
            self.ticket.leave(complete=complete)


class Pool:
    """The replicas of one model. `queue` was made for it; `patience_s` is 0 where another model stands in."""

    def __init__(
        self,
        model: str,
        offer: Offer,
        queue: Queue,
        *,
        check_s: float = 5.0,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.offer = offer
        self.queue = queue
        self._clock = clock
        self._patience_s = 0.0 if offer.fallback else patience_s
        self._giving_up: asyncio.TimerHandle | None = None
        self._given_up = False
        self._watches: list[asyncio.Task[None]] = []
        self._up: list[tuple[Member, int]] = []  # the replicas that can take requests, and how many each
        self.members = tuple(Member(r, self._refresh, check_s=check_s, clock=clock) for r in offer.replicas)

    @property
    def ready(self) -> bool:
        """Whether a request that comes now will be answered: a replica is up, or begins when it comes."""
        conditions = {member.condition for member in self.members}
        return bool(self.queue.slots) or (Condition.COLD in conditions and Condition.LOADING not in conditions)

    async def start(self) -> None:
        """Begins to look after the replicas' health, and to load the model where that is wanted."""
        self._watches = [asyncio.create_task(m.watch(), name=f"watch {m.replica.name}") for m in self.members]
        if self.offer.preload:
            for member in self.members:
                member.warm_up()
        self._refresh()

    async def begin(
        self, request: ChatRequest, caller: Caller, route: Route, deadline_s: float | None, prefix: bytes | None
    ) -> Answering:
        """Waits for a slot and sends the request, again where it fails before its first event.

        Raises:
            EngineError: no replica could begin an answer.
            QueueFull, DeadlineExceeded: see `Queue.enter`.
        """

        async def send(member: Member, ticket: Ticket) -> Answering:
            named = member.replica.model
            first, events = await member.begin(request if named == request.model else replace(request, model=named))
            return Answering(first, events, member, ticket)

        return await self._tried(send, caller, route, deadline_s, prefix, cost_of(request))

    async def ask(
        self, call: Callable[[Engine, str], Awaitable[T]], caller: Caller, route: Route, deadline_s: float | None
    ) -> T:
        """Waits for a slot and makes a call whose answer comes whole (embeddings)."""

        async def send(member: Member, ticket: Ticket) -> T:
            member.running += 1
            try:
                result = await call(member.replica.engine, member.replica.model)
            finally:
                member.running -= 1
            member.answered()
            ticket.leave(complete=False)  # its time says nothing about that of chats
            return result

        return await self._tried(send, caller, route, deadline_s, None, 1.0)

    async def close(self) -> None:
        """Ends what runs in the background."""
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for member in self.members:
            await member.stop()
        if self._giving_up is not None:
            self._giving_up.cancel()
        await self.queue.close()

    async def _tried(
        self,
        send: Callable[[Member, Ticket], Awaitable[T]],
        caller: Caller,
        route: Route,
        deadline_s: float | None,
        prefix: bytes | None,
        cost: float,
    ) -> T:
        """Up to ATTEMPTS times: a slot if none is held, the best replica not tried yet, the call."""
        until = None if deadline_s is None else self._clock() + deadline_s
        ticket: Ticket | None = None
        tried: list[Member] = []
        try:
            for attempt in range(1, ATTEMPTS + 1):
                if ticket is None:
                    ticket = await self._enter(caller, until, cost)
                    route.queue_s += ticket.waited_s
                member = self._choose(prefix, tried) or self._choose(prefix, ())
                if member is None:  # it went down between the slot's grant and now
                    raise self._unavailable()
                route.replica = member.replica.name
                try:
                    return await send(member, ticket)
                except EngineError as error:
                    if isinstance(error, CALLERS_FAULT):
                        raise
                    member.failed(error)
                    pause_s = _PAUSE_S * attempt
                    if attempt == ATTEMPTS or (until is not None and self._clock() + pause_s > until):
                        raise
                route.retries += 1
                tried.append(member)
                if self._choose(prefix, tried) is None:  # others may use the slot until one of these is tried again
                    ticket.leave(complete=False)
                    ticket = None
                    await asyncio.sleep(pause_s)
            raise AssertionError("the last attempt returns or raises")
        except BaseException:
            if ticket is not None:
                ticket.leave(complete=False)
            raise

    async def _enter(self, caller: Caller, until: float | None, cost: float) -> Ticket:
        if self.queue.running >= self.queue.slots:
            self._warm_up()  # one more warm replica would shorten the wait
            if self._given_up:
                raise self._unavailable()
        deadline_s = None if until is None else max(0.0, until - self._clock())
        return await self.queue.enter(caller.key_id, priority=caller.priority, deadline_s=deadline_s, cost=cost)

    def _choose(self, prefix: bytes | None, without: list[Member] | tuple[()]) -> Member | None:
        """The replica to use: of those with a free slot the one this prefix belongs to, or the least loaded."""
        up = [(member, slots) for member, slots in self._up if member not in without] if without else self._up
        # Where several processes share the replicas, one may run more here than it should by our own count.
        free = [(member, slots) for member, slots in up if member.running < slots] or up
        if len(free) <= 1 or prefix is None:
            return min(free, key=_load, default=(None, 0))[0]
        share = _AFFINITY * (1 + sum(member.running for member, _ in free)) / sum(slots for _, slots in free)
        # Consistent hashing with bounded loads: each prefix has its own order of the replicas.
        for member, slots in sorted(free, key=lambda one: _rank(prefix, one[0])):
            if member.running < ceil(share * slots):
                return member
        return min(free, key=_load)[0]

    def _warm_up(self) -> None:
        """Loads one more cold replica, one at a time."""
        cold = [member for member in self.members if member.condition is Condition.COLD]
        if cold and not any(member.condition is Condition.LOADING for member in self.members):
            cold[0].warm_up()
            self._refresh()

    def _refresh(self) -> None:
        """Fits the queue to what the replicas can take now; with nothing for too long, gives up."""
        self._up = [(member, member.capacity) for member in self.members if member.capacity]
        slots = sum(capacity for _, capacity in self._up)
        conditions = {member.condition for member in self.members}
        if slots or not conditions <= {Condition.DOWN, Condition.RESTING}:
            self._given_up = False
            if self._giving_up is not None:
                self._giving_up.cancel()
                self._giving_up = None
        elif self._giving_up is None and not self._given_up:
            patience_s = 0.0 if all(member.hopeless for member in self.members) else self._patience_s
            self._giving_up = asyncio.get_running_loop().call_later(patience_s, self._give_up)
        expected = [member.ready_in_s for member in self.members if member.ready_in_s is not None]
        self.queue.resize(slots, opens_in_s=min(expected, default=None) if not slots else None)
        if not slots and self.queue.waiting:
            self._warm_up()

    def _give_up(self) -> None:
        self._giving_up = None
        if not self.queue.slots:
            self._given_up = True
            self.queue.abandon(self._unavailable())

    def _unavailable(self) -> EngineUnavailable:
        reasons = {f"{member.replica.name}: {member.last_error or member.detail or 'down'}" for member in self.members}
        return EngineUnavailable(
            f"No server of {self.model} is up", why="; ".join(sorted(reasons)), do="Try again later"
        )


def cost_of(request: ChatRequest) -> float:
    """About how much of an engine's time a request takes, in tokens to be generated (reading is ten times as fast)."""
    letters = sum(len(message.content) for message in request.messages)
    return (request.max_tokens or 256) + letters / 40


def _load(one: tuple[Member, int]) -> float:
    return one[0].running / one[1]


def _rank(prefix: bytes, member: Member) -> bytes:
    return blake2b(prefix, key=member.replica.name.encode()[:64], digest_size=8).digest()
