"""The queue of one process: of those who wait, the caller that used the fewest slot seconds so far is next.

A caller that comes back begins at the level of whoever is served, so that being away is no credit. (Fair
queueing by measured service, as in "Fairness in Serving Large Language Models", OSDI 2024.)
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from inhouse.core.errors import InhouseError
from inhouse.gateway.queue import again, full, too_late

# Weight of the newest service time in the mean, where it is slower and where it is faster than that: a request that
# was let in and then waits in vain is worse than one that is sent away.
SLOWER, FASTER = 0.3, 0.1
# How much longer than expected a wait may turn out. The queue is so kept shorter than the deadlines would allow,
# which costs nothing under lasting overload and leaves room for an engine that slows down.
CAUTION = 1.5
# Callers that are remembered, before those with nothing under way are forgotten.
_REMEMBERED = 1024


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits: `granted` ends with its ticket, or with an error."""

    cost: float
    entered_at: float
    granted: asyncio.Future[LocalTicket]


@dataclass(slots=True, eq=False)
class Line:
    """A caller's share, in slot seconds: `used` by what has ended, `charged` for what runs."""

    priority: int = 0
    used: float = 0.0
    charged: float = 0.0
    running: int = 0
    waiting: deque[Waiter] = field(default_factory=deque)
    waiting_cost: float = 0.0


@dataclass(slots=True, eq=False)
class LocalTicket:
    """A slot of a `FairQueue`; `charge_s` is the time that it is expected to be held."""

    line: Line
    cost: float
    charge_s: float
    started_at: float
    waited_s: float
    queue: FairQueue | None

    def leave(self, *, complete: bool = True) -> None:
        """See `Ticket.leave`."""
        queue, self.queue = self.queue, None
        if queue is not None:
            queue._left(self, complete)


class FairQueue:
    """Implements `Queue` within one process. `clock` counts seconds and never goes back.

    When `max_waiting` wait, a newcomer takes the place of the last request of whoever has the most waiting,
    if that is more than its own: a greedy caller fills the room only while nobody else wants it.
    """

    def __init__(self, slots: int, max_waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._clock = clock
        self._waiting = 0
        self._tickets: set[LocalTicket] = set()
        self._lines: dict[str, Line] = {}
        self._served: dict[int, Line] = {}  # who was served last, by priority: a newcomer begins at its level
        self._cost_s: float | None = None  # mean slot seconds for one unit of cost
        self._opens_at: float | None = None

    @property
    def shared(self) -> str | None:
        """See `Queue.shared`."""
        return None

    @property
    def slots(self) -> int:
        """See `Queue.slots`."""
        return self._slots

    @property
    def waiting(self) -> int:
        """See `Queue.waiting`."""
        return self._waiting

    @property
    def running(self) -> int:
        """See `Queue.running`."""
        return len(self._tickets)

    def waiting_by_caller(self) -> dict[str, int]:
        """See `Queue.waiting_by_caller`."""
        return {caller: len(line.waiting) for caller, line in self._lines.items() if line.waiting}

    async def enter(
        self, caller: str, *, priority: int = 0, deadline_s: float | None = None, cost: float = 1.0
    ) -> LocalTicket:
        """See `Queue.enter`."""
        line = self._lines.get(caller)
        if line is None:
            line = self._lines[caller] = Line()
        if not line.running and not line.waiting:
            line.priority = priority
            served = self._served.get(priority)
            if served is not None and served.used > line.used:
                line.used = served.used  # what it did not use while it was away is no credit
        if len(self._tickets) < self._slots and not self._waiting:
            return self._start(line, cost, self._clock(), 0.0)
        return await self._wait(line, cost, deadline_s)

    async def _wait(self, line: Line, cost: float, deadline_s: float | None) -> LocalTicket:
        expected_s = self._expected_wait_s(line, cost)
        if deadline_s is not None and expected_s is not None and expected_s * CAUTION > deadline_s:
            raise too_late(deadline_s, expected_s * CAUTION)
        if self._waiting >= self._max_waiting:
            self._make_room(line, expected_s)
        waiter = Waiter(cost, self._clock(), asyncio.get_running_loop().create_future())
        line.waiting.append(waiter)
        line.waiting_cost += cost
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline_s):
                return await waiter.granted
        except TimeoutError:
            if _has_ticket(waiter):
                return waiter.granted.result()
            raise too_late(deadline_s or 0.0, None) from None
        except asyncio.CancelledError:
            if _has_ticket(waiter):
                waiter.granted.result().leave(complete=False)
            raise
        finally:
            if waiter in line.waiting:
                self._remove(line, waiter)
                self._grant()

    def resize(self, slots: int, *, opens_in_s: float | None = None) -> None:
        """See `Queue.resize`."""
        self._slots = slots
        self._opens_at = None if opens_in_s is None else self._clock() + opens_in_s
        self._grant()

    def abandon(self, error: InhouseError) -> None:
        """See `Queue.abandon`."""
        for line in self._lines.values():
            for waiter in line.waiting:
                if not waiter.granted.done():
                    waiter.granted.set_exception(again(error))

    async def refresh(self) -> None:
        """Nothing to ask for: all that there is is known here."""

    async def close(self) -> None:
        """Nothing to free."""

    def _start(self, line: Line, cost: float, now: float, waited_s: float) -> LocalTicket:
        charge_s = 1.0 if self._cost_s is None else cost * self._cost_s
        line.charged += charge_s
        line.running += 1
        self._served[line.priority] = line
        ticket = LocalTicket(line, cost, charge_s, now, waited_s, self)
        self._tickets.add(ticket)
        return ticket

    def _left(self, ticket: LocalTicket, complete: bool) -> None:
        line = ticket.line
        took_s = self._clock() - ticket.started_at
        self._tickets.discard(ticket)
        line.running -= 1
        line.charged = line.charged - ticket.charge_s if line.running else 0.0
        line.used += took_s
        if complete:
            sample = took_s / ticket.cost
            known = self._cost_s
            if known is None:
                self._cost_s = sample
            else:
                self._cost_s = known + (SLOWER if sample > known else FASTER) * (sample - known)
        if self._waiting:
            self._grant()
        elif not self._tickets:
            # Nobody is served: who comes next starts anew, whatever it used before.
            self._lines.clear()
            self._served.clear()
        elif len(self._lines) > _REMEMBERED:
            self._lines = {caller: line for caller, line in self._lines.items() if line.running}

    def _grant(self) -> None:
        """Gives free slots to those whose turn it is."""
        while self._waiting and len(self._tickets) < self._slots:
            line = min((line for line in self._lines.values() if line.waiting), key=_turn)
            waiter = line.waiting[0]
            self._remove(line, waiter)
            if not waiter.granted.done():
                now = self._clock()
                waiter.granted.set_result(self._start(line, waiter.cost, now, now - waiter.entered_at))

    def _remove(self, line: Line, waiter: Waiter) -> None:
        line.waiting.remove(waiter)
        line.waiting_cost = line.waiting_cost - waiter.cost if line.waiting else 0.0
        self._waiting -= 1

    def _make_room(self, line: Line, expected_s: float | None) -> None:
        """Sends one away, if it is of a lower priority or its caller has more waiting than the newcomer."""
        others = [other for other in self._lines.values() if other.waiting and other.priority <= line.priority]
        longest = max(others, key=lambda other: (-other.priority, len(other.waiting)), default=line)
        ours, theirs = len(line.waiting) + 1, len(longest.waiting)
        if longest.priority == line.priority and theirs <= ours:
            raise full(self._waiting, expected_s)
        last = longest.waiting[-1]
        self._remove(longest, last)
        if not last.granted.done():
            last.granted.set_exception(full(self._max_waiting, expected_s))

    def _expected_wait_s(self, line: Line, cost: float) -> float | None:
        """Seconds until a request that the caller sent now would be granted; None before anything was measured.

        Before it go all of a higher priority, its own earlier ones, and of each other caller as much as keeps
        that one's share under its own. The slots spread that work.
        """
        now = self._clock()
        opens_in_s = max(0.0, self._opens_at - now) if self._opens_at is not None else 0.0
        cost_s = self._cost_s
        if cost_s is None or not self._slots:
            return opens_in_s or None
        ahead_s = line.waiting_cost * cost_s
        turn = line.used + line.charged + ahead_s
        for other in self._lines.values():
            if other is line or not other.waiting or other.priority < line.priority:
                continue
            waiting_s = other.waiting_cost * cost_s
            if other.priority == line.priority:
                # The one that it has at the head when the shares meet may still go before.
                until_level_s = turn - other.used - other.charged + waiting_s / len(other.waiting)
                waiting_s = min(waiting_s, max(0.0, until_level_s))
            ahead_s += waiting_s
        left_s = [max(0.1 * held.charge_s, held.charge_s - (now - held.started_at)) for held in self._tickets]
        # Were all work spread evenly, the slots would be free together; the first is so half a request earlier.
        together_s = (ahead_s + sum(left_s)) / self._slots
        spread_s = cost * cost_s * (self._slots - 1) / (2 * self._slots)
        return opens_in_s + max(together_s - spread_s, min(left_s, default=0.0))


def _turn(line: Line) -> tuple[float, float, int]:
    """Sorts by whose turn it is: the highest priority, then the smallest share so far."""
    return -line.priority, line.used + line.charged, line.running


def _has_ticket(waiter: Waiter) -> bool:
    granted = waiter.granted
    return granted.done() and not granted.cancelled() and granted.exception() is None
