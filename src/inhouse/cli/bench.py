"""`inhouse bench`: measures an engine under load, its cold start and its memory, and compares runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from inhouse.bench.plan import BenchPlan, Sweep, parse_objectives
from inhouse.bench.progress import BenchProgress, Report
from inhouse.cli import runs
from inhouse.cli.bench_plan import context_for, language, numbers, slots_for, stages_of
from inhouse.cli.bench_view import note_kept, print_cold_start, print_memory, print_stages, watching
from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP, open_for
from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_json, progress
from inhouse.cli.run_view import short_id
from inhouse.core.errors import BenchError, EngineError, RunInterrupted, UsageError
from inhouse.core.records import Run
from inhouse.core.settings import get_settings
from inhouse.core.units import parse_seconds
from inhouse.store.repository import Store

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    help="Measure latency, throughput, cold start and memory.",
)

EngineOption = Annotated[str | None, typer.Option("--engine", help=ENGINE_HELP)]
ModelOption = Annotated[str | None, typer.Option("--model", help=MODEL_HELP)]
NameOption = Annotated[str | None, typer.Option("--name", help="A name for the run.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    engine: EngineOption = None,
    model: ModelOption = None,
    streams: Annotated[str | None, typer.Option(help="Users at once, each waiting for answers: 1,2,4,8.")] = None,
    rate: Annotated[str | None, typer.Option(help="Requests a second, whether or not answers come: 2,4.")] = None,
    arrival: Annotated[str, typer.Option(help="How a rate's requests come: poisson or constant.")] = "poisson",
    sweep: Annotated[bool, typer.Option("--sweep", help="Raise --streams or --rate to the knee.")] = False,
    limit: Annotated[float, typer.Option(help="The highest load of a sweep.")] = 32,
    gain: Annotated[float, typer.Option(help="A sweep ends where throughput gains less than so many per cent.")] = 5,
    trace: Annotated[Path | None, typer.Option(help="Replay a trace: Azure CSV or Mooncake JSONL.")] = None,
    speed: Annotated[float, typer.Option(help="How many times as fast to replay the trace.")] = 1.0,
    prompt_tokens: Annotated[str, typer.Option(help="Length of prompts, in the model's tokens: 256,1024.")] = "256",
    output_tokens: Annotated[int, typer.Option(help="Length of answers, in the model's tokens.")] = 64,
    shared_prefix: Annotated[int, typer.Option(help="Tokens that all prompts begin with, to measure the cache.")] = 0,
    count: Annotated[int | None, typer.Option(help="Requests a stage.")] = None,
    duration: Annotated[str | None, typer.Option(help="Time a stage. Default without --count: 15s.")] = None,
    objective: Annotated[list[str] | None, typer.Option(help="ttft=2s, tpot=100ms, e2e=10s; repeatable.")] = None,
    warmup: Annotated[int, typer.Option(help="Unmeasured requests before each stage.")] = 1,
    context: Annotated[int | None, typer.Option(help="Context of a request. Default: what is needed.")] = None,
    slots: Annotated[int | None, typer.Option(help="Slots of the embedded engine. Default: the streams.")] = None,
    seed: Annotated[int, typer.Option(help="Fixes prompts and arrivals.")] = 0,
    lang_text: Annotated[str, typer.Option(help="Language of the prompts: en or ko.")] = "en",
    name: NameOption = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a stopped run.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure an engine under load; without options 1, 2 and 4 users for about a minute.

    \b
    inhouse bench run
    inhouse bench run --streams 1,8 --prompt-tokens 256,1024 --count 100
    inhouse bench run --rate 2 --arrival poisson --duration 2m --objective ttft=2s --objective tpot=100ms
    inhouse bench run --sweep --objective e2e=10s
    inhouse bench run --trace AzureLLMInferenceTrace_conv.csv --speed 0.2 --count 200
    inhouse bench run --resume last
    """
    settings = get_settings()
    with Store(settings.database_url) as store:
        if resume is not None:
            if any(given is not None for given in (streams, rate, trace)) or sweep:
                raise UsageError("A resumed run has its own plan", do="Give --resume alone, or leave it out")
            stopped = _stopped(store, resume)
            plan = BenchPlan.from_dict(stopped.config)
            engine, model = engine or stopped.engine, model or stopped.model
        else:
            stopped = None
            ends = (count, None if duration is None else parse_seconds(duration, "The duration"))
            stages = stages_of(streams, rate, arrival, trace, speed, prompt_tokens, output_tokens, shared_prefix, ends)
            kind = engine or settings.engine
            plan = BenchPlan(
                stages=() if sweep else stages,
                sweep=Sweep(stages[0], limit=limit, min_gain=gain / 100) if sweep else None,
                warmup=warmup,
                seed=seed,
                text=language(lang_text),
                objectives=parse_objectives(objective or []),
                context=context_for(stages, kind, settings) if context is None else context,
                slots=slots_for(stages, limit if sweep else None, settings) if slots is None else slots,
                name=name,
            )
        done = _measure(store, plan, engine, model, stopped)
        metrics = store.metrics(done.id)
    if json:
        print_json({"run": done, "metrics": metrics})
        return
    print_stages(metrics)
    note_kept(done)


@app.command()
def cold(
    engine: EngineOption = None,
    model: ModelOption = None,
    repeats: Annotated[int, typer.Option(help="Starts for each state of the page cache.")] = 3,
    keep_cache: Annotated[bool, typer.Option("--keep-cache", help="Measure with a warm page cache only.")] = False,
    name: NameOption = None,
    json: JsonOption = False,
) -> None:
    """Measure cold starts by part: process, load, first token; with the file on disk only, and cached.

    \b
    inhouse bench cold --model smollm2:135m --repeats 5
    """
    from inhouse.bench.cold_start import run_cold_start

    async def measure(store: Store) -> Run:
        async with open_for(engine, model) as opened:
            with progress() as display:
                task = display.add_task("cold starts", total=None, detail="")
                return await run_cold_start(
                    opened.engine,
                    store,
                    model=opened.model,
                    repeats=repeats,
                    drop_page_cache=not keep_cache,
                    environment=opened.environment,
                    name=name,
                    on_progress=lambda done, total: display.update(
                        task, completed=done, total=total, detail=f"{done}/{total}"
                    ),
                )

    with Store(get_settings().database_url) as store:
        done = run_async(measure(store))
        metrics = store.metrics(done.id)
    if json:
        print_json({"run": done, "metrics": metrics})
        return
    print_cold_start(metrics, dropped=not keep_cache)
    note_kept(done)


@app.command()
def memory(
    model: ModelOption = None,
    contexts: Annotated[str, typer.Option(help="Context tokens for each slot.")] = "512,2048,4096",
    slots: Annotated[str, typer.Option(help="Slots, each with each context.")] = "1,4",
    full: Annotated[
        bool, typer.Option("--full", help="Fill every context to its end, not just its first batch.")
    ] = False,
    name: NameOption = None,
    json: JsonOption = False,
) -> None:
    """Measure the embedded engine's memory by context and slots, beside the estimate.

    \b
    inhouse bench memory --contexts 2048,8192 --slots 1,8
    """
    from inhouse.bench.memory import FILL_TOKENS, run_memory
    from inhouse.models.choice import default_model

    settings = get_settings()
    points = [
        (context, number)
        for number in numbers(slots, int, "The number of slots")
        for context in numbers(contexts, int, "The context")
    ]
    with Store(settings.database_url) as store, progress() as display:
        task = display.add_task("memory", total=len(points), detail="")
        done = run_async(
            run_memory(
                settings,
                store,
                model=model or settings.model or default_model(settings),
                points=points,
                fill_tokens=None if full else FILL_TOKENS,
                name=name,
                on_progress=lambda done, total: display.update(task, completed=done, detail=f"{done}/{total}"),
            )
        )
        metrics = store.metrics(done.id)
    if json:
        print_json({"run": done, "metrics": metrics})
        return
    print_memory(metrics)
    note_kept(done)


app.command("compare")(runs.compare)


def _measure(store: Store, plan: BenchPlan, engine: str | None, model: str | None, stopped: Run | None) -> Run:
    """Opens the engine in the plan's shape and runs the plan; a stop says how to go on."""
    from inhouse.bench.runner import run_bench

    async def measure(report: Report) -> Run:
        async with open_for(engine, model, context=plan.context, slots=plan.slots) as opened:
            return await run_bench(
                opened.engine,
                store,
                plan,
                model=opened.model,
                run_id=stopped.id if stopped else None,
                environment=opened.environment,
                on_progress=report,
            )

    with _saying_how_to_go_on() as seen, watching() as show:

        def report(now: BenchProgress) -> None:
            seen[:] = [now.run_id]
            show(now)

        return run_async(measure(report))


@contextmanager
def _saying_how_to_go_on() -> Iterator[list[str]]:
    """Yields a list for the run's id; a run that is stopped or fails ends with the command that resumes it."""
    run_id: list[str] = []
    try:
        yield run_id
    except KeyboardInterrupt:
        if not run_id:
            raise
        raise RunInterrupted(
            f"The run {short_id(run_id[0])} was stopped",
            why="the stages it had finished are kept",
            do=f"Go on with `inhouse bench run --resume {short_id(run_id[0])}`",
        ) from None
    except (EngineError, BenchError):
        if run_id:
            note(f"what was measured is kept: inhouse bench run --resume {short_id(run_id[0])}")
        raise


def _stopped(store: Store, resume: str) -> Run:
    found = store.get_run(resume, kind="bench" if resume == "last" else None)
    if found.kind != "bench":
        raise UsageError(f"Run {resume} is no bench but a {found.kind}", do="inhouse runs list --kind bench")
    return found
