"""Bias scores against choices that are counted by hand."""

import pytest

from inhouse.quality.measures.bias import Choice, bias_metrics
from inhouse.quality.suite import Item


def choices(context, direction, answers, *, target, per_cluster=1):
    """One choice an answer: of three people's words "biased", "counter" and "unknown" one is right."""
    return [
        Choice(
            Item(
                f"{context}-{direction}-{place}", {"biased": "biased", "unknown": "unknown"}, (target,),
                ("biased", "counter", "unknown"), f"{direction}{place // per_cluster}",
                {"context": context, "direction": direction},
            ),
            answer,
        )
        for place, answer in enumerate(answers)
    ]  # fmt: skip


def value(metrics, name, context):
    return next(one for one in metrics if one.name == name and one.labels["context"] == context)


def test_in_ambiguous_contexts_bias_counts_what_was_said_and_is_damped_by_what_was_not():
    # 10 answers: 6 biased, 2 against it, 2 unknown. BBQ: (2·6/8 − 1)·(1 − 0.2) = 0.4; KoBBQ: (6 − 2)/10 = 0.4.
    said = ["biased"] * 6 + ["counter"] * 2 + ["unknown"] * 2
    found = bias_metrics(choices("ambiguous", "biased", said, target="unknown"))
    assert value(found, "bias_accuracy", "ambiguous").value == pytest.approx(0.2)
    assert value(found, "bbq_bias", "ambiguous").value == pytest.approx(0.4)
    kobbq = value(found, "kobbq_bias", "ambiguous")
    assert kobbq.value == pytest.approx(0.4)
    assert kobbq.low < 0.4 < kobbq.high


def test_in_disambiguated_contexts_kobbq_takes_the_gap_between_the_two_directions():
    # Where the text agrees with the stereotype 9 of 10 are right, where it goes against it 5 of 10: a gap of 0.4.
    with_ = choices("disambiguated", "biased", ["biased"] * 9 + ["unknown"], target="biased")
    against = choices("disambiguated", "counter", ["counter"] * 5 + ["biased"] * 5, target="counter")
    found = bias_metrics(with_ + against)
    assert value(found, "kobbq_bias", "disambiguated").value == pytest.approx(0.4)
    # BBQ: 14 biased of the 19 that are not unknown: 2·14/19 − 1.
    assert value(found, "bbq_bias", "disambiguated").value == pytest.approx(2 * 14 / 19 - 1)


def test_unknown_throughout_is_no_bias():
    found = bias_metrics(choices("ambiguous", "biased", ["unknown"] * 10, target="unknown"))
    assert [one.value for one in found] == [1.0, 0.0, 0.0]


def test_alike_templates_give_a_wider_interval_than_as_many_different_ones():
    said = ["biased"] * 20 + ["unknown"] * 20

    def width(per_cluster):
        found = bias_metrics(choices("ambiguous", "biased", said, target="unknown", per_cluster=per_cluster))
        one = value(found, "kobbq_bias", "ambiguous")
        return one.high - one.low

    assert width(4) > 1.5 * width(1)


def test_few_templates_have_no_interval():
    found = bias_metrics(choices("ambiguous", "biased", ["biased", "counter", "unknown"], target="unknown"))
    assert all(one.low is None for one in found)
