"""`inhouse eval`: judges a model's answers by suites, with intervals; compares runs, and holds them against bars."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli import eval_exchange, eval_files, eval_review
from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP, OpenEngine, open_for
from inhouse.cli.eval_view import print_checks, print_estimates, print_figures, print_suites, remarks, watching
from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_json
from inhouse.cli.run_view import short_id
from inhouse.core.errors import EngineError, QualityError, RunInterrupted, UsageError
from inhouse.core.records import Run
from inhouse.core.settings import get_settings
from inhouse.core.units import parse_seconds
from inhouse.quality.estimate import Estimate, paces
from inhouse.quality.estimate import estimate as estimated
from inhouse.quality.runner import EvalPlan, EvalProgress, evaluate
from inhouse.quality.scorers import Support
from inhouse.quality.suite import Suite
from inhouse.quality.suite_files import load_suites, suite_files
from inhouse.store.repository import Store

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    help="Judge a model's answers by suites, with error bars.",
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(
    suite: Annotated[
        list[str] | None, typer.Option(help="A suite's name or path. Default: all that have a name.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List suites: items, what they ask, where they come from, and the difference that they can show.

    \b
    inhouse eval list
    inhouse eval list --suite my_suites/
    """
    suites = load_suites(suite or sorted(suite_files()))
    if json:
        print_json([{**asdict(replace(one, items=())), "items": len(one.items)} for one in suites])
        return
    print_suites(suites)


@app.command()
def run(
    suite: Annotated[list[str] | None, typer.Option(help="A suite's name or path; repeatable.")] = None,
    engine: Annotated[str | None, typer.Option(help=ENGINE_HELP)] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    budget: Annotated[str | None, typer.Option(help="Time for all suites together, such as 10m.")] = None,
    limit: Annotated[int | None, typer.Option(help="Items of each suite, drawn by the seed.", min=1)] = None,
    samples: Annotated[int | None, typer.Option(help="Answers to each item. Default: the suite's.", min=1)] = None,
    precision: Annotated[
        float | None, typer.Option(help="End a suite once its figure is known to ± so many points.", min=0.5, max=50)
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Requests at once. Default: the engine's slots.", min=1)
    ] = None,
    context: Annotated[int | None, typer.Option(help="Context of each request (embedded engine).", min=256)] = None,
    seed: Annotated[int, typer.Option(help="Draws items and seeds the sampling.")] = 0,
    judge: Annotated[str | None, typer.Option(help="Model that judges. Default: the model itself.")] = None,
    judge_engine: Annotated[str | None, typer.Option(help="Engine of the judge. Default: the same.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask anew what was answered before.")] = False,
    estimate: Annotated[bool, typer.Option("--estimate", help="Say what it would take, and stop.")] = False,
    fail_under: Annotated[
        list[str] | None, typer.Option(help="0.7 or suite=0.7: exit 1 where a figure is under it beyond noise.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="RUN", help="Exit 1 where a suite is worse than in RUN beyond noise.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the checks as JUnit XML.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a stopped run.")] = None,
    json: JsonOption = False,
) -> None:
    """Ask a model all items of the suites and judge its answers; each prompt and answer is kept.

    \b
    inhouse eval run --suite kobbq --limit 100
    inhouse eval run --suite korean_knowledge --suite my_suite.toml --budget 10m
    inhouse eval run --suite bbq --fail-under 0.5 --baseline last --junit eval.xml
    inhouse eval run --resume last
    """
    with Store(get_settings().database_url) as store:
        stopped = _stopped(store, resume) if resume else None
        if stopped is not None:
            if suite:
                raise UsageError("A resumed run has its own suites", do="Give --resume alone, or leave it out")
            plan = EvalPlan.from_dict(stopped.config)
            engine, model = engine or stopped.engine, model or stopped.model
        else:
            if not suite:
                raise UsageError("Which suite?", do="Name one with --suite; `inhouse eval list` shows them")
            plan = EvalPlan(
                suites=tuple(suite),
                seed=seed,
                limit=limit,
                samples=samples,
                budget_s=None if budget is None else parse_seconds(budget, "The budget"),
                half_width=None if precision is None else precision / 100,
                fresh=fresh,
            )
        suites = load_suites(plan.suites)
        bars, against = eval_files.read_bars(store, fail_under or [], baseline, [one.name for one in suites])
        opening = _Opening(engine, model, context, concurrency, judge, judge_engine)
        if estimate:
            found = run_async(opening.estimate(store, suites, plan))
            print_json(found) if json else print_estimates(found)
            return
        done = _measured(store, suites, plan, stopped, opening)
        metrics = store.metrics(done.id)
        checks = eval_files.checks(store, done, metrics, bars, against)
        if junit is not None:
            eval_files.write_junit(junit, done, metrics, checks)
    if json:
        print_json({"run": done, "metrics": metrics, "checks": checks})
    else:
        print_figures(metrics, done)
        for remark in remarks(metrics):
            note(remark)
        print_checks(checks)
        note(f"kept: inhouse eval show {short_id(done.id)}")
    if not all(check.passed for check in checks):
        raise typer.Exit(1)


class _Opening:
    """How the engine and the judge are opened, as the options say."""

    def __init__(
        self, engine: str | None, model: str | None, context: int | None, concurrency: int | None,
        judge: str | None, judge_engine: str | None,
    ) -> None:  # fmt: skip
        self._named = (engine, model)
        self._context = context
        self._concurrency = concurrency
        self._judge = judge
        self._judge_engine = judge_engine

    def engine(self) -> AbstractAsyncContextManager[OpenEngine]:
        """The engine to judge."""
        return open_for(*self._named, context=self._context, slots=self._concurrency)

    def at_once(self, opened: OpenEngine) -> int:
        """The engine's slots where they are known, else what a server usually takes."""
        if self._concurrency is not None:
            return self._concurrency
        if opened.engine.name == "embedded":
            from inhouse.models.launch import launch_spec

            return launch_spec(opened.settings, opened.model).slots
        return 4

    async def support(self, opened: OpenEngine, suites: list[Suite], stack: AsyncExitStack) -> Support:
        """The judge that was named; else the model judges itself, which is said."""
        if self._judge is not None or self._judge_engine is not None:
            judge = await stack.enter_async_context(open_for(self._judge_engine or self._named[0], self._judge))
            return Support(judge_engine=judge.engine, judge_model=judge.model)
        if any(use.name == "judge" for suite in suites for use in suite.scorers):
            note(f"{opened.model} judges its own answers; name another judge with --judge")
        return Support(judge_engine=opened.engine, judge_model=opened.model)

    async def estimate(self, store: Store, suites: list[Suite], plan: EvalPlan) -> list[Estimate]:
        """What the run would take; one answer is timed where nothing is known."""
        async with self.engine() as opened:
            known = paces(store, opened.model, opened.environment)
            return await estimated(opened.engine, suites, plan, model=opened.model, paces=known, pilot=True)


def _measured(store: Store, suites: list[Suite], plan: EvalPlan, stopped: Run | None, opening: _Opening) -> Run:
    """Runs the suites; a stop says how to go on."""
    run_id: list[str] = []
    try:
        return run_async(_measure(store, suites, plan, stopped, opening, run_id))
    except KeyboardInterrupt:
        if not run_id:
            raise
        raise RunInterrupted(
            f"The run {short_id(run_id[0])} was stopped", why="its answers are kept",
            do=f"Go on with `inhouse eval run --resume {short_id(run_id[0])}`",
        ) from None  # fmt: skip
    except (EngineError, QualityError):
        if run_id:
            note(f"what was answered is kept: inhouse eval run --resume {short_id(run_id[0])}")
        raise


async def _measure(
    store: Store, suites: list[Suite], plan: EvalPlan, stopped: Run | None, opening: _Opening, run_id: list[str]
) -> Run:
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(opening.engine())
        support = await opening.support(opened, suites, stack)
        plan = replace(plan, concurrency=opening.at_once(opened))
        known = paces(store, opened.model, opened.environment)
        takes = await estimated(opened.engine, suites, plan, model=opened.model, paces=known, pilot=False)
        print_estimates(takes, stderr=True)
        with watching() as show:

            def told(now: EvalProgress) -> None:
                run_id[:] = [now.run_id]
                show(now)

            return await evaluate(
                opened.engine, store, suites, plan, model=opened.model, environment=opened.environment,
                support=support, run_id=stopped.id if stopped else None, on_progress=told,
            )  # fmt: skip


def _stopped(store: Store, resume: str) -> Run:
    found = store.get_run(resume, kind="eval" if resume == "last" else None)
    if found.kind != "eval":
        raise UsageError(f"Run {resume} is no evaluation but a {found.kind}", do="inhouse runs list --kind eval")
    return found


app.command("show")(eval_review.show)
app.command("compare")(eval_review.compare)
app.command("review")(eval_review.review)
app.command("import")(eval_exchange.import_)
app.command("export")(eval_exchange.export)
