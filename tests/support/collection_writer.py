"""Writes into a collection from a process of its own: documents whose every chunk says which revision it is of.

python collection_writer.py URL DATA_DIR PREFIX DOCUMENTS REVISIONS: each revision replaces each document.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from inhouse.docs.records import Chunk, Document
from inhouse.docs.stores.base import Replace, Vectors

DIMENSIONS = 16


def unit(seed: int, rows: int, dimensions: int = DIMENSIONS) -> Vectors:
    """Rows of unit length, always the same for a seed."""
    vectors = np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def document(name: str, *, tags: frozenset[str] = frozenset(), path: str = "", media: str = "text/plain") -> Document:
    """A document of that id."""
    return Document(name, "test", path or f"{name}.txt", f"Title of {name}", "0" * 64, media, 1, None, tags, 1.5, ())


def revision(name: str, number: int, chunks: int = 4) -> Replace:
    """The change that makes a document consist of chunks of that revision."""
    texts = [f"{name} chunk{order} revision{number}" for order in range(chunks)]
    return Replace(
        document(name),
        [Chunk(text, ("Heading",), 1, None, order, 3) for order, text in enumerate(texts)],
        unit(number, chunks),
        texts,
    )


def main() -> None:
    """Writes, and says after each revision that it is in."""
    from inhouse.docs.stores.open import open_store

    url, data_dir, prefix, documents, revisions = sys.argv[1:]
    store = open_store(url, "shared", data_dir=Path(data_dir))
    for number in range(int(revisions)):
        for index in range(int(documents)):
            store.apply([revision(f"{prefix}{index}", number, chunks=2 + (number + index) % 4)])
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
    store.close()


if __name__ == "__main__":
    main()
