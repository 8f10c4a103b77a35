"""How much each sign counts that a chunk answers a question: the signs, their weights, and fitting the weights.

Numbers only: knows no store, no text and no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Signs = NDArray[np.float64]
"""A row for each candidate, a column for each field of Weights."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each sign counts. The defaults are round numbers near what fits KoBEST's questions best.

    `dense`, `bm25_words`, `bm25_pairs` and `window` (the nearest of the chunk's windows) are for scores in standard
    deviations over the candidates; `covered_words` and `covered_pairs` for the share of the question's terms that the
    chunk has, rare ones counting more.
    """

    dense: float = 0.5
    bm25_words: float = 0.5
    bm25_pairs: float = 0.5
    covered_words: float = 8.0
    covered_pairs: float = 8.0
    window: float = 2.0

    def row(self) -> Signs:
        """The weights in the order of the columns."""
        return np.array([getattr(self, name) for name in SIGNS], dtype=np.float64)

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Weights:
        """The weights of a collection's settings; names that are not given keep their default."""
        return cls(**{name: float(values[name]) for name in SIGNS if name in values})


SIGNS = tuple(field.name for field in fields(Weights))
_EPSILON = 1e-9


def standardised(scores: Mapping[int, float], ids: Sequence[int]) -> Signs:
    """Scores in standard deviations from their mean, for the ids; one without a score gets the lowest."""
    if not scores:
        return np.zeros(len(ids))
    values = np.array(list(scores.values()))
    floor = values.min()
    row = np.array([scores.get(number, floor) for number in ids])
    return np.asarray((row - values.mean()) / (values.std() + _EPSILON))


def coverage(has: NDArray[np.bool_]) -> Signs:
    """Which share of the terms each bag has.

    A term counts by its inverse document frequency among the bags: what all candidates have tells none apart.
    """
    if not has.size:
        return np.zeros(len(has))
    frequency = has.sum(0)
    rarity = np.log1p((len(has) - frequency + 0.5) / (frequency + 0.5))
    return np.asarray(has @ rarity / rarity.sum())


def fit(examples: Sequence[tuple[Signs, int]], *, start: Weights | None = None, strength: float = 0.01) -> Weights:
    """The weights under which the right candidates are likeliest (softmax over each question's candidates).

    Args:
        examples: For each question its candidates' signs, and which row is right.
        start: Where to start, and what little data is held to.
        strength: How strongly it is held to it; divided by the number of examples times 100.
    """
    start = start or Weights()
    if not examples:
        return start
    prior = start.row()
    weights, pull = prior.copy(), strength * 100 / len(examples)
    mean, spread = np.zeros_like(prior), np.zeros_like(prior)
    for step in range(1, 401):  # Adam
        slope = pull * (weights - prior)
        for signs, right in examples:
            scores = signs @ weights
            share = np.exp(scores - scores.max())
            slope += (share @ signs / share.sum() - signs[right]) / len(examples)
        mean = 0.9 * mean + 0.1 * slope
        spread = 0.999 * spread + 0.001 * slope * slope
        weights -= 0.05 * (mean / (1 - 0.9**step)) / (np.sqrt(spread / (1 - 0.999**step)) + 1e-8)
    return Weights(**dict(zip(SIGNS, weights.round(4).tolist(), strict=True)))
