"""Moves a collection from one store to another, document by document, and proves that both hold the same.

Can be run again after it was cut off: documents that the target has already, equal byte for byte, stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import orjson

from inhouse.core.errors import StoreError, UsageError
from inhouse.docs.records import Chunk, Document
from inhouse.docs.stores.base import Counts, Replace, VectorStore, settle


@dataclass(frozen=True, slots=True)
class MigrateProgress:
    """How far it is: `phase` is copy or verify."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Migration:
    """What was done; `checksum` is over all that both stores hold (vectors in half precision)."""

    counts: Counts
    copied: int
    kept: int
    checksum: str


def migrate(
    source: VectorStore, target: VectorStore, on_progress: Callable[[MigrateProgress], None] = lambda _: None
) -> Migration:
    """Copies every document of the source, then compares the two; the target may hold nothing else.

    Raises StoreError where they differ in the end, or the source was changed meanwhile.
    """
    version = source.version()
    documents = source.documents()
    others = {document.id for document in target.documents()} - {document.id for document in documents}
    if others:
        raise UsageError(
            f"The target holds {len(others)} documents that the source does not",
            do="Migrate into a new collection, or remove them first",
        )
    settle(target, **source.settings())
    copied = 0
    for done, document in enumerate(documents):
        on_progress(MigrateProgress("copy", done, len(documents)))
        there = target.document(document.id)
        if there is None or fingerprint(target, there) != fingerprint(source, document):
            target.apply([copied_from(source, document)])
            copied += 1
    whole = hashlib.blake2b(digest_size=16)
    for done, document in enumerate(documents):
        on_progress(MigrateProgress("verify", done, len(documents)))
        there = target.document(document.id)
        expected = fingerprint(source, document)
        if source.version() != version:
            raise StoreError("The source was changed while it was copied", do="Run it again: it copies what changed")
        if there is None or fingerprint(target, there) != expected:
            raise StoreError(f"{document.path} is not the same in the target", do="Run it again, or use a new target")
        whole.update(expected)
    counts = source.count()
    if target.count() != counts:
        raise StoreError(f"The source holds {counts}, the target {target.count()}", do="Use a new target")
    target.prepare()
    return Migration(counts, copied, len(documents) - copied, whole.hexdigest())


def fingerprint(store: VectorStore, document: Document) -> bytes:
    """A hash of all that the store has of a document; the same in every store that holds the same."""
    stored = store.chunks_of(document.id)
    ids = [row.id for row in stored if row.chunk.embed]
    digest = hashlib.blake2b(digest_size=16)
    record = asdict(document) | {"tags": sorted(document.tags)}
    # Not every database takes a NUL in a text.
    digest.update(orjson.dumps([record, [row.chunk for row in stored]]).replace(b"\\u0000", b""))
    if ids:
        digest.update(store.vectors(ids).astype(np.float16).tobytes())
        for bag, key, windows in zip(store.terms(ids), store.keys(ids), store.windows(ids), strict=True):
            digest.update(bag.numbers.tobytes() + bag.counts.tobytes() + key + windows.to_bytes())
    return digest.digest()


def copied_from(source: VectorStore, document: Document) -> Replace:
    """The change that puts the source's document, whole, into another store."""
    stored = source.chunks_of(document.id)
    ids = [row.id for row in stored if row.chunk.embed]
    chunks: list[Chunk] = [row.chunk for row in stored]
    return Replace(document, chunks, source.vectors(ids), source.terms(ids), source.keys(ids), source.windows(ids))
