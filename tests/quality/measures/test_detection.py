"""Methods that find wrong answers: entropy of known clusters, AUROC by hand."""

import math

import pytest

from inhouse.core.records import Metric
from inhouse.quality.measures.detection import Judged, clustered, detection_metrics, entropy
from inhouse.quality.suite import Item


def same(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def test_the_semantic_entropy_of_known_clusters():
    assert clustered(["Seoul", "seoul", "Busan", "SEOUL"], same) == [3, 1]
    assert entropy([3, 1]) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert entropy(clustered(["a", "A", "a"], same)) == 0
    assert entropy(clustered(["a", "b", "c", "d"], same)) == pytest.approx(math.log(4))


def judged(answer, sureness, right):
    return [
        Judged(Item(str(at), {}, cluster=str(at)), answer(str(at)), one, {"self-consistency": sure})
        for at, (sure, one) in enumerate(zip(sureness, right, strict=True))
    ]


def area(metrics: list[Metric]) -> Metric:
    return next(one for one in metrics if one.name == "detection_auroc")


def test_the_auroc_counts_pairs_of_a_right_and_a_wrong_answer(answer):
    # Right: 0.9, 0.4. Wrong: 0.5, 0.4. Pairs: 0.9>0.5, 0.9>0.4, 0.4<0.5, 0.4=0.4 → (1 + 1 + 0 + ½) ÷ 4.
    found = area(detection_metrics("s", judged(answer, [0.9, 0.4, 0.5, 0.4], [True, True, False, False])))
    assert found.value == pytest.approx(2.5 / 4)
    assert found.labels["wrong"] == 2
    assert found.low is None, "four answers give no interval"


def test_a_method_that_always_knows_has_an_area_of_one_with_an_interval(answer):
    sure = [0.9 - at / 100 for at in range(20)]
    found = area(detection_metrics("s", judged(answer, sure, [at < 10 for at in range(20)])))
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_the_calibration_error_of_a_stated_share_is_its_distance_from_what_came_true(answer):
    # All are sure to 0.9 and 60 of 100 are right: off by 0.3 whatever the bins.
    right = [at % 10 < 6 for at in range(100)]
    every = detection_metrics("s", judged(answer, [0.9] * 100, right))
    found = next(one for one in every if one.name == "confidence_ece")
    assert found.value == pytest.approx(0.3)
    assert found.low < 0.3 < found.high


def test_nothing_is_said_where_all_answers_are_right(answer):
    assert detection_metrics("s", judged(answer, [0.1, 0.9], [True, True])) == []
