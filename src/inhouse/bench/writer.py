"""Keeps samples as they come, in batches and on a thread of its own, so that the store never delays a request."""

from __future__ import annotations

import threading
from types import TracebackType

from inhouse.core.records import Sample
from inhouse.store.repository import Store

_EVERY_S = 1.0  # what a crash of this program can lose


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
            # Taking the list whole is one step under the interpreter's lock; `add` sees the old or the new one.
            batch, self._pending = self._pending, []
            try:
                if batch:
                    self._store.add_samples(self._run_id, batch)
            except Exception as failure:  # noqa: BLE001  (handed to the measuring side)
                self._failure = failure
                return
