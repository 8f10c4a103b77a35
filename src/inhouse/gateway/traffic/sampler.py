"""Once a second, for all who watch: counts what came, measures what is there, hands the history what is due.

One for each process. Several processes show each other what they see while anyone watches any of them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from inhouse.core.errors import InhouseError, SharedStateLost, StoreError
from inhouse.gateway.failover import PoolStatus
from inhouse.gateway.ledger import UsageRow
from inhouse.gateway.logs import Log
from inhouse.gateway.traffic.history import History
from inhouse.gateway.traffic.machine import Machine
from inhouse.gateway.traffic.meter import ALL, Bin, BySubject, Meter
from inhouse.gateway.traffic.now import Now, from_json, to_json, together
from inhouse.store.database import Database

if TYPE_CHECKING:
    from inhouse.gateway.shared import Shared

_AT_ONCE = 200  # requests counted in one go: under a millisecond, in which no other is served
_MACHINE_EVERY = 2  # seconds
_PIDS_EVERY = 10
_FORGET_EVERY = 60
_MOST_WAITING = 50_000  # bins kept while the store does not take them
_WATCHED_S = 5.0  # how long the other processes go on showing after the last look
_TOPIC, _WATCHED = "traffic", "traffic-watched"


async def no_pids() -> tuple[int, ...]:
    """Of a gateway whose engines run elsewhere."""
    return ()


class Sampler:
    """Samples one process.

    Args:
        database: where the history is kept.
        machine: what it runs on.
        pools: this process's queues and replicas, now.
        engine_pids: the processes of its engines on this machine.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        machine: Machine,
        pools: Callable[[], tuple[PoolStatus, ...]],
        log: Log,
        *,
        clock: Callable[[], float],
        engine_pids: Callable[[], Awaitable[Iterable[int]]] = no_pids,
        shared: Shared | None = None,
    ) -> None:
        self.history = History(database, secrets.token_hex(6))
        self.viewers = 0
        """How many watch in this process."""
        self.pools = pools
        self._machine, self._log, self._clock = machine, log, clock
        self._engine_pids, self._shared = engine_pids, shared
        self._meter = Meter(clock())
        self.note: Callable[[UsageRow], None] = self._meter.rows.append
        """Takes a request that has ended."""
        self._now = Now(clock())
        self._ticked = asyncio.Event()
        self._over = False
        self._watched_elsewhere = False
        self._read: dict[str, float] = {}
        self._pids: tuple[int, ...] = ()
        self._measuring: asyncio.Task[None] | None = None
        self._due: list[Bin] = []
        self._writing: asyncio.Task[None] | None = None
        self._failing = False
        self._task: asyncio.Task[None] | None = None
        if shared is not None:
            shared.show(_TOPIC, self._shown)

    @property
    def now(self) -> Now:
        """What was seen last; up to date while someone watches."""
        return self._now

    @property
    def machine(self) -> tuple[str, Mapping[str, float]]:
        """This machine's name, and what was read of it last."""
        return self._machine.name, self._read

    async def watch(self) -> AsyncGenerator[Now, None]:
        """What is seen, each second, until `end_watching`; who does not keep up misses some."""
        self.viewers += 1
        try:
            while not self._over:
                await self._ticked.wait()
                if self._over:
                    return
                yield self._now
        finally:
            self.viewers -= 1

    def end_watching(self) -> None:
        """Ends all that `watch` gives, for good."""
        self._over = True
        self._ticked.set()

    async def start(self) -> None:
        """Begins. In the event loop that serves."""
        self._task = asyncio.create_task(self._run(), name="sample traffic")

    async def close(self) -> None:
        """Ends; what was counted is kept first."""
        for task in (self._task, self._measuring):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self._task is None:
            return
        if self._writing is not None:
            await self._writing
        while self._meter.count(_AT_ONCE):
            pass
        self._due += self._meter.turn(self._clock(), {})
        self._due += self._meter.rest()
        await self._write()

    async def _run(self) -> None:
        seconds = 0
        before = self._clock()
        while True:
            await asyncio.sleep(1 - self._clock() % 1)
            now = self._clock()
            try:
                while self._meter.count(_AT_ONCE):  # noqa: ASYNC110 - nothing is waited for: others have their turn
                    await asyncio.sleep(0)
                self._due += self._meter.turn(now, self._measured(min(now - before, 10.0)))
                before = now
                if seconds % _MACHINE_EVERY == 0 and (self._measuring is None or self._measuring.done()):
                    self._measuring = asyncio.create_task(self._measure(seconds % _PIDS_EVERY == 0))
                if self._due and (self._writing is None or self._writing.done()):
                    self._writing = asyncio.create_task(self._write())
                if seconds % _FORGET_EVERY == _FORGET_EVERY - 1:
                    await asyncio.to_thread(self.history.forget, now)
                await self._look(now)
            except InhouseError as error:
                self._log.warning("sampling_failed", error=str(error))
            except Exception as error:  # noqa: BLE001 - a defect here must not end the sampling
                self._log.error("defect", part="sampler", exc_info=error)
            seconds += 1

    def _measured(self, seconds: float) -> BySubject:
        """Beside the requests that have ended: those that wait and run, and the machine."""
        found: BySubject = {}

        def held(subject: str, name: str, number: float) -> None:
            if number:
                sums = found.setdefault(subject, {})
                sums[name] = sums.get(name, 0.0) + number * seconds

        for pool in self.pools():
            running = sum(replica.running for replica in pool.replicas)
            for subject in (ALL, f"model:{pool.model}"):
                held(subject, "running_s", running)
                held(subject, "waiting_s", sum(pool.waiting_by.values()))
            for key_id, waiting in pool.waiting_by.items():
                held(f"key:{key_id}", "waiting_s", waiting)
        if self._read:
            found[f"host:{self._machine.name}"] = {"samples": 1.0, **self._read}
        return found

    async def _measure(self, pids_too: bool) -> None:
        if pids_too:
            self._pids = tuple(await self._engine_pids())
        self._read = await asyncio.to_thread(self._machine.read, self._pids)

    async def _write(self) -> None:
        """Keeps what is due; where the store does not take it, it waits on."""
        due, self._due = self._due, []
        try:
            await asyncio.to_thread(self.history.write, due)
        except StoreError as error:
            self._due = [*due, *self._due][-_MOST_WAITING:]
            if not self._failing:
                self._log.error("history_failed", error=str(error))
            self._failing = True
        else:
            self._failing = False

    # --- who watches ------------------------------------------------------------------------------------

    async def _look(self, now: float) -> None:
        """Brings `now` up to date where anyone watches, and tells them."""
        shared = self._shared
        if self.viewers and shared is not None:
            with suppress(SharedStateLost):
                await shared.save(shared.key(_WATCHED), b"1", _WATCHED_S)
        if shared is not None:
            with suppress(SharedStateLost):
                self._watched_elsewhere = await shared.load(shared.key(_WATCHED)) is not None
        if not self.viewers:
            return
        moments = [self._seen(now)]
        if shared is not None:
            with suppress(SharedStateLost):
                shown = await shared.shown(_TOPIC)
                moments += [from_json(text) for name, text in shown.items() if text and name != shared.process]
        self._now = together(moments)
        self._ticked.set()
        self._ticked = asyncio.Event()

    def _seen(self, now: float) -> Now:
        """What this process sees."""
        meter = self._meter
        minute = {subject: meter.window(subject) for subject in meter.recent_subjects() if not _is_host(subject)}
        second = {subject: sums for subject, sums in meter.second.items() if not _is_host(subject)}
        machines = {self._machine.name: self._read} if self._read else {}
        return Now(now, second, minute, meter.window_s(now), machines)

    def _shown(self) -> str:
        return to_json(self._seen(self._clock())) if self._watched_elsewhere else ""


def _is_host(subject: str) -> bool:
    return subject.startswith("host:")
