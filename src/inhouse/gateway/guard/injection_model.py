"""The injection classifier: two logistic regressions over hashed n-grams, scored on sliding windows of sentences.

Since a window's score is a sum over its n-grams divided by the square root of their number, running sums give
every window of a long document at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inhouse.gateway.guard.lexicon import signals
from inhouse.gateway.guard.ngrams import grams, letters, sentences

Source = Literal["user", "document"]
SOURCES: tuple[Source, ...] = ("user", "document")
WIDTHS = (1, 2, 3)
# The best of many windows is high by chance: a long text must show more. Log-odds for each doubling over so many
# sentences.
_LENGTH_PENALTY = 0.3
_FREE_SENTENCES = 8
FEW_SIGNALS = 8.0  # a window with fewer signals counts as if it had so many
_SHORT = 6  # a text of so few sentences is also read as a whole


@dataclass(frozen=True, slots=True)
class Features:
    """What the classifier sees of a text: buckets of n-grams and of kinds of words, by sentence.

    `grams[gram_starts[i] : gram_starts[i + 1]]` belong to sentence i, which is `spans[i]` of the folded text.
    """

    spans: tuple[tuple[int, int], ...]
    grams: NDArray[np.int32]
    gram_starts: NDArray[np.int64]
    signals: NDArray[np.int32]
    signal_starts: NDArray[np.int64]


def features(folded: str) -> Features:
    """Reads a folded text (see normalise.fold). Linear in its length."""
    spans = sentences(folded)
    if not spans:
        nothing, start = np.zeros(0, np.int32), np.zeros(1, np.int64)
        return Features((), nothing, start, nothing, start)
    read = letters(folded, spans)
    return Features(spans, *grams(read, len(spans)), *signals(folded, spans, read))


@dataclass(frozen=True, slots=True)
class Weights:
    """`grams[head, bucket]`, `signals[head, bucket]` and `bias[head]`, a head for each of SOURCES; the thresholds
    (probabilities) they were shipped with.
    """

    grams: NDArray[np.float32]
    signals: NDArray[np.float32]
    bias: NDArray[np.float32]
    thresholds: tuple[float, float]


def load_weights() -> Weights:
    """The weights in the package."""
    data = (files("inhouse.gateway.guard") / "injection.npz").read_bytes()
    with np.load(BytesIO(data), allow_pickle=False) as kept:
        return Weights(
            grams=kept["grams"].astype(np.float32) * kept["step"][:, None],
            signals=kept["signals"].astype(np.float32),
            bias=kept["bias"].astype(np.float32),
            thresholds=(float(kept["thresholds"][0]), float(kept["thresholds"][1])),
        )


def save_weights(weights: Weights) -> bytes:
    """As `load_weights` reads them: a byte a weight of an n-gram, in steps of the head's greatest; most are zero."""
    step = np.abs(weights.grams).max(axis=1) / 127
    out = BytesIO()
    np.savez_compressed(
        out,
        grams=np.round(weights.grams / step[:, None]).astype(np.int8),
        step=step.astype(np.float32),
        signals=weights.signals.astype(np.float16),
        bias=weights.bias,
        thresholds=np.array(weights.thresholds, np.float32),
    )
    return out.getvalue()


def widths(count: int) -> tuple[int, ...]:
    """How many sentences the windows over a text of `count` sentences hold."""
    whole = (count,) if max(WIDTHS) < count <= _SHORT else ()
    return tuple(width for width in (*WIDTHS, *whole) if width <= count)


def best_window(read: Features, weights: Weights, head: int) -> tuple[float, int, int]:
    """The highest score (log-odds) of any window, and the window's first and last-plus-one sentence."""
    best = (-20.0, 0, 0)
    for width, scores in _scores(read, weights, head):
        first = int(scores.argmax())
        if scores[first] > best[0]:
            best = (float(scores[first]), first, first + width)
    return best


def length_penalty(sentences: int) -> float:
    """What is taken off the best window's log-odds in a text of so many sentences."""
    return _LENGTH_PENALTY * math.log2(max(1.0, sentences / _FREE_SENTENCES))


def window_scores(read: Features, weights: Weights, head: int) -> list[tuple[float, int, int]]:
    """The score (log-odds) of every window, with its first and last-plus-one sentence."""
    return [
        (float(score), first, first + width)
        for width, scores in _scores(read, weights, head)
        for first, score in enumerate(scores)
    ]


def _scores(read: Features, weights: Weights, head: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    parts = (
        (_running(weights.grams[head][read.grams], read.gram_starts), read.gram_starts, 1.0),
        (_running(weights.signals[head][read.signals], read.signal_starts), read.signal_starts, FEW_SIGNALS),
    )
    for width in widths(len(read.spans)):
        scores = np.full(len(read.spans) - width + 1, float(weights.bias[head]))
        for sums, starts, least in parts:
            length = (starts[width:] - starts[:-width]).astype(np.float64)
            scores += (sums[width:] - sums[:-width]) / np.sqrt(np.maximum(length, least))
        yield width, scores


def _running(values: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sum of the values before each start."""
    sums: NDArray[np.float64] = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))[starts]
    return sums
