"""The default store: a collection in one SQLite file, searched exactly over a mirror in memory-mapped files.

A change is one transaction of the file; the first search after it brings the mirror into step.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inhouse.docs.records import Document
from inhouse.docs.stores.base import (
    Capabilities,
    Change,
    Counts,
    Filter,
    Scored,
    StoredChunk,
    Vectors,
    VectorStore,
    check_dimensions,
)
from inhouse.docs.stores.catalogue import Catalogue
from inhouse.docs.stores.file import folder_bytes, held_bytes
from inhouse.docs.stores.mirror import Mirror
from inhouse.docs.stores.rows import decode_all
from inhouse.docs.stores.terms import Bag
from inhouse.docs.stores.windows import Windows

_TRIES = 5


class CatalogueStore(VectorStore):
    """What every store with a catalogue has in common: all but the vectors."""

    def __init__(self, path: Path, *, keep_vectors: bool) -> None:
        self.catalogue = Catalogue(path, keep_vectors=keep_vectors)
        self.mirror = Mirror(self.catalogue)

    def sparse(self, terms: Sequence[str], k: int, where: Filter | None = None) -> list[Scored]:
        """The k chunks with the best BM25."""
        return self.mirror.bm25(terms, k, where) if k > 0 else []

    def chunks(self, ids: Iterable[int]) -> list[StoredChunk]:
        """Those of the chunks that are still there."""
        return self.catalogue.chunks(ids)

    def chunks_of(self, document_id: str, orders: Iterable[int] | None = None) -> list[StoredChunk]:
        """A document's chunks in its own order."""
        return self.catalogue.chunks_of(document_id, orders)

    def terms(self, ids: Sequence[int]) -> list[Bag]:
        """What the chunks are found by."""
        return self.catalogue.bags(ids)

    def holds(self, ids: Sequence[int], terms: Sequence[str]) -> NDArray[np.bool_]:
        """Read from the inverted index, which is quicker than the chunks' own lists of terms."""
        return self.mirror.holds(ids, terms)

    def windows(self, ids: Sequence[int]) -> list[Windows]:
        """The chunks' windows."""
        return self.catalogue.windows(ids)

    def keys(self, ids: Sequence[int]) -> list[bytes]:
        """What the embedding cache knows the chunks by."""
        return self.catalogue.of_embedded("key", ids)

    def documents(self, where: Filter | None = None) -> list[Document]:
        """The documents, by path."""
        return self.catalogue.documents(where)

    def document(self, document_id: str) -> Document | None:
        """One document, if it is there."""
        return self.catalogue.document(document_id)

    def count(self) -> Counts:
        """How much the collection holds."""
        return self.catalogue.count()

    def settings(self) -> dict[str, Any]:
        """What was kept with `set_settings`."""
        return self.catalogue.settings()

    def set_settings(self, values: Mapping[str, Any]) -> None:
        """Keeps settings beside the documents."""
        self.catalogue.set_settings(values)

    def cached(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors that the store has for these keys."""
        return self.catalogue.cached(keys)

    def cached_windows(self, keys: Sequence[bytes]) -> dict[bytes, Windows]:
        """The windows of chunks embedded under these keys."""
        return self.catalogue.cached_windows(keys)

    def cache(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Keeps vectors before their document is ready."""
        self.catalogue.cache(keys, vectors)

    def drop_cache(self) -> None:
        """Forgets what no document used."""
        self.catalogue.drop_cache()

    def version(self) -> int:
        """The number of the last transaction."""
        return self.catalogue.version()

    def prepare(self) -> None:
        """Brings the mirror into step."""
        self.mirror.catch_up()

    def verify(self) -> bool:
        """Checks the mirror against the file, byte by byte; False where it had to be built anew."""
        return self.mirror.verify()

    def size_bytes(self) -> int | None:
        """The file as it is once it is closed, and its mirror."""
        return held_bytes(self.catalogue.path) + folder_bytes(self.mirror.folder)

    def drop(self) -> None:
        """Closes the collection and removes its file, with the journal, the mirror and the locks."""
        self.close()
        shutil.rmtree(self.mirror.folder, ignore_errors=True)
        for ending in ("", "-wal", "-shm", "-lock"):
            self.catalogue.path.with_name(self.catalogue.path.name + ending).unlink(missing_ok=True)

    def close(self) -> None:
        """Gives connections and files back."""
        self.mirror.close()
        self.catalogue.close()

    def query(self, vector: Vectors) -> Vectors:
        """The question's vector, checked against the collection's."""
        given = np.ascontiguousarray(vector, np.float32).ravel()
        dimensions = self.catalogue.settings().get("dimensions")
        check_dimensions(len(given), dimensions)
        return given


class SqliteStore(CatalogueStore):
    """A collection in the SQLite file at `path`, made if it is not there."""

    name = "sqlite"
    capabilities = Capabilities(sparse=True, exact=True)

    def __init__(self, path: Path) -> None:
        super().__init__(path, keep_vectors=True)

    def apply(self, changes: Sequence[Change]) -> None:
        """Makes the changes in one transaction."""
        self.catalogue.apply(changes)

    def dense(self, vector: Vectors, k: int, where: Filter | None = None) -> list[Scored]:
        """The k nearest: found by 8-bit products, ranked by the stored vectors."""
        wanted = self.query(vector)
        if k <= 0:
            return []
        found: dict[int, bytes] = {}
        for _ in range(_TRIES):
            ids = self.mirror.nearest(wanted, candidates(k), where).tolist()
            found = self.catalogue.vectors_among(ids)
            if len(found) == len(ids):
                break  # otherwise some were deleted between the two, and others take their places
        if not found:
            return []
        order = np.fromiter(found, np.int64, len(found))
        scores = decode_all(list(found.values())) @ wanted
        best = np.lexsort((order, -scores))[:k]
        return [Scored(int(order[place]), float(scores[place])) for place in best]

    def vectors(self, ids: Sequence[int]) -> Vectors:
        """The stored vectors, a row each."""
        return decode_all(self.catalogue.of_embedded("vector", ids))


def candidates(k: int) -> int:
    """How many the 8-bit products name, so that the best k are among them."""
    return 2 * k + 100
