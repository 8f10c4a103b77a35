"""Percentiles and intervals: right on known distributions, honest about few values."""

from __future__ import annotations

import numpy as np
import pytest

from inhouse.bench.statistics import (
    Clustered,
    holm,
    mean,
    quantile,
    quantile_draws,
    ratio_of_sums,
    supported,
    two_sided_p,
)


@pytest.mark.parametrize(
    ("stat", "n", "carried"),
    [("p50", 1, True), ("p90", 9, False), ("p90", 10, True), ("p95", 19, False), ("p95", 20, True), ("p99", 99, False)],
)
def test_a_percentile_is_given_only_where_enough_values_carry_it(stat: str, n: int, carried: bool) -> None:
    assert supported(stat, n) is carried


def test_fewer_than_five_values_get_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert quantile(np.array([1.0, 2.0, 3.0, 4.0]), 0.5, rng).low is None
    assert quantile(np.arange(5.0), 0.5, rng).low is not None


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_the_interval_of_a_percentile_covers_the_truth_about_95_times_in_100(q: float) -> None:
    rng = np.random.default_rng(1)
    truth = -np.log(1 - q)  # of the exponential distribution
    covered = 0
    for _ in range(400):
        found = quantile(rng.exponential(size=100), q, rng)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / 400 <= 0.99


def test_drawing_ranks_gives_what_drawing_resamples_gives() -> None:
    rng = np.random.default_rng(2)
    values = rng.lognormal(size=41)
    drawn = np.sort(values[rng.integers(0, 41, size=(20_000, 41))], axis=1)[:, int(np.ceil(0.9 * 41)) - 1]
    quick = quantile_draws(values, 0.9, rng, 20_000)
    for edge in (0.025, 0.25, 0.5, 0.75, 0.975):
        share = (quick <= np.quantile(drawn, edge)).mean()
        assert share == pytest.approx((drawn <= np.quantile(drawn, edge)).mean(), abs=0.02)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(3).exponential(size=50)
    assert quantile(values, 0.5, np.random.default_rng(9)) == quantile(values, 0.5, np.random.default_rng(9))


def test_gaps_of_the_same_request_are_not_taken_for_independent() -> None:
    rng = np.random.default_rng(4)
    # Ten requests, each with a speed of its own: 1,000 gaps that hold ten facts.
    clusters = [np.full(100, speed) + rng.normal(0, 1e-4, 100) for speed in rng.uniform(0.01, 0.05, 10)]
    by_request = Clustered(clusters).quantile(0.5, rng)
    as_if_independent = quantile(np.concatenate(clusters), 0.5, rng)
    assert by_request.n == 1000
    assert by_request.high - by_request.low > 3 * (as_if_independent.high - as_if_independent.low)  # type: ignore[operator]


def test_a_clustered_quantile_is_that_of_the_pooled_values() -> None:
    rng = np.random.default_rng(5)
    clusters = [rng.exponential(size=size) for size in (10, 500, 3000)]
    pooled = np.concatenate(clusters)
    for q in (0.5, 0.99):
        assert Clustered(clusters).quantile(q, rng).value == pytest.approx(np.quantile(pooled, q))


def test_clustered_draws_agree_with_resampling_whole_clusters() -> None:
    rng = np.random.default_rng(6)
    clusters = [rng.exponential(scale, size=30) for scale in rng.uniform(0.5, 2, 12)]
    slow = np.array(
        [np.quantile(np.concatenate([clusters[i] for i in rng.integers(0, 12, 12)]), 0.5) for _ in range(3000)]
    )
    quick = Clustered(clusters).quantile_draws(0.5, rng, 3000)
    assert np.quantile(quick, (0.025, 0.975)) == pytest.approx(np.quantile(slow, (0.025, 0.975)), rel=0.05)


def test_a_mean_and_a_ratio_lie_inside_their_intervals() -> None:
    rng = np.random.default_rng(7)
    values = rng.exponential(size=200)
    found = mean(values, rng)
    assert found.value == pytest.approx(values.mean())
    assert found.low < found.value < found.high  # type: ignore[operator]
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 200**0.5, rel=0.15)  # type: ignore[operator]
    tokens, seconds = rng.integers(10, 100, 200).astype(float), rng.exponential(size=200)
    assert ratio_of_sums(tokens, seconds, rng).value == pytest.approx(tokens.sum() / seconds.sum())


def test_holm_holds_back_what_many_looks_would_find_by_chance() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]  # Holm (1979)'s own pattern
    assert holm([0.04] * 10) == [False] * 10
    assert holm([]) == []


def test_a_p_value_is_never_zero_and_never_over_one() -> None:
    assert 0 < two_sided_p(np.full(1000, 2.0)) < 0.01
    assert two_sided_p(np.full(1000, 1.0)) == 1.0
