"""A collection whose vectors are in a service (Chroma, Qdrant, Pinecone) and whose all else is in a catalogue.

Such a service has no transactions, so the catalogue's commit is the moment at which a change happens: vectors
are put in under ids that nothing knows yet, then the catalogue switches, then the old ones are taken out.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from inhouse.core.errors import StoreError
from inhouse.docs.stores.base import Capabilities, Change, Filter, Replace, Scored, Vectors, check_replace
from inhouse.docs.stores.sqlite import CatalogueStore

_BATCH = 1000


class VectorService(Protocol):
    """What a service must do. Ids are never used twice; errors of its client are turned into StoreErrors."""

    name: str
    capabilities: Capabilities
    largest_k: int
    largest_filter: int
    """Document ids in one query at most."""

    def put(self, ids: Sequence[int], vectors: Vectors, document_ids: Sequence[str]) -> None:
        """Keeps vectors, each with the id of its document."""
        ...

    def remove(self, ids: Sequence[int]) -> None:
        """Forgets vectors; unknown ids do no harm."""
        ...

    def nearest(self, vector: Vectors, k: int, document_ids: Sequence[str] | None) -> list[tuple[int, float]]:
        """The k nearest of those documents (None: of all), with their inner product."""
        ...

    def vectors(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The vectors under those ids."""
        ...

    def size_bytes(self) -> int | None:
        """Bytes that the service's folder takes; None where it does not tell."""
        ...

    def drop(self) -> None:
        """Forgets the whole collection."""
        ...

    def reopen(self) -> None:
        """Called when another process has changed the collection."""
        ...

    def close(self) -> None:
        """Gives connections and files back."""
        ...


class ServiceStore(CatalogueStore):
    """One collection: `service` has the vectors, the SQLite file at `path` documents, texts, terms and tags."""

    def __init__(self, path: Path, service: VectorService) -> None:
        super().__init__(path, keep_vectors=False)
        self.name = service.name
        self.capabilities = service.capabilities
        self._service = service
        self._seen = self.version()
        self._lock = threading.RLock()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, over all processes: the ids that it reserved are nobody else's garbage."""
        with self._lock, self.catalogue.path.with_name(self.catalogue.path.name + "-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def apply(self, changes: Sequence[Change]) -> None:
        """Makes all the changes or none; vectors that a killed process left behind go first."""
        with self._alone():
            self._look()
            self._sweep()
            replaced = [change for change in changes if isinstance(change, Replace)]
            first = self.catalogue.reserve(sum(len(change.chunks) for change in replaced))
            self._put(replaced, first)
            self.catalogue.apply(changes, first)
            self._seen = self.version()
            with suppress(StoreError):  # the change is made; what is left over, the next one takes away
                self._sweep()

    def _put(self, changes: Sequence[Replace], first: int) -> None:
        dimensions = self.catalogue.settings().get("dimensions")
        at = first
        for change in changes:
            vectors = check_replace(change, dimensions)
            ids = [at + place for place, chunk in enumerate(change.chunks) if chunk.embed]
            for start in range(0, len(ids), _BATCH):
                some = ids[start : start + _BATCH]
                self._service.put(some, vectors[start : start + _BATCH], [change.document.id] * len(some))
            at += len(change.chunks)

    def _sweep(self) -> None:
        garbage = self.catalogue.garbage()
        for start in range(0, len(garbage), _BATCH):
            some = garbage[start : start + _BATCH]
            self._service.remove(some)
            self.catalogue.swept(some)

    def _look(self) -> None:
        with self._lock:
            version = self.version()
            if version != self._seen:
                self._service.reopen()
                self._seen = version

    def dense(self, vector: Vectors, k: int, where: Filter | None = None) -> list[Scored]:
        """The k nearest by the service; the catalogue decides what of them is there and allowed."""
        wanted = self.query(vector)
        self._look()
        unrestricted = where is None or where == Filter()
        total = self.count().embedded
        allowed = None if where is None or unrestricted else self.catalogue.matching(where, "id")
        k = min(k, total, self._service.largest_k)
        if k <= 0 or allowed == []:
            return []
        ask = min(k + len(self.catalogue.garbage()), self._service.largest_k)
        size = self._service.largest_filter
        parts = [None] if allowed is None else [allowed[at : at + size] for at in range(0, len(allowed), size)]
        found = [hit for part in parts for hit in self._service.nearest(wanted, ask, part)]
        there = self.catalogue.embedded_among([number for number, _ in found])
        best = sorted((-score, number) for number, score in found if number in there)[:k]
        return [Scored(number, -score) for score, number in best]

    def vectors(self, ids: Sequence[int]) -> Vectors:
        """The service's vectors, a row each."""
        self._look()
        found: dict[int, Vectors] = {}
        for start in range(0, len(ids), _BATCH):
            found.update(self._service.vectors(ids[start : start + _BATCH]))
        missing = [number for number in ids if number not in found]
        if missing:
            raise StoreError(f"{self.name} has no vector of chunk {missing[0]}", do="Sync the collection again")
        return np.stack([found[number] for number in ids]) if found else np.zeros((0, 0), np.float32)

    def cached(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """Vectors from the catalogue's cache, and of chunks from the service."""
        found = self.catalogue.cached(keys)
        chunk_ids = self.catalogue.ids_by_key([key for key in keys if key not in found])
        if chunk_ids:
            rows = self.vectors(list(chunk_ids.values()))
            found.update(zip(chunk_ids, rows, strict=True))
        return found

    def size_bytes(self) -> int | None:
        """The catalogue's bytes and the service's; None where the service does not tell."""
        service, catalogue = self._service.size_bytes(), super().size_bytes()
        return None if service is None or catalogue is None else service + catalogue

    def drop(self) -> None:
        """The service forgets the collection first: a catalogue without vectors could not be synced away again."""
        with self._alone():
            self._service.drop()
        super().drop()

    def close(self) -> None:
        """Closes the service's client and the catalogue."""
        self._service.close()
        super().close()
