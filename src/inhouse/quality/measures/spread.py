"""The same question in several wordings: how far accuracy moves with the wording alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from inhouse.core.records import Metric, Scalar
from inhouse.quality.agreement import bootstrapped
from inhouse.quality.answers import Answer
from inhouse.quality.measures.base import Asking, of_estimate, rng, share, shuffled, value_of
from inhouse.quality.suite import Suite

_SHUFFLES = 2000


async def wordings(asking: Asking, suite: Suite) -> tuple[list[Metric], list[Answer]]:
    """Every item in every wording, whole items until the time is up."""
    answers = await asking.suite(suite, shuffled(suite.items, asking.seed), least=1)
    return spread_metrics(suite, answers, seed=asking.seed), answers


def spread_metrics(suite: Suite, answers: Sequence[Answer], *, seed: int = 0) -> list[Metric]:
    """Accuracy by wording, the gap between the best and the worst of them, and how many items stand firm.

    A gap is never negative, so that chance alone makes one. Its label `p` says how often chance makes as large a one:
    the wordings of each item shuffled, as they might be if none were better than another.
    """
    scorer = suite.scorers[0].key
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for one in answers:
        if (value := value_of(one, scorer)) is not None:
            table[one.item][one.prompt] = value
    names = [prompt.name for prompt in suite.prompts]
    rows = np.array([[row[name] for name in names] for row in table.values() if len(row) == len(names)])
    if not len(rows):
        return []
    found: list[Metric] = []
    for place, name in enumerate(names):
        found += share("wording_accuracy", list(rows[:, place]), {"suite": suite.name, "variant": name})
    means = rows.mean(axis=0)
    dice = rng(seed)
    gap = bootstrapped(lambda picked: float(np.ptp(rows[picked].mean(axis=0))), len(rows), dice)
    by_chance = [float(np.ptp(dice.permuted(rows, axis=1).mean(axis=0))) for _ in range(_SHUFFLES)]
    p = (1 + sum(one >= gap.value - 1e-12 for one in by_chance)) / (_SHUFFLES + 1)
    labels: dict[str, Scalar] = {
        "suite": suite.name, "best": names[int(means.argmax())], "worst": names[int(means.argmin())],
        "p": round(p, 4), "wordings": len(names),
    }  # fmt: skip
    found.append(of_estimate("wording_gap", gap, labels, "bootstrap by question; p by permutation", "share"))
    firm = [float(len(set(row)) == 1) for row in rows.tolist()]
    return [*found, *share("wording_firm", firm, {"suite": suite.name})]
