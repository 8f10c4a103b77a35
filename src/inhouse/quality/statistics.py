"""What a score is worth: intervals that respect clusters, paired differences, power, corrections, early stopping.

Knows arrays only. Bootstrap comes from bench.statistics; agreement and detection have a module of their own.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval (None where one value, or one cluster, gives none).

    `n` values in `clusters` clusters; `se` is the standard error behind it, `method` how the interval was made.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    clusters: int
    se: float
    method: str


@dataclass(frozen=True, slots=True)
class Difference:
    """B − A on the same items, with its 95 % interval and the p value that there is none."""

    value: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    method: str

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def z_of(level: float = 0.95) -> float:
    """The normal quantile of a two-sided interval of that level."""
    return _NORMAL.inv_cdf(0.5 + level / 2)


def t_of(df: int, level: float = 0.95) -> float:
    """Student's quantile of a two-sided interval: Abramowitz & Stegun 26.7.5, within 1 % from 3 degrees on."""
    z = z_of(level)
    if df < 1:
        return math.inf
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / df**power for power, term in enumerate(terms, 1)))


def two_sided_p_of_t(t: float, df: int) -> float:
    """The two-sided p value of Student's t, by its normal approximation (Abramowitz & Stegun 26.7.8)."""
    if df < 1:
        return 1.0
    z = abs(t) * (1 - 1 / (4 * df)) / math.sqrt(1 + t * t / (2 * df))
    return 2 * (1 - _NORMAL.cdf(z))


def wilson(successes: float, n: float, level: float = 0.95, *, z: float | None = None) -> tuple[float, float]:
    """Wilson's score interval of a share; `n` may be an effective number, and no whole one."""
    z = z_of(level) if z is None else z
    if n <= 0 or not math.isfinite(z):
        return 0.0, 1.0
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def mean_interval(
    values: Sequence[float] | Floats, clusters: Sequence[Hashable] | None = None, level: float = 0.95
) -> Interval:
    """The mean of scores from 0 to 1, with the interval that suits them.

    Rights and wrongs get Wilson's interval; in clusters with the effective number of items, n over the design
    effect, and Student's quantile (Dean & Pagano 2015, "modified Wilson"). Scores between get Student's interval
    with the clustered standard error (Miller 2024, "Adding error bars to evals"), cut at 0 and 1.
    """
    array = np.asarray(values, dtype=float)
    n = len(array)
    if n == 0:
        return Interval(math.nan, None, None, 0, 0, math.nan, "no values")
    mean = float(array.mean())
    groups = len(by_cluster(array, clusters)[0])
    clustered = groups < n
    if n == 1 or groups == 1:
        return Interval(mean, None, None, n, groups, math.nan, "one value" if n == 1 else "one cluster")
    se = clustered_se(array, clusters)
    if bool(np.isin(array, (0.0, 1.0)).all()):
        if not clustered:
            return Interval(mean, *wilson(array.sum(), n, level), n, groups, se, "Wilson")
        # All right or all wrong says nothing of the spread: each cluster then counts as one item.
        effective = mean * (1 - mean) / se**2 if se > 0 else float(groups)
        effective = min(effective, float(n))
        low, high = wilson(mean * effective, effective, z=t_of(groups - 1, level))
        return Interval(mean, low, high, n, groups, se, "Wilson, clustered")
    half = t_of(groups - 1, level) * se
    method = "Student, clustered" if clustered else "Student"
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half), n, groups, se, method)


def clustered_se(values: Sequence[float] | Floats, clusters: Sequence[Hashable] | None = None) -> float:
    """The standard error of a mean whose values are alike within clusters: CR1, √(G/(G−1) · Σ_g (Σ_i r_gi)²) ÷ n.

    Without clusters each value is one, and this is the usual s ÷ √n.
    """
    array = np.asarray(values, dtype=float)
    residuals, _ = by_cluster(array - array.mean(), clusters)
    groups = len(residuals)
    if groups < 2:
        return math.nan
    return float(math.sqrt(groups / (groups - 1) * float((residuals**2).sum())) / len(array))


def by_cluster(values: Floats, clusters: Sequence[Hashable] | None = None) -> tuple[Floats, Floats]:
    """The sum and the number of the values of each cluster."""
    if clusters is None:
        return values, np.ones(len(values))
    place: dict[Hashable, int] = {}
    index = np.array([place.setdefault(one, len(place)) for one in clusters], dtype=np.int64)
    return np.bincount(index, weights=values).astype(float), np.bincount(index).astype(float)


def paired_difference(
    a: Sequence[float] | Floats,
    b: Sequence[float] | Floats,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Difference:
    """Mean of B − A over the same items. Pairing takes out what makes items hard for both.

    Rights and wrongs without clusters get the exact McNemar test and Agresti & Min's interval (2005: half an item
    added to each kind of pair); all else Student's with the clustered standard error of the differences.
    """
    left, right = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    difference = right - left
    n = len(difference)
    if n == 0:
        return Difference(math.nan, None, None, None, 0, "no common items")
    mean = float(difference.mean())
    groups = len(by_cluster(difference, clusters)[0])
    if groups < 2:
        return Difference(mean, None, None, None, n, "too few items")
    binary = bool(np.isin(np.concatenate([left, right]), (0.0, 1.0)).all())
    if binary and groups == n:
        gained, lost = int((difference > 0).sum()), int((difference < 0).sum())
        up, down, all_ = gained + 0.5, lost + 0.5, n + 2.0
        centre = (up - down) / all_
        half = z_of(level) * math.sqrt(max(0.0, (up + down) - (up - down) ** 2 / all_)) / all_
        low, high = max(-1.0, centre - half), min(1.0, centre + half)
        return Difference(mean, low, high, mcnemar_p(gained, lost), n, "McNemar, exact")
    se = clustered_se(difference, clusters)
    if se == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0, n, "no spread")
    half = t_of(groups - 1, level) * se
    p = two_sided_p_of_t(mean / se, groups - 1)
    return Difference(mean, mean - half, mean + half, p, n, "Student, paired" + (", clustered" if groups < n else ""))


def mcnemar_p(gained: int, lost: int) -> float:
    """The exact two-sided p value that as many items are gained as lost (a fair coin over the changed ones)."""
    changed = gained + lost
    if changed == 0:
        return 1.0
    tail = sum(math.comb(changed, k) for k in range(min(gained, lost) + 1)) / 2**changed
    return float(min(1.0, 2 * tail))


def detectable_difference(
    n: int, share: float = 0.5, *, power: float = 0.8, level: float = 0.95, design_effect: float = 1.0
) -> float:
    """The smallest difference of two shares, each over n items of its own, that is seen with that power.

    (z_{1−α/2} + z_{power}) · √(2 p (1 − p) · deff ÷ n): the usual normal approximation at the share p.
    """
    if n < 1:
        return 1.0
    spread = math.sqrt(2 * share * (1 - share) * design_effect / n)
    return min(1.0, (z_of(level) + _NORMAL.inv_cdf(power)) * spread)


def detectable_paired(n: int, changed: float = 0.2, *, power: float = 0.8, level: float = 0.95) -> float:
    """The smallest difference on the same n items that is seen, where a share `changed` of them comes out otherwise.

    (z_{1−α/2} + z_{power}) · √(changed ÷ n), the variance of a difference being at most the share that changed.
    """
    return min(1.0, (z_of(level) + _NORMAL.inv_cdf(power)) * math.sqrt(changed / n)) if n >= 1 else 1.0


ASSUMED_CORRELATION = 0.2
"""How alike items of one cluster are taken to be before anything is measured (an assumption, not a measurement)."""


def assumed_design_effect(n: int, clusters: int, correlation: float = ASSUMED_CORRELATION) -> float:
    """By what clusters widen variance: 1 + (m − 1) ρ, for m items a cluster (Kish 1965)."""
    return 1 + (n / max(clusters, 1) - 1) * correlation


def items_for(half_width: float, share: float = 0.5, *, level: float = 0.95, design_effect: float = 1.0) -> int:
    """How many items an interval of that half width needs at that share."""
    return math.ceil(z_of(level) ** 2 * share * (1 - share) * design_effect / half_width**2)


def items_within(budget_s: float, seconds_per_item: float, at_once: float = 1.0) -> int:
    """How many items the time allows."""
    return int(budget_s * at_once / seconds_per_item) if seconds_per_item > 0 else 0


def benjamini_hochberg(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which hypotheses fall where at most that share of those that fall may be false discoveries (1995)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    last = 0
    for rank, index in enumerate(order, 1):
        if p_values[index] <= level * rank / len(p_values):
            last = rank
    fallen = set(order[:last])
    return [index in fallen for index in range(len(p_values))]


def sequential_interval(
    values: Sequence[float] | Floats,
    clusters: Sequence[Hashable] | None = None,
    *,
    planned: int,
    level: float = 0.95,
) -> Interval:
    """An interval that may be looked at after each item, to stop when it is narrow enough.

    The asymptotic confidence sequence with Robbins' normal mixture (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
    2021): mean ± σ √(2 (nρ² + 1) ÷ (n²ρ²) · ln(√(nρ² + 1) ÷ α)). It covers at all times at once, so stopping by what
    it shows is no cheating; ρ makes it tightest at `planned` clusters. A fixed-n interval is about 1.4 times narrower.
    """
    array = np.asarray(values, dtype=float)
    fixed = mean_interval(array, clusters, level)
    groups = fixed.clusters
    if fixed.low is None or groups < 10:
        return Interval(fixed.value, None, None, fixed.n, groups, fixed.se, "too few items to look at")
    alpha = 1 - level
    # ρ² = (−2 ln α + ln(−2 ln α + 1)) ÷ n minimises the width near n (their equation for the tightest time).
    log_term = -2 * math.log(alpha)
    rho2 = (log_term + math.log(log_term + 1)) / max(planned, 1)
    n = groups
    # A run of rights alone has no spread: add one right and one wrong, as Wilson's interval in effect does.
    smoothed = np.concatenate([array, [0.0, 1.0]])
    se = max(fixed.se, clustered_se(smoothed) if fixed.se == 0 else 0.0)
    sigma = se * math.sqrt(n)
    half = sigma * math.sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha))
    low, high = max(0.0, fixed.value - half), min(1.0, fixed.value + half)
    return Interval(fixed.value, low, high, fixed.n, groups, fixed.se, "confidence sequence")
