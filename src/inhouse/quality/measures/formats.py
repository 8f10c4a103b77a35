"""Answers in JSON with and without the engine holding the model to the schema: valid, fitting, right, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inhouse.bench.statistics import mean
from inhouse.core.records import Metric, Scalar
from inhouse.quality.answers import Answer
from inhouse.quality.measures.base import Asking, of_estimate, rng, scorers_of, share, shuffled
from inhouse.quality.statistics import paired_difference
from inhouse.quality.suite import Case, Item, Suite


async def json_answers(asking: Asking, suite: Suite) -> tuple[list[Metric], list[Answer]]:
    """Each sentence freely and, where the engine can, constrained."""
    scorers = scorers_of(suite)
    ways = ("free", "constrained") if asking.session.engine.capabilities.json_schema else ("free",)

    async def one(item: Item) -> list[Answer]:
        cases = []
        for way in ways:
            schema = item.fields["schema"] if way == "constrained" else None
            prompt = replace(suite.prompts[0], name=way)
            cases.append(Case(suite.name, item, prompt, replace(suite.sampling, json_schema=schema)))
        return [await asking.session.answer(case, scorers) for case in cases]

    groups = await asking.each(shuffled(suite.items, asking.seed), one, least=1)
    answers = [answer for group in groups for answer in group]
    return json_metrics(suite, answers, ways, seed=asking.seed), answers


def json_metrics(suite: Suite, answers: Sequence[Answer], ways: Sequence[str], *, seed: int = 0) -> list[Metric]:
    """`json_valid`, `json_fits`, `json_right` and seconds by way; `json_gain`: right ones that the constraint adds."""
    found: list[Metric] = []
    right: dict[str, dict[str, float]] = {}
    for way in ways:
        own = [one for one in answers if one.prompt == way and "json" in one.scores]
        labels: dict[str, Scalar] = {"suite": suite.name, "way": way}
        details = [one.scores["json"].detail for one in own]
        right[way] = {one.item: one.scores["json"].value or 0.0 for one in own}
        found += share("json_valid", [float(bool(detail["valid"])) for detail in details], labels)
        found += share("json_fits", [float(bool(detail["fits"])) for detail in details], labels)
        found += share("json_right", list(right[way].values()), labels)
        seconds = [one.duration_s for one in own if one.cached_from is None]
        if seconds:
            found.append(of_estimate("json_answer_s", mean(np.array(seconds), rng(seed)), labels, unit="s"))
    if len(right) == 2:
        both = sorted(set(right["free"]) & set(right["constrained"]))
        gap = paired_difference([right["free"][one] for one in both], [right["constrained"][one] for one in both])
        found.append(
            Metric(
                "json_gain", gap.value, "share", {"suite": suite.name, "p": gap.p}, gap.low, gap.high, gap.n, gap.method
            )
        )
    return found
