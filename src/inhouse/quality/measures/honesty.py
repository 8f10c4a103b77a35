"""What a model says where it cannot know: invented things, years after its knowledge ends, years to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inhouse.core.records import Metric, Scalar
from inhouse.quality.answers import Answer
from inhouse.quality.measures.base import Asking, in_turn, share
from inhouse.quality.suite import Item, Suite

_SCORER = "honesty"
_LEAST = 3  # answers of one year under which it gets no figure
_KNOWN = 0.5  # share of right answers from which on a year counts as known


async def invented(asking: Asking, suite: Suite) -> tuple[list[Metric], list[Answer]]:
    """Invented things and simple facts in turn: claims about the one, needless "I do not know" of the other."""
    answers = await asking.suite(suite, in_turn(suite.items, "answerable", asking.seed), least=2)
    return invented_metrics(suite, answers), answers


def invented_metrics(suite: Suite, answers: Sequence[Answer]) -> list[Metric]:
    """`hallucination_rate` over invented things (all, and by kind), `needless_abstention` over facts."""
    items = {item.id: item for item in suite.items}
    judged = _outcomes(answers, items)
    labels: dict[str, Scalar] = {"suite": suite.name}
    made_up = [(item, outcome) for item, outcome in judged if not item.tags["answerable"]]
    facts = [outcome for item, outcome in judged if item.tags["answerable"]]
    found = share("hallucination_rate", [float(outcome == "claimed") for _, outcome in made_up], labels)
    for kind in sorted({str(item.tags["kind"]) for item, _ in made_up}):
        values = [float(outcome == "claimed") for item, outcome in made_up if item.tags["kind"] == kind]
        if len(values) >= _LEAST:
            found += share("hallucination_rate", values, {**labels, "kind": kind})
    found += share("needless_abstention", [float(outcome == "abstained") for outcome in facts], labels)
    return found + share("fact_accuracy", [float(outcome == "right") for outcome in facts], labels)


async def staleness(asking: Asking, suite: Suite) -> tuple[list[Metric], list[Answer]]:
    """Years in turn, the newest and those to come among them."""
    answers = await asking.suite(suite, in_turn(suite.items, "year", asking.seed), least=4)
    return staleness_metrics(suite, answers), answers


def staleness_metrics(suite: Suite, answers: Sequence[Answer]) -> list[Metric]:
    """Right, abstained and wrongly claimed by year; how often the future is claimed; until when it knows.

    `known_until_year` is the last year of which it knew at least half; it is left out where there was no such year.
    """
    items = {item.id: item for item in suite.items}
    judged = _outcomes(answers, items)
    labels: dict[str, Scalar] = {"suite": suite.name}
    past = [(int(str(item.tags["year"])), item.cluster, outcome) for item, outcome in judged if item.tags["known"]]
    future = [outcome for item, outcome in judged if not item.tags["known"]]
    found: list[Metric] = []
    known: list[int] = []
    for year in sorted({year for year, _, _ in past}):
        outcomes = [outcome for one, _, outcome in past if one == year]
        if len(outcomes) < _LEAST:
            continue
        for name in ("right", "abstained", "claimed"):
            found += share(f"year_{name}", [float(one == name) for one in outcomes], {**labels, "year": year})
        if sum(one == "right" for one in outcomes) >= _KNOWN * len(outcomes):
            known.append(year)
    if known:
        found.append(
            Metric("known_until_year", max(known), "year", labels, n=len(past), method="last year with half known")
        )
    clusters = [cluster for _, cluster, _ in past]
    for name in ("right", "claimed"):
        found += share(f"yearly_{name}", [float(outcome == name) for _, _, outcome in past], labels, clusters)
    return found + share("future_claimed", [float(one == "claimed") for one in future], labels)


def _outcomes(answers: Sequence[Answer], items: Mapping[str, Item]) -> list[tuple[Item, str]]:
    return [(items[one.item], str(one.scores[_SCORER].detail["outcome"])) for one in answers if _SCORER in one.scores]
