"""The same queue as fair_queue.py, kept in a Redis, so that the slots and shares of several processes are one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from inhouse.core.errors import InhouseError, SharedStateLost
from inhouse.gateway.fair_queue import FairQueue
from inhouse.gateway.queue import Ticket, again, full, too_late
from inhouse.gateway.shared import Shared


@dataclass(slots=True, eq=False)
class SharedTicket:
    """A slot of a `SharedQueue`."""

    id: str
    waited_s: float
    queue: SharedQueue | None

    def leave(self, *, complete: bool = True) -> None:
        """See `Ticket.leave`."""
        queue, self.queue = self.queue, None
        if queue is not None:
            queue._leave(self.id, complete)


class SharedQueue:
    """Implements `Queue` for all processes that give it the same name.

    Slots and places to wait are counted over all of them; each grants by the number of slots that it sees. While
    the Redis is lost each process queues by itself, in memory.
    """

    def __init__(
        self, shared: Shared, name: str, max_waiting: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shared = shared
        self._name = name
        self._max_waiting = max_waiting
        self._clock = clock
        self._local = FairQueue(0, max_waiting, clock)
        self._number = 0
        self._topic = quote(name)
        self._opens_at: float | None = None
        self._counts = (0, 0)  # running and waiting in all processes, when last heard of
        self._ours: dict[str, asyncio.Future[str]] = {}  # by id: what is told of those that wait or hold a slot
        self._waiting: dict[str, str] = {}  # of those, the ones that the Redis said wait, and whose they are
        shared.on_message(self._topic, self._told)
        shared.on_beat(self._check)

    @property
    def shared(self) -> str | None:
        """See `Queue.shared`."""
        return self._name

    @property
    def slots(self) -> int:
        """See `Queue.slots`."""
        return self._local.slots

    @property
    def waiting(self) -> int:
        """See `Queue.waiting`."""
        return self._counts[1] + self._local.waiting

    @property
    def running(self) -> int:
        """See `Queue.running`."""
        return self._counts[0] + self._local.running

    def waiting_by_caller(self) -> dict[str, int]:
        """See `Queue.waiting_by_caller`."""
        return dict(Counter(self._waiting.values()) + Counter(self._local.waiting_by_caller()))

    async def enter(
        self, caller: str, *, priority: int = 0, deadline_s: float | None = None, cost: float = 1.0
    ) -> Ticket:
        """See `Queue.enter`."""
        begin = self._clock()
        try:
            return await self._enter(caller, priority, deadline_s, cost)
        except SharedStateLost:
            left_s = None if deadline_s is None else max(0.0, deadline_s - (self._clock() - begin))
            return await self._local.enter(caller, priority=priority, deadline_s=left_s, cost=cost)

    async def _enter(self, caller: str, priority: int, deadline_s: float | None, cost: float) -> SharedTicket:
        begin = self._clock()
        ticket_id = f"{self._shared.process}-{self._number}"
        self._number += 1
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ours[ticket_id] = told
        opens_in_s = 0.0 if self._opens_at is None else max(0.0, self._opens_at - begin)
        places = [-1.0 if deadline_s is None else deadline_s, self._max_waiting, opens_in_s]
        try:
            verdict, seconds = await self._call("enter", ticket_id, caller, priority, cost, *places)
            if verdict == "waiting":
                verdict = await self._turn(ticket_id, caller, told, deadline_s)
        except BaseException:
            self._leave(ticket_id, complete=False)
            raise
        if verdict == "granted":
            return SharedTicket(ticket_id, self._clock() - begin, self)
        del self._ours[ticket_id]
        expected_s = float(seconds) if float(seconds) >= 0 else None
        raise too_late(deadline_s or 0.0, expected_s) if verdict == "late" else full(self._max_waiting, expected_s)

    async def _turn(self, ticket_id: str, caller: str, told: asyncio.Future[str], deadline_s: float | None) -> str:
        """What becomes of a request that waits."""
        self._waiting[ticket_id] = caller
        try:
            async with asyncio.timeout(deadline_s):
                return await told
        except TimeoutError:
            raise too_late(deadline_s or 0.0, None) from None
        finally:
            self._waiting.pop(ticket_id, None)

    def resize(self, slots: int, *, opens_in_s: float | None = None) -> None:
        """See `Queue.resize`."""
        self._opens_at = None if opens_in_s is None else self._clock() + opens_in_s
        more = slots > self._local.slots
        self._local.resize(slots, opens_in_s=opens_in_s)
        if more and self._counts[1]:
            self._shared.spawn(self._check())

    def abandon(self, error: InhouseError) -> None:
        """See `Queue.abandon`."""
        self._local.abandon(error)
        self._end_waiting(error)

    async def refresh(self) -> None:
        """See `Queue.refresh`."""
        await self._check()

    async def close(self) -> None:
        """Nothing to free: what a process held is free when it is gone."""

    def _leave(self, ticket_id: str, complete: bool) -> None:
        self._ours.pop(ticket_id, None)
        self._shared.spawn(self._gone(ticket_id, complete))

    async def _gone(self, ticket_id: str, complete: bool) -> None:
        await self._call("leave", ticket_id, int(complete))

    async def _check(self) -> None:
        """Compares what this process holds with what the Redis believes: messages and calls may have been lost."""
        waiting = tuple(self._waiting)
        try:
            # Whoever comes after this number may not be known here yet.
            answer = await self._call("check", self._number, *self._ours)
        except SharedStateLost as error:
            self._end_waiting(error)
            raise
        known = {ticket_id: verdict for verdict, _, ticket_id in (line.partition(" ") for line in answer)}
        for ticket_id in waiting:
            told = self._ours.get(ticket_id)
            if told is None or told.done():
                continue
            if ticket_id not in known:
                told.set_exception(SharedStateLost("The Redis has forgotten the request"))
            elif known[ticket_id] == "granted":
                told.set_result("granted")

    def _end_waiting(self, error: InhouseError) -> None:
        for ticket_id in tuple(self._waiting):
            told = self._ours.get(ticket_id)
            if told is not None and not told.done():
                told.set_exception(again(error))

    def _told(self, text: str) -> None:
        verdict, _, ticket_id = text.partition(" ")
        told = self._ours.get(ticket_id)
        if told is not None and not told.done():
            told.set_result(verdict)

    async def _call(self, act: str, *args: str | float) -> list[str]:
        prefix = self._shared.key("tell", "")
        common = (act, self._shared.process, self._shared.alive_prefix, prefix, self._topic, self._local.slots)
        key = self._shared.key("queue", self._name)
        answer: list[str] = await self._shared.call("queue", [key], [*common, *args])
        self._counts = (int(answer[0]), int(answer[1]))
        return answer[2:]
