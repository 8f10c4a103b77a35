"""Fits the classifier's two heads to windows of examples; knows nothing of files or figures."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from examples import Example
from numpy.typing import NDArray

from inhouse.gateway.guard.injection_model import (
    FEW_SIGNALS,
    SOURCES,
    Features,
    Weights,
    features,
    widths,
    window_scores,
)
from inhouse.gateway.guard.lexicon import SIGNALS
from inhouse.gateway.guard.ngrams import BITS
from inhouse.gateway.guard.normalise import fold, plain

_FIRST_EPOCHS = 5
_LATER_EPOCHS = 3  # of each round that adds hard windows; goes on from where the last one ended
_BATCH = 768
_RATE = 0.35
_DECAY = 2e-6
_KEPT = 0.6  # of a window's features in a step: no single word may decide
_HARDEST = 4  # windows added of each harmless text in a later round
_WINDOWS_EACH = 8  # windows taken of a harmless text in a round


@dataclass(frozen=True, slots=True)
class Read:
    """An example and its features; `first` and `last` are the sentences of its injection (last exclusive)."""

    example: Example
    features: Features
    first: int
    last: int


def read(example: Example) -> Read:
    """Cuts the example into sentences and finds those of its injection."""
    found = features(fold(example.text))
    reading = plain(example.text)
    start, end = reading.position(example.start), reading.position(example.end)
    inside = (
        [index for index, (a, b) in enumerate(found.spans) if a < end and start < b]
        if example.end > example.start
        else []
    )
    return Read(example, found, inside[0] if inside else 0, inside[-1] + 1 if inside else 0)


@dataclass(frozen=True, slots=True)
class _Window:
    grams: NDArray[np.int32]
    signals: NDArray[np.int32]
    labels: tuple[float, float]  # -1: not said
    weight: float


def fit(reads: Sequence[Read], seed: int, *, rounds: int = 5) -> Weights:
    """Fits on windows of the examples; each further round adds the harmless windows that scored worst."""
    dice = random.Random(seed)
    data = [window for item in reads for window in _windows(item, dice)]
    descent = _Descent(seed)
    weights = descent.run(data, _FIRST_EPOCHS)
    for _ in range(rounds - 1):
        data += [window for item in reads for window in _hardest(item, weights)]
        weights = descent.run(data, _LATER_EPOCHS)
    return weights


def _label(value: bool | None) -> float:
    return -1.0 if value is None else float(value)


def _windows(item: Read, dice: random.Random) -> list[_Window]:
    labels = (_label(item.example.user), _label(item.example.document))
    count = len(item.features.spans)
    if item.last > item.first:
        # The injection with what stands about it; a part of a long one is an injection too.
        chosen = {(item.first, item.last)}
        for _ in range(2):
            chosen.add((max(0, item.first - dice.randrange(2)), min(count, item.last + dice.randrange(2))))
        if item.last - item.first > 3:
            begin = dice.randrange(item.first, item.last - 2)
            chosen.add((begin, begin + 3))
        return [_Window(*_slice(item, *span), labels, 1.0) for span in sorted(chosen)]
    spans = [(first, first + width) for width in widths(count) for first in range(count - width + 1)]
    dice.shuffle(spans)
    return [_Window(*_slice(item, *span), labels, 1.0) for span in spans[:_WINDOWS_EACH]]


def _hardest(item: Read, weights: Weights) -> list[_Window]:
    if item.last > item.first:
        return []
    labels = (_label(item.example.user), _label(item.example.document))
    found = []
    for head in range(len(SOURCES)):
        if labels[head] != 0.0:
            continue
        one = (0.0, -1.0) if head == 0 else (-1.0, 0.0)
        taken: list[tuple[int, int]] = []
        for score, first, last in sorted(window_scores(item.features, weights, head), reverse=True):
            if score < -2.0 or len(taken) == _HARDEST:
                break
            if all(last <= other_first or other_last <= first for other_first, other_last in taken):
                taken.append((first, last))
        found += [_Window(*_slice(item, *span), one, 2.0) for span in taken]
    return found


def _slice(item: Read, first: int, last: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    read = item.features
    return (
        read.grams[read.gram_starts[first] : read.gram_starts[last]],
        read.signals[read.signal_starts[first] : read.signal_starts[last]],
    )


class _Part:
    """The weights of one kind of feature, moved by AdaGrad."""

    def __init__(self, size: int, least: float) -> None:
        self.table = np.zeros((len(SOURCES), size))
        self._squares = np.full((len(SOURCES), size), 1e-4)
        self._least = least

    def take(self, buckets: Sequence[NDArray[np.int32]], dice: np.random.Generator) -> None:
        """The next batch's buckets, one array a window; some of each are left out."""
        buckets = [mine[dice.random(len(mine)) < _KEPT] for mine in buckets]
        self._lengths = np.array([len(mine) for mine in buckets])
        self._buckets = np.concatenate(buckets)
        self._window = np.repeat(np.arange(len(buckets)), self._lengths)
        self._scale = 1 / np.sqrt(np.maximum(self._lengths, self._least))

    def scores(self, head: int) -> NDArray[np.float64]:
        values = self.table[head][self._buckets]
        sums: NDArray[np.float64] = (
            np.bincount(self._window, weights=values, minlength=len(self._lengths)) * self._scale
        )
        return sums

    def move(self, head: int, error: NDArray[np.float64], rate: float) -> None:
        pull = np.repeat(error * self._scale, self._lengths)
        slope = np.bincount(self._buckets, weights=pull, minlength=self.table.shape[1]) / len(error)
        slope += _DECAY * self.table[head]
        self._squares[head] += slope * slope
        self.table[head] -= rate * slope / np.sqrt(self._squares[head])


class _Descent:
    """AdaGrad over mini-batches, the classes of a head weighing the same; goes on from run to run."""

    def __init__(self, seed: int) -> None:
        self._parts = {"grams": _Part(1 << BITS, 1.0), "signals": _Part(SIGNALS, FEW_SIGNALS)}
        self._bias = np.zeros(len(SOURCES))
        self._order = np.random.default_rng(seed)
        self._steps = 0

    def run(self, data: Sequence[_Window], epochs: int) -> Weights:
        """So many passes over the windows."""
        data = [window for window in data if len(window.grams)]
        labels = np.array([window.labels for window in data])
        balance = _balance(labels, np.array([window.weight for window in data]))
        for _ in range(epochs):
            self._steps += 1
            rate = _RATE / math.sqrt(self._steps)
            shuffled = self._order.permutation(len(data))
            for begin in range(0, len(data), _BATCH):
                batch = shuffled[begin : begin + _BATCH]
                for name, part in self._parts.items():
                    part.take([getattr(data[i], name) for i in batch], self._order)
                for head in range(len(SOURCES)):
                    self._step(head, labels[batch, head], balance[batch, head], rate)
        tables = {name: part.table.astype(np.float32) for name, part in self._parts.items()}
        return Weights(tables["grams"], tables["signals"], self._bias.astype(np.float32), (0.5, 0.5))

    def _step(self, head: int, labels: NDArray[np.float64], balance: NDArray[np.float64], rate: float) -> None:
        scores = np.full(len(labels), self._bias[head])
        for part in self._parts.values():
            scores += part.scores(head)
        error = (1 / (1 + np.exp(-scores)) - labels) * balance
        for part in self._parts.values():
            part.move(head, error, rate)
        self._bias[head] -= 0.1 * rate * error.mean()


def _balance(labels: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights under which attacks and harmless windows of a head count the same in all; 0 where nothing is said."""
    balance = np.zeros_like(labels)
    for head in range(labels.shape[1]):
        for value in (0.0, 1.0):
            mine = labels[:, head] == value
            if mine.any():
                balance[mine, head] = given[mine] * (len(labels) / 2) / given[mine].sum()
    return balance
