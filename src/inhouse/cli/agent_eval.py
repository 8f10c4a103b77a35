"""`inhouse agent eval`: a model's tool calls on others' tasks, by their official scoring, kept as a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from inhouse.agent.config import AgentConfig
from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP, open_for
from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_json, print_table
from inhouse.core.errors import UsageError
from inhouse.core.records import Metric, Run
from inhouse.store.repository import Store


def eval_(
    suite: Annotated[str, typer.Argument(help="bfcl, functionchat, or agentdojo (injections; needs no model).")],
    data: Annotated[
        Path | None, typer.Option(help="The folder with the suite's files, as its authors give them.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Only this category (of agentdojo: suite). Repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Tasks of each category, drawn by the seed; 0: all.", min=0)] = 20,
    trials: Annotated[int, typer.Option(help="Tries at each task, for pass^k.", min=1)] = 1,
    plain: Annotated[bool, typer.Option("--plain", help="Try the engine's plain tool calling beside it.")] = False,
    engine: Annotated[str | None, typer.Option(help=ENGINE_HELP)] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    tool_form: Annotated[str, typer.Option(help="How calls are asked for: native, text or schema.")] = "native",
    temperature: Annotated[float, typer.Option(help="0 makes every try the same.", min=0)] = 0.0,
    seed: Annotated[int, typer.Option(help="Draws the tasks and seeds the model.")] = 0,
    prices: Annotated[Path | None, typer.Option(help="Price table (TOML), as the gateway's.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the run and its figures as JSON.")] = False,
) -> None:
    """Try the agent on published tasks; keep every try and the figures as a run.

    \b
    inhouse agent eval bfcl --data bfcl_v4 --category simple_python --category irrelevance
    inhouse agent eval functionchat --data functionchat_bench --trials 4 --temperature 0.7 --plain
    inhouse agent eval agentdojo --category banking
    """
    if suite == "agentdojo":
        run_async(_attack(category or [], limit, json=json))
        return
    if data is None:
        raise UsageError(f"Where are {suite}'s files?", do="Name their folder: --data PATH")
    if trials > 1 and temperature == 0:
        raise UsageError("At temperature 0 every try is the same", do="Give a --temperature, such as 0.7")
    if tool_form not in ("native", "text", "schema"):
        raise UsageError(f"There is no tool form {tool_form!r}", do="Choose native, text or schema")
    config = AgentConfig("", tool_form=tool_form, temperature=temperature, seed=seed, max_tokens=256)  # type: ignore[arg-type]
    run_async(_evaluate(suite, data, category or [], limit or None, trials, engine, model, config, prices, plain=plain,
                        as_json=json))  # fmt: skip


async def _evaluate(
    suite: str, data: Path, categories: list[str], limit: int | None, trials: int, engine: str | None,
    model: str | None, config: AgentConfig, prices: Path | None, *, plain: bool, as_json: bool,
) -> None:  # fmt: skip
    from inhouse.agent.evaluation.attempt import Attempt
    from inhouse.agent.evaluation.measure import evaluate
    from inhouse.agent.evaluation.tasks import load_tasks
    from inhouse.cli.agent_session import price_of

    tasks = load_tasks(suite, data, categories, limit, config.seed)
    passed = 0

    def told(one: Attempt, done: int, of: int) -> None:
        nonlocal passed
        passed += one.passed
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} of {of} tries, {passed} passed ")
            sys.stderr.flush()

    async with open_for(engine, model, context=config.context, slots=1) as opened:
        with Store(opened.settings.database_url) as store:
            run = await evaluate(
                opened.engine, store, tasks, config.with_(model=opened.model), suite=suite,
                ways=("plain", "agent") if plain else ("agent",), trials=trials, environment=opened.environment,
                price=price_of(prices, opened.model), on_attempt=told,
            )  # fmt: skip
            found = store.metrics(run.id)
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    _print(run, found, as_json=as_json)


def _print(run: Run, found: list[Metric], *, as_json: bool) -> None:
    if as_json:
        print_json({"run": run, "metrics": found})
        return
    rows = []
    for metric in found:
        labels = metric.labels
        what = next((str(labels[key]) for key in ("failure", "saved", "problem") if key in labels), "")
        name = f"pass^{labels['k']}" if "k" in labels else metric.name
        value = f"{metric.value:.3g}"
        interval = "" if metric.low is None or metric.high is None else f"{metric.low:.3g} to {metric.high:.3g}"
        rows.append((str(labels.get("way", "")), str(labels.get("category", "")), name, what, value, interval,
                     "" if metric.n is None else str(metric.n)))  # fmt: skip
    print_table(("way", "category", "figure", "", "value", "95 %", "n"), rows)
    note(f"kept: inhouse runs show {run.id[:10]}")


async def _attack(suites: list[str], limit: int, *, json: bool) -> None:
    """Every injection against the model that obeys it, with and without the policy."""
    from inhouse.agent.evaluation.attacks import run_suites
    from inhouse.core.environment import read_environment
    from inhouse.core.settings import get_settings

    with Store(get_settings().database_url) as store:
        run = await run_suites(
            store, suites, limit or None, environment=read_environment(),
            on_done=lambda name: note(f"{name}: done"),
        )  # fmt: skip
        found = store.metrics(run.id)
    _print(run, found, as_json=json)
