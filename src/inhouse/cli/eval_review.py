"""`inhouse eval show, compare, review`: kept evaluations, read again; answers labelled by people in the terminal."""

from __future__ import annotations

import getpass
import random
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import typer

from inhouse.cli.eval_view import (
    labels_by_answer,
    print_answer,
    print_comparison,
    print_figures,
    remarks,
)
from inhouse.cli.output import console, note, print_json, print_table
from inhouse.core.errors import UsageError
from inhouse.core.records import Run
from inhouse.core.settings import get_settings
from inhouse.quality.agreement import cohen_kappa, fleiss_kappa
from inhouse.quality.answers import Answer, Answers, Label
from inhouse.quality.compare import compare_evals
from inhouse.quality.judge import judged
from inhouse.store.repository import Store

_KEYS = {"y": 1.0, "n": 0.0, "h": 0.5}


def show(
    run: Annotated[str, typer.Argument(help="A run's id, its beginning, or last.")] = "last",
    suite: Annotated[str | None, typer.Option(help="Only this suite.")] = None,
    answers: Annotated[int, typer.Option(help="Answers to show: the worst first. 0: figures only.", min=0)] = 0,
    wrong: Annotated[bool, typer.Option("--wrong", help="Show only answers that are not right.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show an evaluation's figures, and answers as they were asked and judged.

    \b
    inhouse eval show last
    inhouse eval show last --suite kobbq --answers 20 --wrong
    """
    with Store(get_settings().database_url) as store:
        found = evaluation(store, run)
        kept = Answers(store.database)
        metrics = [one for one in store.metrics(found.id) if suite is None or one.labels.get("suite") in (suite, None)]
        labels = kept.labels(found.id)
        chosen = _chosen(kept.of_run(found.id, suite=suite), answers, wrong=wrong)
        if json:
            print_json({"run": found, "metrics": metrics, "answers": chosen, "labels": labels})
            return
        print_figures(metrics, found)
        for remark in remarks(metrics):
            note(remark)
        by_answer = labels_by_answer(labels)
        for place, one in enumerate(chosen, 1):
            print_answer(one, by_answer.get(one.id or 0, ()), number=f"{place}. ")
        _trust(kept.of_run(found.id, suite=suite), labels)


def compare(
    a: Annotated[str, typer.Argument(help="The run before: id, its beginning, or last.")],
    b: Annotated[str, typer.Argument(help="The run after.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say in what two evaluations differ beyond noise, paired by item.

    \b
    inhouse eval compare 01k0abcd 01k0efgh
    """
    with Store(get_settings().database_url) as store:
        found = compare_evals(store, a, b)
        if json:
            print_json(found)
            return
        print_comparison(found, store.get_run(found.a), store.get_run(found.b))


def review(
    run: Annotated[str, typer.Argument(help="A run's id, its beginning, or last.")] = "last",
    suite: Annotated[str | None, typer.Option(help="Only this suite.")] = None,
    limit: Annotated[int, typer.Option(help="Answers to look at.", min=1)] = 20,
    person: Annotated[str | None, typer.Option("--as", help="Who judges. Default: the user's name.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the answers; the same for all reviewers, so that they overlap.")] = 0,
) -> None:
    """Judge answers yourself: y right, n wrong, h half, s skip, q stop; a note may follow. Verdicts stay hidden.

    \b
    inhouse eval review last --suite square_questions --limit 30 --as mina
    """
    who = person or getpass.getuser()
    with Store(get_settings().database_url) as store:
        found = evaluation(store, run)
        kept = Answers(store.database)
        answers = [one for one in kept.of_run(found.id, suite=suite) if one.error is None]
        if not answers:
            raise UsageError("There is nothing to review", do="See `inhouse eval show` for the run's suites")
        done = {label.answer_id for label in kept.labels(found.id) if label.person == who}
        random.Random(seed).shuffle(answers)
        waiting = [one for one in answers[:limit] if one.id not in done]
        for place, one in enumerate(waiting, 1):
            # Without the scorers' verdicts, which would lead the reviewer.
            print_answer(_bare(one), number=f"{place} of {len(waiting)}. ")
            verdict = _verdict()
            if verdict == "q":
                break
            key, _, remark = verdict.partition(" ")
            if key in _KEYS:
                kept.label(Label(one.id or 0, who, _KEYS[key], remark.strip()))
        labels = kept.labels(found.id)
        note(f"{sum(label.person == who for label in labels)} answers labelled by {who}")
        _trust(kept.of_run(found.id, suite=suite), labels)


def evaluation(store: Store, run: str) -> Run:
    """The evaluation of that id; UsageError where the run is of another kind."""
    found = store.get_run(run, kind="eval" if run == "last" else None)
    if found.kind != "eval":
        raise UsageError(f"Run {found.id} is no evaluation but a {found.kind}", do="inhouse runs list --kind eval")
    return found


def _verdict() -> str:
    while True:
        console(stderr=True).print("right? [y/n/h/s/q] ", end="")
        try:
            said = input().strip().lower()
        except EOFError:
            return "q"
        if said[:1] in ("y", "n", "h", "s", "q") and said[1:2] in ("", " "):
            return said


def _bare(answer: Answer) -> Answer:
    from dataclasses import replace

    return replace(answer, scores={})


def _chosen(answers: Sequence[Answer], count: int, *, wrong: bool) -> list[Answer]:
    """The answers to show: by their first score, the worst first."""

    def worth(one: Answer) -> float:
        first = next(iter(one.scores.values()), None)
        return -1.0 if first is None or first.value is None else first.value

    ranked = sorted(answers, key=worth)
    return [one for one in ranked if not wrong or worth(one) < 1][:count]


def _trust(answers: Sequence[Answer], labels: Sequence[Label]) -> None:
    """How far people agree among themselves, and each scorer with them; nothing where nobody labelled."""
    if not labels:
        return
    rows = []
    for scorer in dict.fromkeys(name for one in answers for name in one.scores):
        found = judged(answers, labels, scorer)
        if found is not None:
            rows.append((f"{scorer} and people", found.n, _share(found.agreement), _kappa(found.kappa)))
    ratings = [[label.value >= 0.5 for label in mine] for mine in labels_by_answer(labels).values() if len(mine) > 1]
    if ratings:
        rng = np.random.default_rng(0)
        two = all(len(one) == 2 for one in ratings)
        kappa = (
            cohen_kappa([one[0] for one in ratings], [one[1] for one in ratings], rng)
            if two
            else fleiss_kappa(ratings, rng)
        )
        same = sum(len(set(one)) == 1 for one in ratings) / len(ratings)
        rows.append(("people among themselves", len(ratings), f"{same:.0%}", _kappa(kappa)))
    if rows:
        print_table(("verdicts of", "answers", "agree", "kappa (95 %)"), rows)


def _share(found: object) -> str:
    value, low, high = (getattr(found, name) for name in ("value", "low", "high"))
    return f"{value:.0%}" + ("" if low is None else f" ({low:.0%} to {high:.0%})")


def _kappa(found: object) -> str:
    value, low, high = (getattr(found, name) for name in ("value", "low", "high"))
    return f"{value:.2f}" + ("" if low is None else f" ({low:.2f} to {high:.2f})")
