"""`inhouse agent eval`: a model's tool calls on others' tasks, by their official scoring, kept as a run."""

from __future__ import annotations

import math
import random
import sys
import time
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.agent.config import AgentConfig
from inhouse.cli.agent_eval_view import print_evaluation
from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP, open_for
from inhouse.cli.main import run_async
from inhouse.cli.output import note
from inhouse.core.errors import MissingExtra, UnsupportedFeature, UsageError
from inhouse.store.repository import Store

if TYPE_CHECKING:
    from inhouse.agent.evaluation.attempt import Attempt, Way
    from inhouse.agent.evaluation.dialogue import Dialogue
    from inhouse.agent.evaluation.tasks import Task


def eval_(
    suite: Annotated[
        str, typer.Argument(help="bfcl, functionchat, tau2, office (no files), or agentdojo (injections; no model).")
    ],
    data: Annotated[
        Path | None, typer.Option(help="The folder with the suite's files, as its authors give them.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Only this category (of agentdojo: suite). Repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Tasks of each category, drawn by the seed; 0: all.", min=0)] = 20,
    minutes: Annotated[
        float,
        typer.Option(
            help="End after so many minutes, the tasks in a random order by the seed; 0: when all are done.", min=0
        ),
    ] = 0.0,
    trials: Annotated[int, typer.Option(help="Tries at each task, for pass^k.", min=1)] = 1,
    plain: Annotated[bool, typer.Option("--plain", help="Try the engine's plain tool calling beside it.")] = False,
    against: Annotated[
        str | None, typer.Option(help="Try another framework's agent beside it, on the same engine: langchain.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help=ENGINE_HELP)] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    tool_form: Annotated[str, typer.Option(help="How calls are asked for: native, text or schema.")] = "native",
    context: Annotated[
        int | None, typer.Option(help="Context window in tokens; default: what the tasks take.", min=512)
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 makes every try the same.", min=0)] = 0.0,
    seed: Annotated[int, typer.Option(help="Draws the tasks and seeds the model.")] = 0,
    prices: Annotated[Path | None, typer.Option(help="Price table (TOML), as the gateway's.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the run and its figures as JSON.")] = False,
) -> None:
    """Try the agent on published tasks; keep every try and the figures as a run.

    \b
    inhouse agent eval bfcl --data bfcl_v4 --category simple_python --category irrelevance
    inhouse agent eval functionchat --data functionchat_bench --trials 4 --temperature 0.7 --plain
    inhouse agent eval bfcl --data bfcl_v4 --category multi_turn_base --against langchain
    inhouse agent eval tau2 --data tau2 --category retail --trials 4 --temperature 0.7
    inhouse agent eval office --against langchain
    inhouse agent eval agentdojo --category banking
    """
    if suite == "agentdojo":
        run_async(_attack(category or [], limit, json=json))
        return
    if data is None and suite != "office":
        raise UsageError(f"Where are {suite}'s files?", do="Name their folder: --data PATH")
    if trials > 1 and temperature == 0:
        raise UsageError("At temperature 0 every try is the same", do="Give a --temperature, such as 0.7")
    if tool_form not in ("native", "text", "schema"):
        raise UsageError(f"There is no tool form {tool_form!r}", do="Choose native, text or schema")
    config = AgentConfig("", tool_form=tool_form, temperature=temperature, seed=seed, max_tokens=256)  # type: ignore[arg-type]
    tasks, config = _tasks_of(suite, data, category or [], limit or None, config)
    config = config.with_(context=context)
    ways = ways_of(plain=plain, against=against)
    if minutes:  # what is tried within them is then a sample of all
        random.Random(seed).shuffle(tasks)
    until = time.monotonic() + 60 * minutes if minutes else math.inf
    run_async(_evaluate(suite, tasks, trials, engine, model, config, prices, ways, until, as_json=json))


def ways_of(*, plain: bool, against: str | None) -> tuple[Way, ...]:
    """Which sides are tried. UsageError for a framework that is not known, MissingExtra for one that is not here."""
    if against is None:
        return ("plain", "agent") if plain else ("agent",)
    if against != "langchain":
        raise UsageError(f"There is no framework {against!r} to compare with", do="Choose langchain")
    if find_spec("langchain") is None:
        raise MissingExtra("LangChain is not installed", do="pip install 'inhouse[langchain]'")
    return ("plain", "agent", "langchain") if plain else ("agent", "langchain")


def _tasks_of(
    suite: str, data: Path | None, categories: list[str], limit: int | None, config: AgentConfig
) -> tuple[list[Task | Dialogue], AgentConfig]:
    """The suite's tasks, and the agent with the context that they take."""
    from inhouse.agent.evaluation.dialogues import CONTEXT, categories_of, load_dialogues
    from inhouse.agent.evaluation.rows import draw
    from inhouse.agent.evaluation.tasks import load_tasks
    from inhouse.study.office_tasks import office_tasks

    if data is None:
        tasks: list[Task | Dialogue] = []
        for lang in categories or ["ko", "en"]:
            if lang not in ("ko", "en"):
                raise UsageError(f"office has no category {lang!r}", do="Choose ko or en")
            tasks += [replace(task, id=f"{task.id} {lang}", category=lang)
                      for task in draw(office_tasks(lang), limit, config.seed, lang)]  # fmt: skip
        return tasks, config
    known = categories_of(suite)
    several = [one for one in categories or (known if suite == "tau2" else ()) if one in known or suite == "tau2"]
    single = [one for one in categories if one not in several]
    tasks = [*load_dialogues(suite, data, several, limit, config.seed)]
    if single or not several:
        tasks += load_tasks(suite, data, single, limit, config.seed)
    if several:
        config = replace(config, context=CONTEXT, limits=replace(config.limits, steps=20))
    return tasks, config


async def _evaluate(
    suite: str, tasks: list[Task | Dialogue], trials: int, engine: str | None, model: str | None, config: AgentConfig,
    prices: Path | None, ways: tuple[Way, ...], until: float, *, as_json: bool,
) -> None:  # fmt: skip
    from inhouse.agent.evaluation.measure import evaluate
    from inhouse.cli.agent_session import price_of

    passed = 0

    def told(one: Attempt, done: int, of: int) -> None:
        nonlocal passed
        passed += one.passed
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} of {of} tries, {passed} passed ")
            sys.stderr.flush()

    async with open_for(engine, model, context=config.context, slots=2 if suite == "tau2" else 1) as opened:
        with suppress(UnsupportedFeature):  # a server of others' has its models loaded
            await opened.engine.load(opened.model)  # or the first side that is tried would seem to be slow
        with Store(opened.settings.database_url) as store:
            run = await evaluate(
                opened.engine, store, tasks, config.with_(model=opened.model), suite=suite,
                ways=ways, trials=trials, environment=opened.environment, price=price_of(prices, opened.model),
                on_attempt=told, enough=lambda: time.monotonic() > until,
            )  # fmt: skip
            found = store.metrics(run.id)
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    print_evaluation(run, found, as_json=as_json)


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
    print_evaluation(run, found, as_json=json)
