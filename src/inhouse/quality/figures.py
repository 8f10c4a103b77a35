"""From scored answers to figures: each with its interval, its n, and how the interval was made. Knows no engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from inhouse.core.records import Metric, Scalar
from inhouse.quality.agreement import auroc, ece
from inhouse.quality.answers import Answer
from inhouse.quality.statistics import Interval, mean_interval, wilson
from inhouse.quality.suite import Item, Suite

_LEAST = 5
"""Answers under which a part (a prompt, a tag's value) gets no figure of its own."""


def figures(suite: Suite, answers: Sequence[Answer], *, interval: Interval | None = None) -> list[Metric]:
    """All figures of a suite's answers: by scorer over all, by prompt, by each tag of the items.

    `interval` replaces the headline's where the run was stopped early and needs one that allows for it.
    """
    items = {item.id: item for item in suite.items}
    good = [one for one in answers if one.error is None and one.item in items]
    found: list[Metric] = []
    for place, use in enumerate(suite.scorers):
        scored = [one for one in good if use.key in one.scores]
        labels: dict[str, Scalar] = {"suite": suite.name, "scorer": use.key}
        headline = mean_of(scored, use.key, items)
        if headline.n:
            found.append(_metric(suite.metric, interval if interval is not None and place == 0 else headline, labels))
        found += _parts(suite, scored, use.key, items, labels)
        found += _unscored(scored, use.key, labels)
        found += _calibration(scored, use.key, items, labels)
    return found


def mean_of(answers: Sequence[Answer], scorer: str, items: Mapping[str, Item]) -> Interval:
    """The mean score of the answers that could be judged, with the interval of their clusters."""
    judged = [(one, value) for one in answers if (value := one.scores[scorer].value) is not None]
    return mean_interval([value for _, value in judged], [items[one.item].cluster for one, _ in judged])


def _metric(name: str, interval: Interval, labels: Mapping[str, Scalar]) -> Metric:
    return Metric(name, interval.value, "", dict(labels), interval.low, interval.high, interval.n, interval.method)


def _parts(
    suite: Suite, scored: Sequence[Answer], scorer: str, items: Mapping[str, Item], labels: Mapping[str, Scalar]
) -> list[Metric]:
    """The same figure by prompt, where there are several, and by each tag's value."""
    parts: dict[tuple[str, Scalar], list[Answer]] = {}
    for one in scored:
        if len(suite.prompts) > 1:
            parts.setdefault(("prompt", one.prompt), []).append(one)
        for tag, value in items[one.item].tags.items():
            parts.setdefault((f"tag_{tag}", value), []).append(one)
    found = []
    for (name, value), part in parts.items():
        interval = mean_of(part, scorer, items)
        if interval.n >= _LEAST:
            found.append(_metric(suite.metric, interval, {**labels, name: value}))
    return found


def _unscored(scored: Sequence[Answer], scorer: str, labels: Mapping[str, Scalar]) -> list[Metric]:
    """How often no verdict was possible, where that happened at all."""
    missing = sum(one.scores[scorer].value is None for one in scored)
    if not missing:
        return []
    low, high = wilson(missing, len(scored))
    return [Metric("unscored_share", missing / len(scored), "", dict(labels), low, high, len(scored), "Wilson")]


def _calibration(
    scored: Sequence[Answer], scorer: str, items: Mapping[str, Item], labels: Mapping[str, Scalar]
) -> list[Metric]:
    """Whether the confidence that a scorer found is worth anything: ECE, and the AUROC with which it finds errors."""
    sure: list[float] = []
    right: list[float] = []
    clusters: list[str] = []
    for one in scored:
        score = one.scores[scorer]
        confidence = score.detail.get("confidence")
        if score.value in (0.0, 1.0) and isinstance(confidence, float | int):
            sure.append(float(confidence))
            right.append(float(score.value or 0.0))
            clusters.append(items[one.item].cluster)
    if len(sure) < 20:
        return []
    rng = np.random.default_rng(0)
    error = ece(sure, right, rng, clusters=clusters)
    found = [Metric("ece", error.value, "", dict(labels), error.low, error.high, error.n, "bootstrap by cluster")]
    if 0 < sum(right) < len(right):
        area = auroc(sure, [bool(one) for one in right], rng, clusters)
        found.append(
            Metric(
                "confidence_auroc", area.value, "", dict(labels), area.low, area.high, area.n, "bootstrap by cluster"
            )
        )
    return found
