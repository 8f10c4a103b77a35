"""`inhouse eval show, compare, review`: kept evaluations, read again; answers labelled by people in the terminal."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import Annotated

import typer

from inhouse.bench.statistics import Estimate
from inhouse.cli.eval_view import (
    print_answer,
    print_comparison,
    print_figures,
    remarks,
)
from inhouse.cli.output import console, note, print_json, print_table
from inhouse.core.errors import UsageError
from inhouse.core.records import Run
from inhouse.core.settings import get_settings
from inhouse.quality.answers import Answer, Answers, Label
from inhouse.quality.compare import compare_evals
from inhouse.quality.review import VERDICTS, labels_by_answer, to_review, trust
from inhouse.store.repository import Store


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
        drawn = to_review(kept.of_run(found.id, suite=suite), seed=seed, limit=limit)
        if not drawn:
            raise UsageError("There is nothing to review", do="See `inhouse eval show` for the run's suites")
        done = {label.answer_id for label in kept.labels(found.id) if label.person == who}
        waiting = [one for one in drawn if one.id not in done]
        for place, one in enumerate(waiting, 1):
            print_answer(one, number=f"{place} of {len(waiting)}. ")
            verdict = _verdict()
            if verdict == "q":
                break
            key, _, remark = verdict.partition(" ")
            if key in VERDICTS:
                kept.label(Label(one.id or 0, who, VERDICTS[key], remark.strip()))
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


def _chosen(answers: Sequence[Answer], count: int, *, wrong: bool) -> list[Answer]:
    """The answers to show: by their first score, the worst first."""

    def worth(one: Answer) -> float:
        first = next(iter(one.scores.values()), None)
        return -1.0 if first is None or first.value is None else first.value

    ranked = sorted(answers, key=worth)
    return [one for one in ranked if not wrong or worth(one) < 1][:count]


def _trust(answers: Sequence[Answer], labels: Sequence[Label]) -> None:
    """How far people agree among themselves, and each scorer with them; warns of a judge without labels."""
    if not labels:
        if any("judge" in score.detail for one in answers for score in one.scores.values()):
            note("a model's verdicts, not held against people's yet: judge some yourself with `inhouse eval review`")
        return
    rows = [
        (
            "people among themselves" if one.scorer is None else f"{one.scorer} and people",
            one.n, _share(one.agreement), _kappa(one.kappa),
        )
        for one in trust(answers, labels)
    ]  # fmt: skip
    if rows:
        print_table(("verdicts of", "answers", "agree", "kappa (95 %)"), rows)


def _share(found: Estimate) -> str:
    return f"{found.value:.0%}" + ("" if found.low is None else f" ({found.low:.0%} to {found.high:.0%})")


def _kappa(found: Estimate) -> str:
    return f"{found.value:.2f}" + ("" if found.low is None else f" ({found.low:.2f} to {found.high:.2f})")
