"""How a bench is kept: the run ends as its work ends, and samples are written in batches on a thread of its own,
so that the store never delays a request.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType

from inhouse.core.errors import InhouseError
from inhouse.core.records import Run, RunStatus, Sample
from inhouse.store.repository import Store

_EVERY_S = 1.0  # what a crash of this program can lose


@contextmanager
def ending(store: Store, run: Run) -> Iterator[None]:
    """Ends the run as what is done inside ends: done, interrupted or failed."""
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt):
        store.finish_run(run.id, RunStatus.INTERRUPTED)
        raise
    except InhouseError as error:
        store.finish_run(run.id, RunStatus.FAILED, str(error))
        raise
    except BaseException as error:
        store.finish_run(run.id, RunStatus.FAILED, f"unexpected {type(error).__name__}: {error}")
        raise
    store.finish_run(run.id, RunStatus.DONE)


def origin_of(run: Run) -> float:
    """The run's start on time.perf_counter(), also in a process that resumed it."""
    return time.perf_counter() - (datetime.now(UTC) - run.created_at).total_seconds()


class SampleWriter:
    """Writes a run's samples about once a second; leaving the context writes the rest.

    A failure to write surfaces at the next `add`, or on leaving: measuring what cannot be kept is pointless.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._pending: list[Sample] = []
        self._failure: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="samples", daemon=True)

    def __enter__(self) -> SampleWriter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def add(self, sample: Sample) -> None:
        """Takes a sample to be written soon."""
        if self._failure is not None:
            raise self._failure
        self._pending.append(sample)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(_EVERY_S)
            count = len(self._pending)
            # Taken by number, not by swapping lists: `add` on the other thread may hold the list already.
            batch = self._pending[:count]
            del self._pending[:count]
            try:
                if batch:
                    self._store.add_samples(self._run_id, batch)
            except Exception as failure:  # noqa: BLE001  (handed to the measuring side)
                self._failure = failure
                return
