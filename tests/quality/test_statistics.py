"""Intervals that cover what they say, comparisons that pair, and looks that are allowed."""

import numpy as np
import pytest

from inhouse.quality.agreement import auroc, cohen_kappa, ece, fleiss_kappa
from inhouse.quality.statistics import (
    benjamini_hochberg,
    clustered_se,
    detectable_difference,
    mcnemar_p,
    mean_interval,
    paired_difference,
    sequential_interval,
    t_of,
    wilson,
)


def coverage(make, truth, repeats):
    covered = 0
    for _ in range(repeats):
        interval = mean_interval(*make())
        covered += interval.low <= truth <= interval.high
    return covered / repeats


def test_wilsons_interval_covers_95_of_100_over_all_shares():
    rng = np.random.default_rng(7)
    shares = np.linspace(0.05, 0.95, 19)
    found = [coverage(lambda p=p: ((rng.random(100) < p).astype(float), None), p, 400) for p in shares]
    assert 0.94 <= np.mean(found) <= 0.96


def test_a_clustered_interval_covers_95_of_100_where_the_plain_one_would_not():
    rng = np.random.default_rng(8)
    clusters = np.repeat(np.arange(60), 5)
    covered = plain = total = 0
    for share in (0.3, 0.5, 0.7):
        for _ in range(1000):
            level = rng.beta(share * 1.5, (1 - share) * 1.5, size=60)
            values = (rng.random((60, 5)) < level[:, None]).astype(float).ravel()
            interval, blind = mean_interval(values, clusters), mean_interval(values)
            covered += interval.low <= share <= interval.high
            plain += blind.low <= share <= blind.high
            total += 1
    assert 0.94 <= covered / total <= 0.96
    assert plain / total < 0.85


def test_scores_between_right_and_wrong_are_covered_too():
    rng = np.random.default_rng(9)
    assert 0.94 <= coverage(lambda: (rng.beta(2, 3, size=60), None), 0.4, 4000) <= 0.96


def test_looking_after_every_20_items_and_stopping_does_not_spoil_the_interval():
    rng = np.random.default_rng(10)
    missed = 0
    for _ in range(400):
        values = (rng.random(800) < 0.7).astype(float)
        for n in range(20, 801, 20):
            interval = sequential_interval(values[:n], planned=400)
            if not interval.low <= 0.7 <= interval.high:
                missed += 1
                break
            if interval.high - interval.low <= 0.14:
                break
    assert missed / 400 <= 0.05


def test_known_values():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert t_of(10) == pytest.approx(2.2281, abs=0.001)
    assert mcnemar_p(10, 2) == pytest.approx(0.03857, abs=1e-5)
    assert detectable_difference(100) == pytest.approx(0.1981, abs=1e-3)
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.5]) == [True, False, False, False]
    # Each cluster says the same thing twice: the error is that of three values, not of six.
    assert clustered_se([1, 1, 0, 0, 1, 1], [1, 1, 2, 2, 3, 3]) == pytest.approx(1 / 3)


def test_pairing_sees_what_two_separate_intervals_cannot():
    before = np.array([1.0] * 120 + [0.0] * 80)
    after = before.copy()
    after[120:135] = 1.0
    found = paired_difference(before, after)
    assert found.beyond_noise
    assert found.p < 0.001
    assert mean_interval(before).high > mean_interval(after).low


def test_one_cluster_gives_no_interval():
    interval = mean_interval([1.0, 0.0, 1.0], ["a", "a", "a"])
    assert (interval.low, interval.high) == (None, None)


def test_agreement_and_detection_against_hand_counts():
    rng = np.random.default_rng(0)
    a = ["y"] * 25 + ["n"] * 25
    b = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(a, b, rng).value == pytest.approx(0.4)
    assert fleiss_kappa([["y", "y"], ["n", "n"]] * 10, rng).value == pytest.approx(1.0)
    assert auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True], rng).value == pytest.approx(0.75)
    assert auroc([1, 1, 1, 1], [True, False, True, False], rng).value == pytest.approx(0.5)
    assert ece([0.9] * 10, [1.0] * 5 + [0.0] * 5, rng, bins=1).value == pytest.approx(0.4)
