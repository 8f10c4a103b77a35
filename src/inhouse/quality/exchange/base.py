"""An evaluation on its way between programs, and how one that comes in is kept as a run.

Knows no file format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from inhouse.core.environment import Environment
from inhouse.core.errors import QualityError, UsageError
from inhouse.core.records import Run, RunStatus, Scalar
from inhouse.quality.answers import Answer, Answers, Label
from inhouse.quality.figures import figures
from inhouse.quality.runner import RUN_KIND, described, fingerprint
from inhouse.quality.suite import Item, Prompt, ScorerUse, Suite
from inhouse.quality.suite_files import load_suites
from inhouse.store.repository import Store

ELSEWHERE = Environment("not known", 0, 0, (), 0, "not known", "not known")
"""The machine of a run that another program made: its file does not say."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What a file says of an evaluation. `by` is the program with its version, `made_at` when it ran, where it says.

    `labels` are people's verdicts by the key of the answer that they are of. `notes` say what was left out.
    """

    answers: tuple[Answer, ...]
    by: str
    model: str = ""
    made_at: datetime | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[tuple[str, str], Mapping[str, Scalar]] = field(default_factory=dict)
    labels: tuple[tuple[tuple[str, str, str, int], Label], ...] = ()
    notes: tuple[str, ...] = ()


def keep(store: Store, found: Exchanged, *, file: str, sha256: str) -> Run:
    """Keeps an evaluation made elsewhere as a run that is done, with figures computed here from its scores.

    Its machine is not known and nothing says what was sent: its answers are never taken over by later runs.

    Raises:
        QualityError: the file holds no answer, or one twice.
    """
    _check(found)
    suites = suites_of(found)
    config: dict[str, Any] = {
        "suites": [suite.name for suite in suites],
        "seed": 0,
        "fingerprints": {suite.name: fingerprint(suite) for suite in suites},
        "scorers": described(suites),
        "imported": {
            "by": found.by,
            "file": file,
            "sha256": sha256,
            "made_at": found.made_at.isoformat() if found.made_at else None,
            "notes": list(found.notes),
        },
    }
    run = store.create_run(RUN_KIND, config, seed=0, environment=ELSEWHERE, model=found.model or None, engine=found.by)
    answers = Answers(store.database)
    answers.add(run.id, (replace(one, digest=_digest(run.id, one), cached_from=None) for one in found.answers))
    if found.labels:
        ids = {one.key: one.id for one in answers.of_run(run.id)}
        for key, label in found.labels:
            answers.label(replace(label, answer_id=ids[key] or 0))
    by_suite = {suite.name: [one for one in found.answers if one.suite == suite.name] for suite in suites}
    store.set_metrics(run.id, [one for suite in suites for one in figures(suite, by_suite[suite.name])])
    return store.finish_run(run.id, RunStatus.DONE)


def suites_of(found: Exchanged) -> list[Suite]:
    """What was asked, as far as the answers show it: enough for figures and comparisons, not to ask it again."""
    made = []
    for name in dict.fromkeys(one.suite for one in found.answers):
        mine = [one for one in found.answers if one.suite == name]
        items = {
            one.item: Item(
                one.item, {"question": one.question}, one.targets, one.choices, one.cluster or one.item,
                found.tags.get((name, one.item), {}),
            )
            for one in mine
        }  # fmt: skip
        prompts = dict.fromkeys(one.prompt for one in mine)
        scorers = dict.fromkeys(key for one in mine for key in one.scores)
        made.append(
            Suite(
                name, {"en": name}, "", "", found.by, "choice" if any(one.choices for one in mine) else "text",
                tuple(Prompt(prompt, "{question}") for prompt in prompts), tuple(map(ScorerUse, scorers)),
                tuple(items.values()), found.metrics.get(name, "accuracy"),
            )
        )  # fmt: skip
    return made


def of_run(store: Store, run: Run) -> Exchanged:
    """A kept run, to be written out. Targets and tags come from its suites' files where answers do not have them."""
    answers = Answers(store.database)
    kept = answers.of_run(run.id)
    if not kept:
        raise UsageError(f"Run {run.id} holds no answers", do="See `inhouse runs list --kind eval`")
    items = _items(run)
    filled = []
    for one in kept:
        item = items.get((one.suite, one.item))
        if item is not None and not one.targets:
            one = replace(one, targets=item.targets, choices=item.choices)
        filled.append(one)
    by_id = {one.id: one.key for one in kept}
    return Exchanged(
        answers=tuple(filled),
        by=run.engine or "",
        model=run.model or "",
        made_at=run.created_at,
        metrics={name: about.get("metric", "accuracy") for name, about in run.config.get("scorers", {}).items()},
        tags={key: item.tags for key, item in items.items() if item.tags},
        labels=tuple((by_id[label.answer_id], label) for label in answers.labels(run.id)),
    )


def by_suite(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    """The answers of each suite, in their order."""
    found: dict[str, list[Answer]] = {}
    for one in answers:
        found.setdefault(one.suite, []).append(one)
    return found


def _items(run: Run) -> Mapping[tuple[str, str], Item]:
    """The items of the run's suites where their files are still those that it asked."""
    if "imported" in run.config:
        return {}
    marks = run.config.get("fingerprints", {})
    try:
        suites: Sequence[Suite] = load_suites(run.config.get("suites", ()))
    except QualityError:
        return {}
    same = [suite for suite in suites if marks.get(suite.name) == fingerprint(suite)]
    return {(suite.name, item.id): item for suite in same for item in suite.items}


def _check(found: Exchanged) -> None:
    if not found.answers:
        raise QualityError("There is no answer in the file", do="Give a file of results with samples")
    seen = set()
    for one in found.answers:
        if one.key in seen:
            suite, item, prompt, repeat = one.key
            raise QualityError(
                f"The file answers the item {item!r} of {suite!r} twice",
                why=f"prompt {prompt!r}, repeat {repeat}",
                do="Import each run on its own",
            )
        seen.add(one.key)


def _digest(run_id: str, answer: Answer) -> str:
    return hashlib.sha256(f"imported\n{run_id}\n{answer.key!r}".encode()).hexdigest()
