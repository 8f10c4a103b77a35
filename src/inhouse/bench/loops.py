"""Sends work in a closed loop (so many users) or an open one (at set times). Knows nothing of what is sent."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice

from inhouse.bench.arrivals import keep_time
from inhouse.bench.workload import Work
from inhouse.core.errors import BenchError, EngineOverloaded
from inhouse.core.records import Sample

Send = Callable[[Work, float], Awaitable[Sample]]
"""Sends a piece of work that was due at a time on time.perf_counter(), and gives its sample."""

_AHEAD = 256  # pieces of work made before they are due, so that making one never delays a request
_PAUSE_S = 0.2  # a user whose request failed waits so long: a dead server must not be hammered
_HOPELESS = 20  # failures in a row after which more would tell nothing new


async def closed_loop(send: Send, work: Iterator[Work], *, streams: int, duration_s: float | None) -> None:
    """Keeps `streams` requests under way until the work or the time is over; waits for the last answers."""
    deadline = time.perf_counter() + duration_s if duration_s is not None else float("inf")
    watch = _Watch()

    async def stream() -> None:
        due = time.perf_counter()
        while due < deadline:
            piece = next(work, None)
            if piece is None:
                return
            sample = await send(piece, due)
            if not watch.sees(sample):
                await asyncio.sleep(_PAUSE_S)
            due = time.perf_counter()

    async with _tasks() as group:
        for _ in range(streams):
            group.create_task(stream())


async def open_loop(send: Send, work: Iterator[Work], times: list[float]) -> None:
    """Sends a piece of work at each of `times` (seconds from now), however many are still unanswered; waits
    for the last answers.
    """
    watch = _Watch()
    ready = deque(islice(work, _AHEAD))
    # The start lies a little ahead, so that the first arrival is no later than the others.
    start = time.perf_counter() + 0.01

    async def one(piece: Work, due: float) -> None:
        watch.sees(await send(piece, due))

    async with _tasks() as group:

        def arrive(at: float) -> None:
            group.create_task(one(ready.popleft(), start + at))
            ready.extend(islice(work, 1))

        await keep_time(times, start, arrive)


@asynccontextmanager
async def _tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that fails with the first failure itself, not with a group of one."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


class _Watch:
    """Ends a stage whose engine has stopped answering."""

    def __init__(self) -> None:
        self._failures = 0

    def sees(self, sample: Sample) -> bool:
        """Whether the sample is sound; raises BenchError when too many in a row were not."""
        if sample.error is None or sample.error.kind == EngineOverloaded.kind:  # busy is alive
            self._failures = 0
            return sample.error is None
        self._failures += 1
        if self._failures >= _HOPELESS:
            raise BenchError(
                f"{_HOPELESS} requests in a row failed, so the stage was ended",
                why=sample.error.message,
                do="See that the engine runs (inhouse doctor), then resume the run",
            )
        return False
