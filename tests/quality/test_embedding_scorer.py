"""Nearness of meaning, by the real small model that runs in the process."""

import pytest

from inhouse.core.errors import BadSuite
from inhouse.quality.scorers import Response, make_scorer
from inhouse.quality.suite import Case, Item, Prompt, Sampling, ScorerUse


def case(*targets):
    return Case("s", Item("1", {}, targets), Prompt("p", "?"), Sampling())


async def near(answer, *targets, **options):
    return (await make_scorer(ScorerUse("embedding", options)).score(case(*targets), Response(answer))).value


async def test_another_wording_is_nearer_than_another_matter_in_both_languages():
    assert await near("The parcel comes within two days.", "Delivery takes two days.") > await near(
        "The parcel comes within two days.", "The office is closed on Mondays."
    )
    assert await near("이틀 안에 배송됩니다.", "배송은 2일 걸립니다.") > await near(
        "이틀 안에 배송됩니다.", "월요일은 휴무입니다."
    )
    assert await near("이틀 안에 배송됩니다.", "Delivery takes two days.") > await near(
        "이틀 안에 배송됩니다.", "The office is closed on Mondays."
    )


async def test_the_nearest_target_counts_and_a_threshold_makes_it_right_or_wrong():
    targets = ("The office is closed on Mondays.", "Delivery takes two days.")
    best = await near("Delivery takes two days.", *targets)
    assert best == pytest.approx(1.0, abs=0.01)
    assert await near("Delivery takes two days.", *targets, threshold=0.95) == 1.0
    assert await near("I like tea.", *targets, threshold=0.95) == 0.0
    assert await near("  ", *targets) == 0.0


async def test_an_item_without_a_target_cannot_be_compared():
    with pytest.raises(BadSuite, match="no target"):
        await near("yes")
