"""Writes audit events and kept bodies in the background, many in one transaction; removes bodies and conversations
in time.

The request does not wait: a process that is killed can lose the last few milliseconds of either (the ledger row,
which is durable, says what the guard did all the same).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from inhouse.core.errors import InhouseError
from inhouse.gateway.audit import AuditEvent, AuditLog
from inhouse.gateway.bodies import BodyStore
from inhouse.gateway.logs import Log

_MOST_WAITING = 10_000
_PURGE_EVERY_S = 3600.0
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class KeptBody:
    """A request with its answer, to be sealed and kept."""

    id: str
    key_id: str
    request: Mapping[str, Any]
    answer: Mapping[str, Any]
    person: str | None


class Keeper:
    """The writer of one process. `bodies` is None where none are kept; `forget` removes old conversations, and says
    how many there were.
    """

    def __init__(
        self, audit: AuditLog, bodies: BodyStore | None, log: Log, *, forget: Callable[[], int] | None = None
    ) -> None:
        self.audit, self.bodies, self._log = audit, bodies, log
        self._purges = {} if bodies is None else {"bodies.purge": bodies.purge}
        if forget is not None:
            self._purges["conversations.purge"] = forget
        self._events: deque[AuditEvent] = deque(maxlen=_MOST_WAITING)
        self._bodies: deque[KeptBody] = deque(maxlen=_MOST_WAITING)
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._writing: asyncio.Task[bool] | None = None
        self._failing = False

    def event(self, event: AuditEvent) -> None:
        """Records an event soon."""
        self._events.append(event)
        self._work.set()

    def body(self, body: KeptBody) -> None:
        """Keeps a body soon."""
        self._bodies.append(body)
        self._work.set()

    async def start(self) -> None:
        """Begins to write. In the event loop that serves."""
        self._tasks = [asyncio.create_task(self._write_on())]
        if self._purges:
            self._tasks.append(asyncio.create_task(self._purge_on()))

    async def close(self) -> None:
        """Writes what is waiting, and ends."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._writing is not None:
            await self._writing
        await self._write()

    async def _write_on(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            # A transaction that has begun is let end, also when this task is told to stop.
            self._writing = asyncio.create_task(self._write())
            if not await asyncio.shield(self._writing):
                await asyncio.sleep(_RETRY_S)
                self._work.set()

    async def _write(self) -> bool:
        """Writes what is waiting; whether it could. What could not be written waits on."""
        events, bodies = list(self._events), list(self._bodies)
        if not events and not bodies:
            return True
        self._events.clear()
        self._bodies.clear()
        try:
            await asyncio.to_thread(self._store, events, bodies)
        except InhouseError as error:
            self._events.extendleft(reversed(events))
            self._bodies.extendleft(reversed(bodies))
            if not self._failing:
                self._log.error("audit_failed", error=str(error))
            self._failing = True
            return False
        self._failing = False
        return True

    def _store(self, events: list[AuditEvent], bodies: list[KeptBody]) -> None:
        while bodies and self.bodies is not None:
            body = bodies[-1]
            self.bodies.keep(body.id, body.key_id, body.request, body.answer, person=body.person)
            bodies.pop()
        self.audit.append(events)

    async def _purge_on(self) -> None:
        while True:
            for action, purge in self._purges.items():
                try:
                    removed = await asyncio.to_thread(purge)
                    if removed:
                        self.event(AuditEvent("gateway", action, "", {"count": removed}))
                except InhouseError as error:
                    self._log.error("purge_failed", error=str(error))
            await asyncio.sleep(_PURGE_EVERY_S)
