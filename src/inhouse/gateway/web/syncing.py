"""Syncs of the collections' folders that were begun on a page: one of each collection at a time, in the background.

What one did is remembered until the process ends; the documents and the files that failed are in the collection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from inhouse.core.errors import InhouseError, InvalidRequest
from inhouse.docs.sources import sources_of
from inhouse.docs.sync import SyncProgress, SyncReport, sync
from inhouse.gateway.documents import Collection
from inhouse.gateway.logs import Log


@dataclass(slots=True)
class SyncState:
    """How a collection's sync stands; `ended` is None while it runs. `error` says why it did not reach its end."""

    began: datetime
    ended: datetime | None = None
    at: SyncProgress | None = None
    reports: list[SyncReport] = field(default_factory=list)
    error: InhouseError | None = None

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self.ended is None

    def total(self, what: str) -> int:
        """How many documents were added, changed, moved, deleted or failed, over all folders."""
        return sum(len(getattr(report, what)) for report in self.reports)


class Syncs:
    """The syncs of one process. `told` is called in the event loop when one has ended."""

    def __init__(self, clock: Callable[[], float], log: Log, told: Callable[[str, SyncState], None]) -> None:
        self._clock, self.log, self._told = clock, log, told
        self._states: dict[str, SyncState] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def state(self, name: str) -> SyncState | None:
        """How the collection's sync stands; None where none was begun here."""
        return self._states.get(name)

    def begin(self, collection: Collection) -> None:
        """Begins a sync of all the folders that the collection follows, unless one is under way here.

        Raises:
            InvalidRequest: it cannot be synced from here.
        """
        if collection.lock is None:
            raise InvalidRequest(f"{collection.name} cannot be synced here", do="Use `inhouse docs sync`")
        known = self._states.get(collection.name)
        if known is not None and known.running:
            return
        state = self._states[collection.name] = SyncState(self._now())
        task = asyncio.create_task(self._run(collection, state), name=f"sync {collection.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, collection: Collection, state: SyncState) -> None:
        try:
            await asyncio.to_thread(_sync_all, collection, state)
        except InhouseError as error:
            state.error = error
        except Exception as error:
            self.log.error("defect", sync=collection.name, exc_info=error)
            state.error = InhouseError("The sync failed", do="Try again, or see the gateway's log")
        finally:
            state.ended = self._now()
        self._told(collection.name, state)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _sync_all(collection: Collection, state: SyncState) -> None:
    """Each followed folder in turn; blocks."""

    def progress(now: SyncProgress) -> None:
        state.at = now

    store, embedder = collection.searcher.store, collection.searcher.embedder
    assert collection.lock is not None
    for source in sources_of(store):
        state.reports.append(sync(source, store, embedder, lock=collection.lock, on_progress=progress))
