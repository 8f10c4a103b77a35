"""Human review: which answers a person judges, and how far people agree with each other and with the scorers.

Knows neither where verdicts are given (terminal, browser) nor the store.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inhouse.bench.statistics import Estimate
from inhouse.quality.answers import Answer, Label

VERDICTS: Mapping[str, float] = {"y": 1.0, "n": 0.0, "h": 0.5}
"""What a key on the keyboard says of an answer: right, wrong, half."""


@dataclass(frozen=True, slots=True)
class Trust:
    """How far verdicts agree over the answers that both sides judged; `scorer` is None for people among themselves."""

    scorer: str | None
    n: int
    agreement: Estimate
    kappa: Estimate


def to_review(answers: Sequence[Answer], *, seed: int, limit: int) -> list[Answer]:
    """The answers that are judged: drawn by the seed, the same for all reviewers, so that theirs overlap.

    Without the scorers' verdicts, which would lead the reviewer; failed requests have nothing to judge.
    """
    good = [replace(one, scores={}) for one in answers if one.error is None]
    random.Random(seed).shuffle(good)
    return good[:limit]


def labels_by_answer(labels: Sequence[Label]) -> dict[int, list[Label]]:
    """People's labels by the answer that they are of."""
    found: dict[int, list[Label]] = {}
    for label in labels:
        found.setdefault(label.answer_id, []).append(label)
    return found


def trust(answers: Sequence[Answer], labels: Sequence[Label]) -> list[Trust]:
    """Each scorer against people, then people among themselves; empty where nobody has labelled."""
    import numpy as np

    from inhouse.quality.agreement import agreement_of_all, cohen_kappa, fleiss_kappa
    from inhouse.quality.judge import judged

    found = []
    for scorer in dict.fromkeys(name for one in answers for name in one.scores):
        against = judged(answers, labels, scorer)
        if against is not None:
            found.append(Trust(scorer, against.n, against.agreement, against.kappa))
    ids = {one.id for one in answers}
    ratings = [
        [label.value >= 0.5 for label in mine]
        for answer_id, mine in labels_by_answer(labels).items()
        if len(mine) > 1 and answer_id in ids
    ]
    if ratings:
        rng = np.random.default_rng(0)
        two = all(len(one) == 2 for one in ratings)
        kappa = (
            cohen_kappa([one[0] for one in ratings], [one[1] for one in ratings], rng)
            if two
            else fleiss_kappa(ratings, rng)
        )
        found.append(Trust(None, len(ratings), agreement_of_all(ratings, rng), kappa))
    return found
