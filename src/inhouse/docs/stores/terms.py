"""Bags of terms: how a chunk's terms are stored and compared, as 32-bit numbers with counts.

A term's number is its hash, so that no vocabulary is kept and nothing of a deleted document stays behind.
Among a million different terms, one in 4,000 shares its number with another; BM25 does not notice.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_LARGEST_COUNT = 255


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """The terms of one chunk: their numbers, ascending, and how often each occurs (255 at most)."""

    numbers: NDArray[np.uint32]
    counts: NDArray[np.uint8]

    def to_bytes(self) -> bytes:
        """The bag as stores keep it: numbers, then counts, compressed."""
        return zlib.compress(self.numbers.tobytes() + self.counts.tobytes(), 1)

    @property
    def length(self) -> int:
        """Terms with repetition: BM25's length of a document."""
        return int(self.counts.sum(dtype=np.int64))


@lru_cache(maxsize=30_000)  # 14 MB when full; a miss costs a microsecond
def term_number(term: str) -> int:
    """The 32-bit number of a term."""
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "little")


def bag_of(terms: str | Bag) -> Bag:
    """The bag of space-joined terms; a bag stays as it is."""
    if isinstance(terms, Bag):
        return terms
    counted = Counter(map(term_number, terms.split()))
    numbers = np.fromiter(counted.keys(), np.uint32, len(counted))
    counts = np.minimum(np.fromiter(counted.values(), np.int64, len(counted)), _LARGEST_COUNT).astype(np.uint8)
    order = np.argsort(numbers)
    return Bag(numbers[order], counts[order])


def bag_from(data: bytes) -> Bag:
    """The bag that `to_bytes` wrote."""
    raw = zlib.decompress(data)
    size = len(raw) // 5
    return Bag(np.frombuffer(raw, np.uint32, size), np.frombuffer(raw, np.uint8, size, 4 * size))


def has_terms(terms: Sequence[str], bags: Sequence[Bag]) -> NDArray[np.bool_]:
    """Whether each bag has each of the terms: a row a bag, a column a term."""
    if not terms or not bags:
        return np.zeros((len(bags), len(terms)), bool)
    numbers = np.array([term_number(term) for term in terms], np.uint64)
    # All bags as one ascending row of (bag, term), so that a single search looks everything up.
    of_bag = np.arange(len(bags), dtype=np.uint64) << np.uint64(32)
    held = np.concatenate([bag.numbers for bag in bags]) | np.repeat(of_bag, [len(bag.numbers) for bag in bags])
    wanted = of_bag[:, None] | numbers
    if not len(held):
        return np.zeros(wanted.shape, bool)
    return np.asarray(held[np.minimum(np.searchsorted(held, wanted), len(held) - 1)] == wanted)
