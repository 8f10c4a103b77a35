"""The seam of document stores: what a collection can be asked, and the records that go in and out.

Knows no database, no language and no embedding model: vectors and terms are given to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inhouse.core.errors import CollectionMismatch, UsageError
from inhouse.docs.records import Chunk, Document
from inhouse.docs.stores.terms import Bag, has_terms
from inhouse.docs.stores.windows import Windows

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents a search may see; None is no restriction, and all that are given must hold.

    `tags_any` are the access tags that the caller has: a document is open to them if it has none itself or
    one of these (so the empty set leaves the documents without tags). Applied before the best k are taken.
    """

    tags_any: frozenset[str] | None = None
    document_ids: frozenset[str] | None = None
    path_prefix: str | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A hit: the higher the score the better (cosine for dense, BM25 for sparse)."""

    chunk_id: int
    score: float


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as the store holds it, with what a citation needs of its document. An id is never used twice."""

    id: int
    document_id: str
    chunk: Chunk
    title: str
    path: str
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Replace:
    """Puts a document in, in place of all that the store had under its id.

    `vectors` (unit length), `terms` (the terms to be found by, joined by spaces, or a Bag of them) and `keys`
    (what the embedding cache knows the embedded text by; `content_key` of the chunk's text where none are
    given) have one entry for each chunk whose `embed` is true, in the chunks' order; so have `windows`, where
    there are any.
    """

    document: Document
    chunks: Sequence[Chunk]
    vectors: Vectors
    terms: Sequence[str | Bag]
    keys: Sequence[bytes] = ()
    windows: Sequence[Windows] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Takes a document out, with its chunks, vectors and terms; nothing happens where there is none."""

    document_id: str


@dataclass(frozen=True, slots=True)
class Move:
    """Writes a document's record anew (path, title, tags, …) and leaves its chunks as they are."""

    document: Document


Change = Replace | Delete | Move


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What differs between stores.

    `sparse`: there is full-text search. `exact`: `dense` misses nothing. `shared`: several processes may have
    the collection open. `immediate`: the service shows what was written at once (what was deleted never shows).
    """

    sparse: bool
    exact: bool
    shared: bool = True
    immediate: bool = True


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a collection holds; `embedded` of the chunks have a vector."""

    documents: int
    chunks: int
    embedded: int


class VectorStore(Protocol):
    """One collection. Safe to use from several threads, and by several processes at once.

    Every error is a StoreError. What `apply` wrote is found by the next search of any process, and what it
    deleted by none.
    """

    name: str
    """The kind of store: sqlite, chroma, pgvector, qdrant or pinecone."""

    capabilities: Capabilities

    def apply(self, changes: Sequence[Change]) -> None:
        """Makes all the changes or none, also if the process is killed in the middle."""
        ...

    def replace(
        self, document: Document, chunks: Sequence[Chunk], vectors: Vectors, terms: Sequence[str] | None = None
    ) -> None:
        """Puts one document in; without terms, the words of each chunk are what `sparse` finds."""
        embedded = [chunk for chunk in chunks if chunk.embed]
        given = terms if terms is not None else [" ".join(chunk.text.split()) for chunk in embedded]
        self.apply([Replace(document, chunks, vectors, given)])

    def delete(self, document_ids: Iterable[str]) -> int:
        """Takes documents out; how many of them there were."""
        there = [document_id for document_id in document_ids if self.document(document_id) is not None]
        self.apply([Delete(document_id) for document_id in there])
        return len(there)

    def dense(self, vector: Vectors, k: int, where: Filter | None = None) -> list[Scored]:
        """The k chunks whose vectors are nearest (cosine), best first; fewer where there are fewer."""
        ...

    def sparse(self, terms: Sequence[str], k: int, where: Filter | None = None) -> list[Scored]:
        """The k chunks with the best BM25 for the terms, best first; only chunks with one of them."""
        ...

    def chunks(self, ids: Iterable[int]) -> list[StoredChunk]:
        """Those of the chunks that are still there, in the order asked for."""
        ...

    def chunks_of(self, document_id: str, orders: Iterable[int] | None = None) -> list[StoredChunk]:
        """A document's chunks in its own order: all, or those of the given orders (a parent, neighbours)."""
        ...

    def vectors(self, ids: Sequence[int]) -> Vectors:
        """The vectors of embedded chunks, a row each, in the order asked for (to the store's precision)."""
        ...

    def terms(self, ids: Sequence[int]) -> list[Bag]:
        """What embedded chunks are found by in `sparse`, in the order asked for."""
        ...

    def holds(self, ids: Sequence[int], terms: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of the embedded chunks has each of the terms: a row a chunk, a column a term."""
        return has_terms(terms, self.terms(ids))

    def windows(self, ids: Sequence[int]) -> list[Windows]:
        """The windows of embedded chunks, in the order asked for; none for a chunk that has none."""
        ...

    def keys(self, ids: Sequence[int]) -> list[bytes]:
        """What the embedding cache knows embedded chunks by, in the order asked for."""
        ...

    def documents(self, where: Filter | None = None) -> list[Document]:
        """The documents, by path."""
        ...

    def document(self, document_id: str) -> Document | None:
        """One document, if it is there."""
        ...

    def count(self) -> Counts:
        """How much the collection holds."""
        ...

    def settings(self) -> dict[str, Any]:
        """What was kept with `set_settings` (JSON values)."""
        ...

    def set_settings(self, values: Mapping[str, Any]) -> None:
        """Keeps settings beside the documents; names that are not given stay as they are."""
        ...

    def cached(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors that the store has for these keys, from its chunks or from `cache`."""
        ...

    def cached_windows(self, keys: Sequence[bytes]) -> dict[bytes, Windows]:
        """The windows of the chunks that were embedded under these keys and have any."""
        ...

    def cache(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Keeps vectors before their document is ready, so that a killed process need not embed them again."""
        ...

    def drop_cache(self) -> None:
        """Forgets what `cache` kept and no document used."""
        ...

    def prepare(self) -> None:
        """Does now what the next search would have to do first, as after many changes."""
        return

    def verify(self) -> bool:
        """Checks what is kept twice, to the last byte; False where the copy was damaged and built anew."""
        return True

    @contextmanager
    def only_sync(self, *, wait_s: float = 0.0) -> Iterator[None]:
        """Keeps syncs of other machines out, where several can share the store; DocumentError after `wait_s`."""
        yield

    def version(self) -> int:
        """The number of the last transaction; it grows with every change."""
        ...

    def size_bytes(self) -> int | None:
        """Bytes that the collection takes where it is kept, indexes included; None where a service does not tell."""
        ...

    def drop(self) -> None:
        """Takes the whole collection away, with all that is kept of it anywhere, and closes it."""
        ...

    def close(self) -> None:
        """Gives connections and files back."""
        ...


def content_key(text: str) -> bytes:
    """What a text is known by in the embedding cache: 16 bytes of its BLAKE2b."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


FIXED_SETTINGS = ("embedding", "dimensions", "terms")
"""Settings that every vector and term of a collection depends on."""


def settle(store: VectorStore, **wanted: Any) -> None:
    """Gives a new collection its settings; refuses to open an old one with other fixed settings.

    Names of FIXED_SETTINGS must agree with what the collection was made with; others are written.
    """
    have = store.settings()
    for name in FIXED_SETTINGS:
        if name in have and name in wanted and have[name] != wanted[name]:
            raise CollectionMismatch(
                f"The collection was made with {name} {have[name]}, not {wanted[name]}",
                why="its vectors and terms cannot be compared with new ones",
                do=f"Use {name} {have[name]}, or make a new collection",
            )
    new = {name: value for name, value in wanted.items() if have.get(name) != value}
    if new:
        store.set_settings(new)


def check_replace(change: Replace, dimensions: int | None) -> Vectors:
    """The change's vectors as float32, or the reason why they cannot be stored."""
    embedded = sum(chunk.embed for chunk in change.chunks)
    vectors = np.ascontiguousarray(change.vectors, dtype=np.float32)
    if embedded == 0:
        return np.zeros((0, dimensions or 0), np.float32)
    if vectors.ndim != 2 or len(vectors) != embedded or len(change.terms) != embedded:
        raise UsageError(
            f"{change.document.path}: {embedded} chunks to embed, but vectors {vectors.shape} "
            f"and {len(change.terms)} texts of terms"
        )
    if change.keys and len(change.keys) != embedded:
        raise UsageError(f"{change.document.path}: {embedded} chunks to embed, but {len(change.keys)} keys")
    if change.windows and len(change.windows) != embedded:
        raise UsageError(f"{change.document.path}: {embedded} chunks to embed, but windows of {len(change.windows)}")
    if not np.isfinite(vectors).all():
        raise UsageError(f"{change.document.path}: a vector is not finite", do="Check the embedding model")
    check_dimensions(vectors.shape[1], dimensions)
    return vectors


def check_dimensions(given: int, dimensions: int | None) -> None:
    """Refuses a vector of another length than the collection's."""
    if dimensions is not None and given != dimensions:
        raise CollectionMismatch(
            f"The collection's vectors have {dimensions} dimensions, not {given}",
            why="it was made with another embedding model",
            do="Use the embedding that it was made with, or make a new collection",
        )
