"""What Korean costs: tokens for the same sentence in Korean and in English, and how well a model keeps to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inhouse.bench.statistics import ratio_of_sums
from inhouse.core.errors import UnsupportedFeature
from inhouse.core.records import Metric, Scalar
from inhouse.quality.answers import Answer
from inhouse.quality.figures import figures
from inhouse.quality.measures.base import Asking, in_turn, of_estimate, rng, share
from inhouse.quality.suite import Suite
from inhouse.quality.suite_files import OWN


def parallel_sentences() -> list[Mapping[str, Any]]:
    """Sentences in Korean (`ko`) with their English translation (`en`)."""
    return [json.loads(line) for line in (OWN / "parallel.jsonl").read_text(encoding="utf-8").splitlines()]


async def token_cost(asking: Asking) -> list[Metric]:
    """Tokens a letter in both languages, and `korean_token_ratio`: tokens of Korean for each of the same in English.

    Empty where the engine cannot count tokens.
    """
    engine, model = asking.session.engine, asking.session.model
    counts: dict[str, list[float]] = {"ko": [], "en": []}
    letters: dict[str, list[float]] = {"ko": [], "en": []}
    try:
        for row in parallel_sentences():
            for lang in counts:
                counts[lang].append(float(await engine.count_tokens(model, row[lang])))
                letters[lang].append(float(len(row[lang])))
    except UnsupportedFeature:
        return []
    tokens = {lang: np.array(values) for lang, values in counts.items()}
    found = []
    for lang in counts:
        estimate = ratio_of_sums(tokens[lang], np.array(letters[lang]), rng(asking.seed))
        found.append(of_estimate("tokens_per_letter", estimate, {"language": lang}, "bootstrap by sentence"))
    ratio = ratio_of_sums(tokens["ko"], tokens["en"], rng(asking.seed))
    return [*found, of_estimate("korean_token_ratio", ratio, method="bootstrap by sentence")]


async def skills(asking: Asking, suites: Sequence[Suite]) -> tuple[list[Metric], list[Answer]]:
    """The suites of Korean one after the other, each with an equal part of what time is left."""
    found: list[Metric] = []
    every: list[Answer] = []
    for place, suite in enumerate(suites):
        tag = next(iter(suite.items[0].tags), "")
        part = asking.within(1 / (len(suites) - place))
        # By log-probability alone where that is what the suite's headline goes by: one token instead of an answer.
        lean = suite.with_(scorers=suite.scorers[:1])
        answers = await part.suite(lean, in_turn(suite.items, tag, asking.seed), least=3)
        kept = figures(lean, answers)
        found += [metric for metric in kept if set(metric.labels) <= {"suite", "scorer"}]
        found += _register(lean, answers)
        every += answers
    return found, every


def _register(suite: Suite, answers: Sequence[Answer]) -> list[Metric]:
    """Of answers whose language was judged: the share of Hangul, and how many drifted or were not polite."""
    judged = [one.scores["language"].detail for one in answers if "language" in one.scores]
    labels: dict[str, Scalar] = {"suite": suite.name}
    found = share("hangul_share", [float(detail["share"] or 0) for detail in judged], labels)
    found += share("language_drift", [float(bool(detail["drift"])) for detail in judged], labels)
    return found + share("polite_share", [float(bool(detail["polite"])) for detail in judged], labels)
