"""What phase 2 is told from: a part's figures with its answers, and shares with their interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from inhouse.core.records import Evidence, Example, Finding, Metric, Scalar, Severity, Side
from inhouse.quality.answers import Answer
from inhouse.study.run_data import RunData

LEAST = 3
"""Answers under which nothing is said of a share."""
FEWEST = 10
"""Answers under which a share weighs nothing."""

Found = Iterator[Finding]
Scalars = dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class Judged:
    """A part's run with its figures (`data`), and the answers that they were made from."""

    data: RunData
    answers: Sequence[Answer]

    def find(self, name: str, **labels: Scalar) -> Metric | None:
        """The first figure of that name with those labels."""
        return self.data.find(name, **labels)

    def every(self, name: str, **labels: Scalar) -> Iterator[Metric]:
        """All figures of that name with those labels."""
        return self.data.every(name, **labels)

    def overall(self, name: str, **labels: Scalar) -> Metric | None:
        """A suite's headline: the figure of that name that is of no single prompt and no tag."""
        return next((one for one in self.every(name, **labels) if set(one.labels) == {"suite", "scorer"}), None)

    def evidence(self, *metrics: Metric | None, examples: tuple[Example, ...] = ()) -> tuple[Evidence, ...]:
        """The figures as evidence; the examples stand beside the first."""
        found = self.data.evidence(*metrics)
        return (replace(found[0], examples=examples), *found[1:]) if found and examples else found

    def of_suites(self, beginning: str) -> list[Answer]:
        """The answers to suites whose name begins so."""
        return [one for one in self.answers if one.suite.startswith(beginning)]

    def by_item(self, *, suite: str = "", prompt_ends: str = "") -> list[list[Answer]]:
        """The answers that did not fail, each item's together; of one suite and of some prompts, where named."""
        groups: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        for one in self.answers:
            if one.error is None and (not suite or one.suite == suite) and one.prompt.endswith(prompt_ends):
                groups[one.suite, one.item].append(one)
        return list(groups.values())

    def mean(self, group: Sequence[Answer], scorer: str) -> float:
        """The mean score of a group of answers."""
        values = [one.scores[scorer].value or 0.0 for one in group if scorer in one.scores]
        return sum(values) / len(values) if values else 0.0


def share(name: str, metric: Metric | None) -> Scalars:
    """A share in percent with its interval and its n, as the figures of a sentence."""
    values = (None, None, None) if metric is None else (metric.value, metric.low, metric.high)
    percent = [None if one is None else one * 100 for one in values]
    ends = ("percent", "low_percent", "high_percent")
    told: Scalars = {f"{name}_{end}": one for end, one in zip(ends, percent, strict=True)}
    return {**told, f"{name}_n": None if metric is None else metric.n}


def points(name: str, metric: Metric) -> Scalars:
    """A difference of shares in points, with its interval and its n."""
    return {
        f"{name}_points": metric.value * 100,
        f"{name}_low": None if metric.low is None else metric.low * 100,
        f"{name}_high": None if metric.high is None else metric.high * 100,
        f"{name}_n": metric.n,
    }


def of_year(metric: Metric | None) -> str | None:
    """A year as it is written."""
    return None if metric is None else f"{metric.value:.0f}"


def told_of(metric: Metric | None) -> TypeGuard[Metric]:
    """Whether a figure is worth a sentence: it has an interval, and stands on three answers at least."""
    return metric is not None and metric.low is not None and metric.high is not None and (metric.n or 0) >= LEAST


def weigh(metric: Metric, good: float, poor: float) -> Severity:
    """How grave a share is, by the end of its interval that speaks in its favour least or most.

    Good where even the worse end is beyond `good`, serious where even the better end is beyond `poor`; in between a
    warning where the value itself is on the wrong side of `good`, else told without weight. So is what stands on
    fewer than `FEWEST` answers.
    """
    if (metric.n or 0) < FEWEST:
        return Severity.INFO
    low = metric.value if metric.low is None else metric.low
    high = metric.value if metric.high is None else metric.high
    worse, better = (high, low) if good < poor else (low, high)
    sign = 1 if good < poor else -1
    if sign * (worse - good) <= 0:
        return Severity.GOOD
    if sign * (better - poor) > 0:
        return Severity.SERIOUS
    return Severity.WARNING if sign * (metric.value - good) > 0 else Severity.INFO


def too_few(told: Judged, metric: Metric | None) -> Found:
    """That the part's answers are too few for an interval: nothing is said of them then."""
    if told.answers:
        figures: Scalars = {"part": str(told.data.run.config.get("name")), "answers": len(told.answers)}
        yield Finding(
            2,
            Side.OPERATIONAL,
            Severity.INFO,
            "phase2.too_few",
            figures,
            told.evidence(told.find("requests") or metric),
        )
