"""The windows of one chunk: vectors of its parts, in 8 bits, which tell more than the chunk's own what it is near to.

Kept beside the chunk and asked for the best candidates of a search only; no index is made of them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inhouse.docs.stores.segment import quantise

_HEAD = struct.Struct("<H")


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """A row of `codes` for each window; its vector is the row times its entry of `scales`."""

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.codes)

    def to_bytes(self) -> bytes:
        """The windows as stores keep them: their number, scales, codes; nothing for none."""
        return b"" if not len(self) else _HEAD.pack(len(self)) + self.scales.tobytes() + self.codes.tobytes()


NONE = Windows(np.zeros((0, 0), np.int8), np.zeros(0, np.float32))
"""A chunk that is one window, or was embedded as a whole."""


def nearness(windows: Sequence[Windows], question: NDArray[np.float32]) -> list[float | None]:
    """For each chunk's windows the cosine of the one that is nearest to the question's vector; None without any."""
    sizes = [len(one) for one in windows]
    if not any(sizes):
        return [None] * len(windows)
    full = [one for one in windows if len(one)]
    # One product for all: a chunk's windows are few, and a product of few rows is mostly overhead.
    cosines = np.concatenate([one.codes for one in full]).astype(np.float32) @ question
    cosines *= np.concatenate([one.scales for one in full])
    starts = np.cumsum([0, *(len(one) for one in full[:-1])])
    best = iter(np.maximum.reduceat(cosines, starts).tolist())
    return [next(best) if size else None for size in sizes]


def windows_of(vectors: NDArray[np.float32]) -> Windows:
    """The windows with these vectors, a row each."""
    return Windows(*quantise(np.asarray(vectors, np.float32))) if len(vectors) else NONE


def windows_from(data: bytes | None) -> Windows:
    """The windows that `to_bytes` wrote; none for nothing."""
    if not data:
        return NONE
    (count,) = _HEAD.unpack_from(data)
    scales = np.frombuffer(data, np.float32, count, _HEAD.size)
    codes = np.frombuffer(data, np.int8, offset=_HEAD.size + 4 * count)
    return Windows(codes.reshape(count, -1), scales)
