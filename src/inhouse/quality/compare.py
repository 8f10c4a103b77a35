"""Says in what two evaluations differ beyond noise: paired by item, corrected for looking at many suites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from inhouse.bench.statistics import holm
from inhouse.core.errors import UsageError
from inhouse.core.records import Run
from inhouse.quality.answers import Answer, Answers
from inhouse.quality.statistics import Difference, detectable_paired, paired_difference
from inhouse.store.repository import Store

Verdict = Literal["better", "worse", "within noise", "not tested"]


@dataclass(frozen=True, slots=True)
class Row:
    """One suite by one scorer in both runs, over the items that both have.

    `verdict` says whether B is better or worse, at 5 % over all rows together (Holm's correction). `detectable` is
    the smallest difference that so many items would show in 4 of 5 runs, at the share of answers that did change.
    """

    suite: str
    scorer: str
    a: float
    b: float
    difference: Difference
    verdict: Verdict
    detectable: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side; `warnings` say what else differs, so that the rows are read rightly."""

    a: str
    b: str
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]


def compare_evals(store: Store, a_id: str, b_id: str) -> Comparison:
    """Compares what both runs asked.

    Raises:
        UsageError: a run is no evaluation, or they have no item in common.
    """
    a, b = (store.get_run(one, kind="eval" if one == "last" else None) for one in (a_id, b_id))
    for run in (a, b):
        if run.kind != "eval":
            raise UsageError(f"Run {run.id} is no evaluation but a {run.kind}", do="inhouse runs list --kind eval")
    answers = Answers(store.database)
    ours, theirs = answers.of_run(a.id), answers.of_run(b.id)
    before, after = scores_by_item(ours), scores_by_item(theirs)
    clusters = {(one.suite, one.item): one.cluster for one in ours}
    rows = []
    for key in before.keys() & after.keys():
        common = sorted(before[key].keys() & after[key].keys())
        if not common:
            continue
        left, right = [before[key][one] for one in common], [after[key][one] for one in common]
        changed = sum(x != y for x, y in zip(left, right, strict=True)) / len(common)
        rows.append(
            Row(
                *key,
                a=sum(left) / len(left),
                b=sum(right) / len(right),
                difference=paired_difference(left, right, [clusters[key[0], one] for one in common]),
                verdict="not tested",
                detectable=detectable_paired(len(common), max(changed, 1 / len(common))),
            )
        )
    if not rows:
        raise UsageError(
            f"The runs {a.id} and {b.id} have no item in common", do="Run the same suites with both models"
        )
    rows.sort(key=lambda row: (row.suite, row.scorer))
    return Comparison(a.id, b.id, tuple(_judged(rows)), tuple(_warnings(a, b)))


def scores_by_item(answers: Sequence[Answer]) -> dict[tuple[str, str], dict[str, float]]:
    """By suite and scorer the mean score of each item, over its prompts and repeats."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for one in answers:
        for scorer, score in one.scores.items():
            if score.value is not None and one.error is None:
                found.setdefault((one.suite, scorer), {}).setdefault(one.item, []).append(score.value)
    return {key: {item: sum(values) / len(values) for item, values in items.items()} for key, items in found.items()}


def _judged(rows: Sequence[Row]) -> list[Row]:
    tested = [row for row in rows if row.difference.p is not None]
    fallen = holm([row.difference.p or 0.0 for row in tested])
    verdicts = {
        (row.suite, row.scorer): ("better" if row.difference.value > 0 else "worse") if falls else "within noise"
        for row, falls in zip(tested, fallen, strict=True)
    }
    return [replace(row, verdict=verdicts.get((row.suite, row.scorer), row.verdict)) for row in rows]  # type: ignore[arg-type]


def _warnings(a: Run, b: Run) -> list[str]:
    found = []
    ours, theirs = a.config.get("fingerprints", {}), b.config.get("fingerprints", {})
    found += [
        f"{suite} has changed between the runs: only items that both have are compared"
        for suite in ours.keys() & theirs.keys()
        if ours[suite] != theirs[suite]
    ]
    only = sorted(ours.keys() ^ theirs.keys())
    if only:
        found.append(f"only one of the runs has {', '.join(only)}")
    found += _differences("seed", {"a": a.seed, "b": b.seed})
    found += _differences("engine", {"a": a.environment.engine_version, "b": b.environment.engine_version})
    return found


def _differences(name: str, values: Mapping[str, object]) -> list[str]:
    return [] if len(set(values.values())) == 1 else [f"{name}: {values['a']} and {values['b']}"]
