"""How well verdicts agree, and how well a figure tells right from wrong: kappa, AUROC, ECE. Knows arrays only."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from inhouse.bench.statistics import RESAMPLES, Estimate
from inhouse.quality.statistics import Floats

__all__ = ["agreement", "agreement_of_all", "auroc", "bootstrapped", "cohen_kappa", "ece", "fleiss_kappa"]

_NEEDED = 8  # items under which a bootstrap interval says nothing


def agreement(a: Sequence[Hashable], b: Sequence[Hashable], rng: np.random.Generator) -> Estimate:
    """The share of items on which two raters say the same."""
    same = np.array([float(one == other) for one, other in zip(a, b, strict=True)])
    return bootstrapped(lambda rows: float(same[rows].mean()), len(same), rng)


def agreement_of_all(ratings: Sequence[Sequence[Hashable]], rng: np.random.Generator) -> Estimate:
    """The share of items on which all of their raters say the same."""
    same = np.array([float(len(set(one)) == 1) for one in ratings])
    return bootstrapped(lambda rows: float(same[rows].mean()), len(same), rng)


def cohen_kappa(a: Sequence[Hashable], b: Sequence[Hashable], rng: np.random.Generator) -> Estimate:
    """Cohen's κ of two raters over the same items: agreement beyond what their own habits would give by chance.

    1 where both always say the same one thing: nothing disagrees, though nothing is shown either.
    """
    codes = {label: code for code, label in enumerate(dict.fromkeys([*a, *b]))}
    left = np.array([codes[one] for one in a])
    right = np.array([codes[one] for one in b])
    k = len(codes)

    def kappa(rows: np.ndarray) -> float:
        table = np.bincount(left[rows] * k + right[rows], minlength=k * k).reshape(k, k) / len(rows)
        chance = float(table.sum(axis=1) @ table.sum(axis=0))
        observed = float(np.trace(table))
        return 1.0 if chance >= 1 else (observed - chance) / (1 - chance)

    return bootstrapped(kappa, len(left), rng)


def fleiss_kappa(ratings: Sequence[Sequence[Hashable]], rng: np.random.Generator) -> Estimate:
    """Fleiss' κ: each item's ratings by any raters, at least two; items may have different numbers of them."""
    labels = {label: code for code, label in enumerate(dict.fromkeys(one for row in ratings for one in row))}
    counts = np.zeros((len(ratings), len(labels)))
    for place, row in enumerate(ratings):
        for one in row:
            counts[place, labels[one]] += 1
    raters = counts.sum(axis=1)

    def kappa(rows: np.ndarray) -> float:
        part, n = counts[rows], raters[rows]
        observed = float((((part**2).sum(axis=1) - n) / (n * (n - 1))).mean())
        shares = part.sum(axis=0) / n.sum()
        chance = float((shares**2).sum())
        return 1.0 if chance >= 1 else (observed - chance) / (1 - chance)

    return bootstrapped(kappa, len(ratings), rng)


def auroc(
    scores: Sequence[float] | Floats,
    positive: Sequence[bool],
    rng: np.random.Generator,
    clusters: Sequence[Hashable] | None = None,
) -> Estimate:
    """The chance that a positive item scores over a negative one (ties count half): 0.5 tells nothing apart.

    The interval is bootstrapped by cluster. No interval, and 0.5, where there is one kind of item only.
    """
    values = np.asarray(scores, dtype=float)
    truth = np.asarray(positive, dtype=bool)
    if truth.all() or not truth.any():
        return Estimate(0.5, None, None, len(truth))

    def area(rows: np.ndarray) -> float:
        mine, kind = values[rows], truth[rows]
        up = int(kind.sum())
        if up in (0, len(kind)):
            return math.nan
        _, place, counts = np.unique(mine, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # ties share their mean rank
        return float((ranks[kind].sum() - up * (up + 1) / 2) / (up * (len(kind) - up)))

    return bootstrapped(area, len(values), rng, clusters)


def ece(
    confidence: Sequence[float] | Floats,
    right: Sequence[float] | Floats,
    rng: np.random.Generator,
    *,
    bins: int = 10,
    clusters: Sequence[Hashable] | None = None,
) -> Estimate:
    """Expected calibration error: |confidence − accuracy| over bins of equally many items, weighted by their number.

    Equal numbers instead of equal widths, since a model's confidence crowds at one end (Nixon et al. 2019). The
    plain estimate is biased upwards where bins are small, and the bootstrap's more so: its interval is shifted
    by the bootstrap's own bias.
    """
    sure, truth = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)

    def error(rows: np.ndarray) -> float:
        order = rows[np.argsort(sure[rows], kind="stable")]
        parts = np.array_split(order, min(bins, len(order)))
        return float(sum(abs(float(sure[part].sum() - truth[part].sum())) for part in parts) / len(order))

    found = bootstrapped(error, len(sure), rng, clusters, centred=True)
    return Estimate(found.value, None if found.low is None else max(0.0, found.low), found.high, found.n)


def bootstrapped(
    figure: Callable[[np.ndarray], float],
    n: int,
    rng: np.random.Generator,
    clusters: Sequence[Hashable] | None = None,
    *,
    centred: bool = False,
) -> Estimate:
    """The figure over all rows, with its percentile-bootstrap interval, rows drawn by cluster."""
    everything = np.arange(n)
    value = figure(everything)
    place: dict[Hashable, list[int]] = {}
    for row in range(n):
        place.setdefault(row if clusters is None else clusters[row], []).append(row)
    groups = [np.array(rows) for rows in place.values()]
    if len(groups) < _NEEDED:
        return Estimate(value, None, None, n)
    draws = np.empty(RESAMPLES)
    for at in range(RESAMPLES):
        chosen = rng.integers(0, len(groups), size=len(groups))
        draws[at] = figure(chosen if clusters is None else np.concatenate([groups[one] for one in chosen]))
    draws = draws[np.isfinite(draws)]
    if len(draws) < RESAMPLES / 2:
        return Estimate(value, None, None, n)
    low, high = np.quantile(draws, (0.025, 0.975))
    if centred:
        shift = float(draws.mean()) - value
        low, high = low - shift, high - shift
    return Estimate(value, min(float(low), value), max(float(high), value), n)
