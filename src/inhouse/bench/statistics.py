"""Percentiles and their bootstrap intervals, vectorised and seeded. Knows arrays only, nothing of requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap resamples behind an interval; the ends of a 95 % interval then rest on 50 of them each."""

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_NEEDED = {"p50": 1, "p90": 10, "p95": 20, "p99": 100}
_NEEDED_FOR_INTERVAL = 5
_CHUNK = 2_000_000  # numbers held at once while resampling: 16 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval (None where there are too few values for one) and the values' number."""

    value: float
    low: float | None
    high: float | None
    n: int


def supported(stat: str, n: int) -> bool:
    """Whether n values can carry that percentile: the p99 of 20 requests is just their slowest one."""
    return n >= _NEEDED.get(stat, 1)


def quantile(values: Floats, q: float, rng: np.random.Generator) -> Estimate:
    """A quantile of independent values, with its percentile-bootstrap interval."""
    return _estimate(float(np.quantile(values, q)), quantile_draws(values, q, rng), len(values))


def quantile_draws(values: Floats, q: float, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """The quantile in each of `resamples` bootstrap resamples.

    No resample is drawn: the k-th smallest of n uniform draws is Beta(k, n − k + 1) distributed, so the k-th
    smallest of n values drawn with replacement is the value at that place of the sorted ones. The same
    distribution as by drawing, for any n at the same cost. (Here k is the nearest rank, ⌈q·n⌉.)
    """
    ordered = np.sort(values)
    n = len(ordered)
    k = max(1, int(np.ceil(q * n)))
    places = np.floor(rng.beta(k, n - k + 1, size=resamples) * n).astype(np.int64)
    return ordered[np.minimum(places, n - 1)]


def mean(values: Floats, rng: np.random.Generator) -> Estimate:
    """The mean of independent values, with its percentile-bootstrap interval."""
    return ratio_of_sums(values, np.ones_like(values), rng)


def ratio_of_sums(upper: Floats, lower: Floats, rng: np.random.Generator) -> Estimate:
    """Σ upper ÷ Σ lower over requests, resampled by request (tokens over seconds is a rate)."""
    return _estimate(float(upper.sum() / lower.sum()), ratio_draws(upper, lower, rng), len(upper))


def ratio_draws(upper: Floats, lower: Floats, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Σ upper ÷ Σ lower in each bootstrap resample of the requests."""
    n = len(upper)
    draws = np.empty(resamples)
    step = max(1, _CHUNK // n)
    for start in range(0, resamples, step):
        rows = rng.integers(0, n, size=(min(step, resamples - start), n))
        draws[start : start + step] = upper[rows].sum(axis=1) / lower[rows].sum(axis=1)
    return draws


class Clustered:
    """Values that come in clusters (the token gaps of each request), whose quantiles are bootstrapped by
    cluster: gaps of one request are alike, and taking them for independent would make intervals far too narrow.

    Values are counted in bins of equal weight (a bin a value up to `bins` values), so that one matrix product
    of resampled cluster counts and the clusters' histograms gives every resample at once.
    """

    def __init__(self, clusters: list[Floats], bins: int = 2000) -> None:
        self.clusters = len(clusters)
        self.values = np.sort(np.concatenate(clusters))
        edges = np.unique(self.values[np.linspace(0, len(self.values) - 1, bins).astype(np.int64)])
        self._tops = edges
        self._counts = np.stack(
            [np.bincount(np.searchsorted(edges, cluster), minlength=len(edges)) for cluster in clusters]
        ).astype(np.float32)

    def quantile(self, q: float, rng: np.random.Generator) -> Estimate:
        """The pooled values' quantile; `n` is their number."""
        found = _estimate(float(np.quantile(self.values, q)), self.quantile_draws(q, rng), self.clusters)
        return Estimate(found.value, found.low, found.high, len(self.values))

    def quantile_draws(self, q: float, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
        """The pooled quantile in each bootstrap resample of the clusters."""
        k = self.clusters
        weights = rng.multinomial(k, np.full(k, 1 / k), size=resamples).astype(np.float32)
        below = np.cumsum(weights @ self._counts, axis=1)
        places = (below < q * below[:, -1:]).sum(axis=1)
        found: Floats = self._tops[np.minimum(places, len(self._tops) - 1)]
        return found


def _estimate(value: float, draws: Floats, independent: int) -> Estimate:
    if independent < _NEEDED_FOR_INTERVAL:
        return Estimate(value, None, None, independent)
    low, high = np.quantile(draws, (0.025, 0.975))
    # Nearest ranks and the interpolated estimate may differ by one value where there are few.
    return Estimate(value, min(float(low), value), max(float(high), value), independent)


def two_sided_p(draws: Floats, null: float = 1.0) -> float:
    """The bootstrap's p value that the true figure is `null`: twice the smaller tail, never zero."""
    below = float((draws <= null).sum()) + 1
    above = float((draws >= null).sum()) + 1
    return min(1.0, 2 * min(below, above) / (len(draws) + 1))


def holm(p_values: list[float], level: float = 0.05) -> list[bool]:
    """Which hypotheses fall at that level over all of them together (Holm's step-down correction)."""
    fallen = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] > level / (len(p_values) - rank):
            break
        fallen[index] = True
    return fallen
