"""The ledger: one usage row for each request, committed before the client sees the end of its answer.

One thread writes, and commits together all rows that came while the last commit ran. Knows nothing of requests.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple

from inhouse.core.errors import StoreError
from inhouse.gateway.wal_sync import WalSync
from inhouse.store.database import Database

MAX_BATCH = 256
Sync = Literal["process", "disk"]


class UsageRow(NamedTuple):
    """One request as it is billed. The fields are the columns of the table `usage`.

    `at` is when it came (seconds since 1970), `day` the same as a UTC date. Durations are in seconds.
    Where the engine did not say how many tokens there were (a client that left, an error), they are
    estimates and `tokens_estimated` says so. `saved_micro_krw` is what a cache hit would have cost.
    """

    id: str
    at: float
    day: str
    key_id: str
    team: str | None
    api: str
    model: str
    replica: str | None
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    tokens_estimated: bool
    nano_usd: int
    micro_krw: int
    saved_micro_krw: int
    queue_s: float | None
    prefill_s: float | None
    decode_s: float | None
    ttft_s: float | None
    e2e_s: float
    status: int
    error: str | None
    finish_reason: str | None
    cache: str | None
    guard: str | None
    retries: int


_COLUMNS = UsageRow._fields
_Waiting = tuple[UsageRow, "asyncio.Future[None] | None"]
_DAY_KEYS = ("day", "key_id", "team", "model")
_DAY_SUMS = (
    "requests",
    "errors",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "nano_usd",
    "micro_krw",
    "saved_micro_krw",
    "cache_hits",
)


class Ledger:
    """Writes usage rows from a thread of its own. `start` it, `close` it: what was taken is written first.

    `sync` says when a row counts as kept. "process": once it is committed, so that it survives the end of
    this program at any moment; the disk gets it within a tenth of a second, which only a power cut can lose.
    "disk": once the disk has it too, which takes as long as the disk does. PostgreSQL follows its own
    synchronous_commit.
    """

    def __init__(self, database: Database, *, sync: Sync = "process") -> None:
        self._database = database
        self._sync = sync
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Any = None
        self._thread = threading.Thread(target=self._write_all, name="ledger", daemon=True)
        self.rows = 0
        self.commits = 0
        self.failure = ""
        """Why the last commit failed; empty while all is well."""

    def start(self) -> None:
        """Begins writing; called in the event loop that will record."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def record(self, row: UsageRow) -> None:
        """Returns once the row is kept; StoreError where that cannot be done."""
        assert self._loop is not None
        kept = self._loop.create_future()
        self._queue.put((row, kept))
        await kept

    def note(self, row: UsageRow) -> None:
        """Writes the row soon: for requests that were refused, whose answers need not wait."""
        self._queue.put((row, None))

    async def close(self) -> None:
        """Writes what is left and ends the thread. Idempotent."""
        self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    # --- in the thread ----------------------------------------------------------------------------------

    def _write_all(self) -> None:
        disk = WalSync(self._database) if self._sync == "process" else None
        try:
            closing = False
            while not closing:
                batch, closing = self._next_batch()
                if not batch:
                    continue
                error = self._commit([row for row, _ in batch])
                if disk is not None:
                    disk.written()
                futures = [future for _, future in batch if future is not None]
                if futures and self._loop is not None and not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(_resolve, futures, error)
        finally:
            self._disconnect()
            if disk is not None:
                disk.close()

    def _next_batch(self) -> tuple[list[_Waiting], bool]:
        """What waits now, at least one; and whether to end after it."""
        batch: list[_Waiting] = []
        waiting = self._queue.get()
        while waiting is not None:
            batch.append(waiting)
            if len(batch) == MAX_BATCH:
                return batch, False
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _commit(self, rows: Sequence[UsageRow]) -> StoreError | None:
        """Commits the rows; once more on a new connection if the last one broke. The error, if it stays."""
        why = ""
        for _attempt in (1, 2):
            try:
                self._insert(rows)
            except Exception as error:  # noqa: BLE001 - whatever the driver raises must reach those who wait
                self._disconnect()
                why = " ".join(str(error).split())[:300] or type(error).__name__
            else:
                self.failure = ""
                self.rows += len(rows)
                self.commits += 1
                return None
        self.failure = why
        return StoreError("The usage ledger cannot be written", why=why, do="See to the store's disk or server")

    def _insert(self, rows: Sequence[UsageRow]) -> None:
        if self._connection is None:
            self._connection = self._database.driver_connection()
            if self._database.sqlite and self._sync == "process":
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute("PRAGMA wal_autocheckpoint = 0")  # WalSync does that, beside us
        mark = "?" if self._database.sqlite else "%s"
        cursor = self._connection.cursor()
        if self._database.sqlite:
            cursor.execute("BEGIN IMMEDIATE")
        cursor.execute(_insert_rows(len(rows), mark), list(chain.from_iterable(rows)))
        for sums in _by_day(rows):
            cursor.execute(_add_to_day(mark), sums)
        cursor.execute("COMMIT") if self._database.sqlite else self._connection.commit()
        cursor.close()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()


def _resolve(futures: Sequence[asyncio.Future[None]], error: StoreError | None) -> None:
    for future in futures:
        if future.done():  # its request was cancelled; the row is kept all the same
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


@lru_cache(maxsize=MAX_BATCH)
def _insert_rows(count: int, mark: str) -> str:
    # One statement for the whole batch: the driver lets go of the interpreter lock once, not once a row.
    row = f"({', '.join([mark] * len(_COLUMNS))})"
    return f"INSERT INTO usage ({', '.join(_COLUMNS)}) VALUES {', '.join([row] * count)}"  # noqa: S608


@lru_cache(maxsize=2)
def _add_to_day(mark: str) -> str:
    columns = (*_DAY_KEYS, *_DAY_SUMS)
    added = ", ".join(f"{name} = usage_days.{name} + excluded.{name}" for name in _DAY_SUMS)
    return (
        f"INSERT INTO usage_days ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))}) "  # noqa: S608
        f"ON CONFLICT ({', '.join(_DAY_KEYS)}) DO UPDATE SET {added}"
    )


def _by_day(rows: Sequence[UsageRow]) -> list[tuple[Any, ...]]:
    """What the rows add to each day, in an order that is the same in all processes, so that none blocks another."""
    sums: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0] * len(_DAY_SUMS))
    for row in rows:
        total = sums[row.day, row.key_id, row.team or "", row.model]
        total[0] += 1
        total[1] += row.status >= 400
        total[2] += row.prompt_tokens
        total[3] += row.completion_tokens
        total[4] += row.cached_tokens
        total[5] += row.nano_usd
        total[6] += row.micro_krw
        total[7] += row.saved_micro_krw
        total[8] += row.cache is not None
    return [(*key, *total) for key, total in sorted(sums.items())]


def utc_day(at: float) -> str:
    """The UTC date of a time in seconds since 1970."""
    return _day(int(at // 86400))


@lru_cache(maxsize=8)
def _day(number: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(number * 86400))
