"""Question sets and labels of `inhouse docs eval`: questions made by a model, and answers that people have labelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inhouse.cli.engine import open_for
from inhouse.cli.output import note, print_json, print_table, progress

if TYPE_CHECKING:
    from inhouse.cli.engine import OpenEngine
    from inhouse.core.records import Metric
    from inhouse.docs.questions import Question
    from inhouse.docs.search import Searcher
    from inhouse.docs.stores.base import StoredChunk


async def generate_questions(
    searcher: Searcher, count: int, unanswerable: int, review: Path, engine: str | None, model: str | None, seed: int
) -> None:
    """Makes questions from the documents and writes them, good and bad, to be reviewed."""
    from inhouse.docs.generate import generate
    from inhouse.docs.questions import as_row, write_questions

    rows: list[dict[str, Any]] = []
    known: list[tuple[Question, StoredChunk]] = []
    async with open_for(engine, model, slots=1) as opened:
        with progress() as bar:
            task = bar.add_task("making questions", total=count, detail="")
            async for made in generate(searcher, opened.engine, opened.model, count=count, seed=seed):
                rows.append(as_row(made.question) | {"keep": not made.problem, "problem": made.problem})
                if not made.problem and made.stored is not None:
                    known.append((made.question, made.stored))
                bar.update(task, completed=len(known), detail=made.problem or "kept")
        write_questions(review, rows)
        if unanswerable:
            without = await _unanswerable(searcher, opened, unanswerable, known, seed)
            write_questions(review, [*rows, *without])
            good = sum(bool(row["keep"]) for row in without)
            note(f"{good} of {len(without)} questions without an answer passed; each names the passages nearest to one")
    note(f"{len(known)} of {len(rows)} questions passed the checks and are in {review}, with the others and why not")
    note("review them: set keep to false for bad ones, mend answers; then: inhouse docs eval " + str(review))


async def _unanswerable(
    searcher: Searcher, opened: OpenEngine, count: int, known: list[tuple[Question, StoredChunk]], seed: int
) -> list[dict[str, Any]]:
    from inhouse.docs.unanswerable import as_json, generate_unanswerable, noticed_from

    noticed = await noticed_from(known, opened.engine, opened.model)
    rows = []
    with progress() as bar:
        task = bar.add_task("making questions without an answer", total=count, detail="")
        async for made in generate_unanswerable(
            searcher, opened.engine, opened.model, count=count, noticed=noticed, seed=seed
        ):
            rows.append(as_json(made))
            bar.update(task, completed=sum(bool(row["keep"]) for row in rows), detail=made.problem or "kept")
    return rows


def show_labels(path: Path, seed: int, *, json: bool) -> None:
    """Prints how far the judge, the right wordings and people agree on the answers of a labelled file."""
    from inhouse.docs.judging import read_labels, trust

    answers = read_labels(path)
    metrics = trust(answers, seed=seed)
    told = [one.right for one in answers if one.right is not None]
    if json:
        print_json({"labelled": len(told), "right": sum(told), "metrics": metrics})
        return
    print_agreement(metrics)
    note(f"people call {sum(told)} of {len(told)} answers right")


def print_agreement(metrics: Sequence[Metric]) -> None:
    """How far each two kinds of verdicts agree; nothing where no answer has two."""
    found = {(one.name, one.labels["of"], one.labels["with"]): one for one in metrics if "with" in one.labels}
    rows = [
        (
            f"{of} and {against}", f"{share.value:.2f}", interval(share), f"{kappa.value:.2f}", interval(kappa),
            share.n,
        )
        for (name, of, against), share in found.items() if name == "agreement"
        for kappa in [found["kappa", of, against]]
    ]  # fmt: skip
    if rows:
        print_table(("Verdicts of", "Agree", "95 % interval", "Kappa", "95 % interval", "Answers"), rows)


def interval(metric: Metric) -> str:
    """The figure's 95 % interval."""
    if metric.low is None or metric.high is None:
        return "too few"
    return f"{metric.low:.0f} – {metric.high:.0f}" if metric.unit else f"{metric.low:.3f} – {metric.high:.3f}"
