"""Makes collections of any size to measure stores with: clustered vectors, and terms as unequal as a language's.

Each chunk has 190 term occurrences (a Korean chunk of 250 characters, as letter pairs) out of a million terms by
Zipf's law, 70 of which are words too, and three windows; a question has 18 terms, half out of one chunk and half by
the law, so common ones are among them, each asked for as a word and as a pair.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inhouse.docs.records import Chunk, Document
from inhouse.docs.stores.base import Replace, content_key
from inhouse.docs.stores.windows import windows_of
from inhouse.docs.terms import PAIR, How

HOW: How = "words+bigrams"
"""The kinds of terms: a number is a word of its own in both."""
DIMENSIONS = 384
EACH = 100
"""Chunks of a document."""
_TERMS, _IN_CHUNK, _WORDS_IN_CHUNK, _IN_QUESTION = 1_000_000, 190, 70, 18
_WINDOWS, _APART = 3, 0.5
"""A chunk's windows, and how far they lie around its own vector, which is their mean."""
_CLUSTERS = 500
_SHARED = 1.5
"""How much all vectors have in common, as embeddings of one language do."""


def _zipf(random: np.random.Generator, size: int) -> NDArray[np.int64]:
    # Inverse of the cumulative harmonic series, which is close to a logarithm.
    terms: NDArray[np.int64] = np.minimum(np.exp(random.random(size) * np.log(_TERMS)), _TERMS - 1).astype(np.int64)
    return terms


def _vectors(random: np.random.Generator, rows: int) -> NDArray[np.float32]:
    fixed = np.random.default_rng(7)
    shared = fixed.standard_normal(DIMENSIONS).astype(np.float32)
    centres = fixed.standard_normal((_CLUSTERS, DIMENSIONS)).astype(np.float32)
    vectors = random.standard_normal((rows, DIMENSIONS), dtype=np.float32)
    vectors += centres[random.integers(0, _CLUSTERS, rows)] + _SHARED * shared
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def documents(chunks: int) -> Iterator[Replace]:
    """So many chunks, in documents of EACH."""
    for number in range(chunks // EACH):
        random = np.random.default_rng(number)
        terms = _zipf(random, EACH * _IN_CHUNK).reshape(EACH, _IN_CHUNK)
        texts = [" ".join(map(str, row)) for row in terms.tolist()]
        found_by = [
            " ".join([*map(str, row[:_WORDS_IN_CHUNK]), *(f"{PAIR}{term}" for term in row)]) for row in terms.tolist()
        ]
        record = Document(
            f"d{number}", "made", f"{number % 10}/{number}.txt", f"Document {number}", f"{number:064x}", "text/plain",
            100_000, None, frozenset({f"team{number % 4}"}), 0.0, (),
        )  # fmt: skip
        rows = [Chunk(text[:500], ("Section",), 1, None, order, 120) for order, text in enumerate(texts)]
        vectors = _vectors(random, EACH)
        keys = [content_key(text) for text in texts]
        windows = [windows_of(own) for own in _around(random, vectors)]
        yield Replace(record, rows, vectors, found_by, keys, windows)


def _around(random: np.random.Generator, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each vector's windows: around it, at equal distances."""
    apart = random.standard_normal((len(vectors), _WINDOWS, DIMENSIONS), dtype=np.float32) * _APART / DIMENSIONS**0.5
    windows = vectors[:, None] + apart - apart.mean(axis=1, keepdims=True)
    unit: NDArray[np.float32] = windows / np.linalg.norm(windows, axis=2, keepdims=True)
    return unit


def questions(chunks: int, count: int) -> Iterator[tuple[NDArray[np.float32], str]]:
    """Questions' vectors and texts, whose words are their terms."""
    random = np.random.default_rng(1_000_003)
    for vector in _vectors(random, count):
        number = int(random.integers(chunks // EACH))
        source = np.random.default_rng(number)
        row = _zipf(source, EACH * _IN_CHUNK).reshape(EACH, _IN_CHUNK)[int(random.integers(EACH))]
        half = _IN_QUESTION // 2
        terms = [*random.choice(row, half, replace=False).tolist(), *_zipf(random, half).tolist()]
        yield vector, " ".join(map(str, terms))
