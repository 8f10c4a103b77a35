"""One immutable file of a mirror: the vectors (8 bit) and the inverted index of a range of chunks, memory-mapped.

Ranks its own rows; knows no database and no other segment.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numkong
import numpy as np
from numpy.typing import NDArray

from inhouse.docs.stores.terms import Bag

_MAGIC = b"INHSEG1\n"
_HEAD = struct.Struct("<8sII")
_K1, _B = 1.2, 0.75
_IMPACT_STEP = (_K1 + 1) / 65535
"""BM25's share of a term's frequency lies between 0 and k1 + 1; kept in 16 bits."""
_FEW = 0.1
"""Below this share of rows, the rows that a filter leaves are copied out before they are compared."""

_SAMPLED = 8
"""One in so many scores is looked at to find out which rows cannot be among the best."""

Mask = NDArray[np.bool_]


class DamagedSegment(Exception):
    """The file is not what was written; it is to be built again."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a segment is built from: one embedded chunk."""

    id: int
    document: int
    vector: NDArray[np.float32]
    bag: Bag


class Segment:
    """Rows in ascending order of chunk id. Never changes; which rows are still there is told to it."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.ids: NDArray[np.int64] = arrays["ids"]
        self.documents: NDArray[np.int64] = arrays["documents"]
        self.codes: NDArray[np.int8] = arrays["codes"]
        self.scales: NDArray[np.float32] = arrays["scales"]
        self.lengths: NDArray[np.int32] = arrays["lengths"]
        self._terms: NDArray[np.uint32] = arrays["terms"]
        self._starts: NDArray[np.int64] = arrays["starts"]
        self._rows: NDArray[np.int32] = arrays["rows"]
        self._impacts: NDArray[np.uint16] = arrays["impacts"]

    def __len__(self) -> int:
        return len(self.ids)

    def nearest(self, code: NDArray[np.int8], k: int, mask: Mask | None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Ids and scores of the k nearest rows by 8-bit product, in no order."""
        if mask is None:
            scores = self._products(code, self.codes, self.scales)
            best = best_of(scores, k)
            return self.ids[best], scores[best]
        rows = np.flatnonzero(mask)
        if len(rows) < _FEW * len(self):
            scores = self._products(code, np.ascontiguousarray(self.codes[rows]), self.scales[rows])
        else:
            scores = self._products(code, self.codes, self.scales)[rows]
        best = best_of(scores, k)
        return self.ids[rows[best]], scores[best]

    def _products(
        self, code: NDArray[np.int8], codes: NDArray[np.int8], scales: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        if not len(codes):
            return np.zeros(0)
        products: NDArray[np.float64] = np.asarray(numkong.cdist(code[None], codes, metric="dot")).ravel()
        return products * scales

    def frequencies(self, terms: NDArray[np.uint32]) -> NDArray[np.int64]:
        """In how many rows each term occurs."""
        if not len(self._terms):
            return np.zeros(len(terms), np.int64)
        there = np.minimum(np.searchsorted(self._terms, terms), len(self._terms) - 1)
        return np.where(self._terms[there] == terms, self._starts[there + 1] - self._starts[there], 0)

    def holds(self, rows: NDArray[np.intp], terms: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Whether each of the rows has each of the terms: a row each, a column a term."""
        held = np.zeros((len(rows), len(terms)), bool)
        for column, (place, term) in enumerate(zip(np.searchsorted(self._terms, terms), terms, strict=True)):
            if place < len(self._terms) and self._terms[place] == term:
                mine = self._rows[self._starts[place] : self._starts[place + 1]]
                held[:, column] = mine[np.minimum(np.searchsorted(mine, rows), len(mine) - 1)] == rows
        return held

    def bm25(
        self, terms: NDArray[np.uint32], idf: NDArray[np.float64], k: int, mask: Mask | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Ids and scores of the k best rows that have one of the terms, in no order."""
        scores = np.zeros(len(self), np.float32)
        for place, term, weight in zip(np.searchsorted(self._terms, terms), terms, idf, strict=True):
            if place < len(self._terms) and self._terms[place] == term:
                span = slice(self._starts[place], self._starts[place + 1])
                scores[self._rows[span]] += self._impacts[span] * np.float32(weight * _IMPACT_STEP)
        if mask is not None:
            scores *= mask
        best = best_of(scores, k)
        best = best[scores[best] > 0]
        return self.ids[best], scores[best]


def best_of(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Where the k highest scores are, in no order; of scores that are equal and lowest, any."""
    if k >= len(scores):
        return np.arange(len(scores))
    if len(scores) > _SAMPLED * 4 * k:
        # The k-th best of some is no better than the k-th best of all: what is under it need not be partitioned.
        some = scores[::_SAMPLED]
        floor = np.partition(some, len(some) - k)[len(some) - k]
        rows = np.flatnonzero(scores > floor) if floor <= 0 else np.flatnonzero(scores >= floor)
        if k <= len(rows):
            return rows[np.argpartition(scores[rows], len(rows) - k)[len(rows) - k :]]
    return np.argpartition(scores, len(scores) - k)[len(scores) - k :]


def quantise(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Vectors in 8 bits, each with the scale that gives it back."""
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    scales = (np.where(largest > 0, largest, 1.0) / 127).astype(np.float32)
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def build(rows: Sequence[Row], average_length: float) -> dict[str, NDArray[Any]]:
    """The arrays of a segment; `average_length` is BM25's, over the collection."""
    codes, scales = quantise(np.stack([row.vector for row in rows]))
    lengths = np.array([row.bag.length for row in rows], np.int32)
    sizes = [len(row.bag.numbers) for row in rows]
    # One number a posting (term, row, count from the top), so that a plain sort brings them into order.
    packed = np.concatenate([row.bag.numbers for row in rows]).astype(np.uint64) << np.uint64(32)
    packed |= np.repeat(np.arange(len(rows), dtype=np.uint64), sizes) << np.uint64(8)
    packed |= np.concatenate([row.bag.counts for row in rows])
    packed.sort()
    numbers = (packed >> np.uint64(32)).astype(np.uint32)
    starts = np.flatnonzero(np.diff(numbers, prepend=np.uint32(0)) != 0)
    if len(numbers) and (not len(starts) or starts[0] != 0):
        starts = np.insert(starts, 0, 0)
    places = ((packed & np.uint64(0xFFFFFFFF)) >> np.uint64(8)).astype(np.int32)
    counts = (packed & np.uint64(0xFF)).astype(np.float32)
    norms = (_K1 * (1 - _B + _B * lengths / max(average_length, 1e-9))).astype(np.float32)
    impacts = counts * (_K1 + 1) / (counts + norms[places])
    return {
        "ids": np.array([row.id for row in rows], np.int64),
        "documents": np.array([row.document for row in rows], np.int64),
        "codes": codes,
        "scales": scales,
        "lengths": lengths,
        "terms": numbers[starts],
        "starts": np.append(starts, len(numbers)).astype(np.int64),
        "rows": places,
        "impacts": np.rint(impacts / _IMPACT_STEP).astype(np.uint16),
    }


def write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes a segment's file; it is whole on the disk before it has its name."""
    layout, at = [], 0
    for name, array in arrays.items():
        layout.append([name, array.dtype.str, list(array.shape), at, zlib.crc32(np.ascontiguousarray(array).data)])
        at += -(-array.nbytes // 64) * 64
    header = json.dumps({"size": at, "arrays": layout}).encode()
    header += b" " * (-(_HEAD.size + len(header)) % 64)
    unfinished = path.with_suffix(f".{os.getpid()}.new")
    with unfinished.open("wb") as out:
        out.write(_HEAD.pack(_MAGIC, len(header), zlib.crc32(header)) + header)
        for array in arrays.values():
            out.write(np.ascontiguousarray(array).data)
            out.write(bytes(-array.nbytes % 64))
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(path)


def read(path: Path, *, whole: bool = False) -> Segment:
    """Maps a segment's file; checks its header and size, and every byte where `whole`."""
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise DamagedSegment(path.name)
        magic, length, crc = _HEAD.unpack(head)
        header = file.read(length)
        if magic != _MAGIC or zlib.crc32(header) != crc:
            raise DamagedSegment(path.name)
        parsed = json.loads(header)
        base = _HEAD.size + length
        if os.fstat(file.fileno()).st_size != base + parsed["size"]:
            raise DamagedSegment(path.name)
        data = np.memmap(file, np.uint8, mode="r") if parsed["size"] else np.zeros(base, np.uint8)
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype, shape, at, array_crc in parsed["arrays"]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        part = np.asarray(data)[base + at : base + at + size]
        if whole and zlib.crc32(part.data) != array_crc:
            raise DamagedSegment(path.name)
        arrays[name] = part.view(dtype).reshape(shape)
    return Segment(arrays)
