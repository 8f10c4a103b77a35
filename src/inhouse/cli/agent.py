"""`inhouse agent`: tasks and conversations with tools, their traces and replays."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from inhouse.agent.config import AgentConfig, Limits
from inhouse.agent.conversations import Conversations, title_of
from inhouse.agent.records import Conversation, Status
from inhouse.agent.session import Session
from inhouse.agent.tools.registry import tool_names
from inhouse.agent.tools.runtime import ToolRuntime
from inhouse.agent.world import Price
from inhouse.cli.agent_eval import eval_
from inhouse.cli.agent_tools import Docs, Mcp, Rules, extra_tools, policy_of
from inhouse.cli.agent_trace import replay_, trace
from inhouse.cli.agent_view import answer_approval, print_turn, show_step, turn_data
from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP, open_for
from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_error, print_json, print_table
from inhouse.cli.prompt import read_prompt
from inhouse.core.errors import InhouseError, UsageError
from inhouse.core.settings import Settings, get_settings
from inhouse.store.database import Database

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)
facts_app = typer.Typer(rich_markup_mode=None, help="What is remembered about you across conversations.")
app.add_typer(facts_app, name="facts")
app.command("trace")(trace)
app.command("replay")(replay_)
app.command("eval")(eval_)

Engine_ = Annotated[str | None, typer.Option("--engine", help=ENGINE_HELP)]
Model = Annotated[str | None, typer.Option(help=MODEL_HELP)]
Tools = Annotated[str | None, typer.Option(help="Tools, separated by commas; all: every one there is.")]
System = Annotated[str | None, typer.Option(help="System prompt.")]
Form = Annotated[str | None, typer.Option("--tool-form", help="How calls are asked for: native, text or schema.")]
Context = Annotated[int | None, typer.Option(help="Context window in tokens.", min=512)]
Steps_ = Annotated[int | None, typer.Option("--max-steps", help="Requests to the model in one turn.", min=1)]
Tokens = Annotated[int | None, typer.Option("--budget-tokens", help="Tokens that one turn may use.", min=1)]
Won = Annotated[float | None, typer.Option("--budget-krw", help="Won that one turn may cost (needs --prices).", min=0)]
Seconds = Annotated[float | None, typer.Option("--budget-seconds", help="Seconds that one turn may take.", min=0)]
Prices = Annotated[Path | None, typer.Option(help="Price table (TOML), as the gateway's.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="Run calls with an effect unasked, unless untrusted text may be behind them.")
]
Folder = Annotated[list[Path] | None, typer.Option("--folder", help="A folder that tools may work in. Repeatable.")]
Force = Annotated[bool, typer.Option(help="Take the conversation over from a machine that is gone.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Id = Annotated[str, typer.Argument(help="A conversation: its id, the beginning of it, or last.")]

DEFAULT_TOOLS = "calculator,clock"


@dataclass(frozen=True, slots=True)
class _Beside:
    """What an agent is given beside its configuration."""

    folder: list[Path] | None
    mcp: Path | None
    docs: str | None
    policy: str
    yes: bool


@app.command()
def run(
    task: Annotated[str, typer.Argument(help="What to do; - reads it from stdin.")] = "",
    resume: Annotated[str | None, typer.Option(help="Go on with a kept conversation: its id, or last.")] = None,
    engine: Engine_ = None,
    model: Model = None,
    tools: Tools = None,
    system: System = None,
    tool_form: Form = None,
    context: Context = None,
    max_steps: Steps_ = None,
    budget_tokens: Tokens = None,
    budget_krw: Won = None,
    budget_seconds: Seconds = None,
    prices: Prices = None,
    folder: Folder = None,
    mcp: Mcp = None,
    docs: Docs = None,
    policy: Rules = "",
    yes: Yes = False,
    force: Force = False,
    json: AsJson = False,
) -> None:
    """Give the agent a task. Every step is kept: a run that was cut off goes on with --resume.

    \b
    inhouse agent run "What time is it in Seoul?"
    inhouse agent run "…" --tools clock,calculator --budget-seconds 60
    inhouse agent run --resume last
    """
    text = read_prompt(task) if task else None
    if text is None and resume is None:
        raise UsageError("There is nothing to do", do="Give a task, or go on with one: inhouse agent run --resume last")
    changed = (model, engine, tools, system, tool_form, context, max_steps, budget_tokens, budget_krw, budget_seconds)
    if resume and any(one is not None for one in changed):
        raise UsageError(
            "A kept conversation goes on as it began",
            do="Branch it instead: inhouse agent replay ID --from STEP --model …",
        )
    limits = _limits(max_steps, budget_tokens, budget_krw, budget_seconds)
    changes = {"system": system, "tool_form": _form(tool_form), "context": context}
    beside = _Beside(folder, mcp, docs, policy, yes)
    run_async(_run(text, resume, engine, model, tools, changes, limits, prices, beside, force=force, as_json=json))


async def _run(
    text: str | None,
    resume: str | None,
    engine: str | None,
    model: str | None,
    tools: str | None,
    changes: Mapping[str, object],
    limits: Limits,
    prices: Path | None,
    beside: _Beside,
    *,
    force: bool,
    as_json: bool,
) -> None:
    kept = _kept(resume) if resume else None
    async with _session(kept, engine, model, changes, prices, beside, quiet=as_json) as (session, config):
        names = (*_names(tools or DEFAULT_TOOLS), *session.extra_names)
        config = replace(config.with_(**changes), limits=limits, tools=names)
        talk = kept or session.begin(config, title_of(text or ""), person=_person())
        turn = await session.say(talk, text, force=force)
        steps = session.conversations.steps(talk.id)
    if as_json:
        print_json(turn_data(talk.id, turn))
    else:
        print_turn(talk.id, turn, steps)
    if turn.status is not Status.IDLE:
        raise typer.Exit(1)


@app.command()
def chat(
    resume: Annotated[str | None, typer.Option(help="Go on with a kept conversation: its id, or last.")] = None,
    engine: Engine_ = None,
    model: Model = None,
    tools: Tools = None,
    system: System = None,
    tool_form: Form = None,
    context: Context = None,
    folder: Folder = None,
    mcp: Mcp = None,
    docs: Docs = None,
    policy: Rules = "",
    yes: Yes = False,
    force: Force = False,
) -> None:
    """Talk with the agent. Ctrl-C stops an answer, Ctrl-D leaves; go on with --resume.

    \b
    inhouse agent chat --tools clock,remember
    inhouse agent chat --resume last
    """
    changes = {"system": system, "tool_form": _form(tool_form), "context": context}
    beside = _Beside(folder, mcp, docs, policy, yes)
    run_async(_chat(resume, engine, model, tools, changes, beside, force=force))


async def _chat(
    resume: str | None,
    engine: str | None,
    model: str | None,
    tools: str | None,
    changes: Mapping[str, object],
    beside: _Beside,
    *,
    force: bool,
) -> None:
    kept = _kept(resume) if resume else None
    async with _session(kept, engine, model, changes, None, beside) as (session, config):
        config = config.with_(**changes, tools=(*_names(tools or DEFAULT_TOOLS), *session.extra_names))
        talk = kept or session.begin(config, "chat", person=_person())
        note(f"{config.model} · conversation {talk.id[:10]} · tools: {', '.join(config.tools)} · Ctrl-D to leave")
        while True:
            try:
                text = await asyncio.to_thread(input, ">>> " if sys.stdin.isatty() else "")
            except EOFError:
                break
            if not text.strip():
                continue
            try:
                turn = await session.say(talk, text, force=force)
                print_turn(talk.id, turn, turn.steps)
            except InhouseError as error:
                print_error(error)
        note(f"kept: inhouse agent chat --resume {talk.id[:10]}")


@app.command("ls")
def list_(
    limit: Annotated[int, typer.Option(help="At most so many, newest first.", min=1)] = 20, json: AsJson = False
) -> None:
    """List the kept conversations."""
    with _open_store() as database:
        found = Conversations(database).listed(limit=limit)
    rows = [(c.id[:10], c.status.value, c.config["model"], f"{c.updated_at:%Y-%m-%d %H:%M}", c.title) for c in found]
    if json:
        print_json(found)
    else:
        print_table(("id", "status", "model", "updated", "title"), rows)


@app.command("rm")
def remove(conversation: Id) -> None:
    """Remove a conversation with all its steps."""
    with _open_store() as database:
        kept = Conversations(database)
        found = kept.get(conversation)
        kept.delete(found.id)
    note(f"removed {found.id[:10]}")


@app.command()
def tools(json: AsJson = False) -> None:
    """List the tools that can be named in --tools."""
    from inhouse.agent.tools.registry import tools as find_tools

    found = [find_tools([name], get_settings())[name] for name in tool_names()]
    columns = ("tool", "effect", "description")
    rows = [(tool.name, tool.effect, tool.description) for tool in found]
    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)


@asynccontextmanager
async def _session(
    kept: Conversation | None,
    engine: str | None,
    model: str | None,
    changes: Mapping[str, object],
    prices: Path | None,
    beside: _Beside,
    *,
    quiet: bool = False,
) -> AsyncIterator[tuple[Session, AgentConfig]]:
    """The session on an opened engine, and the configuration to begin or go on with."""
    config = AgentConfig.from_dict(kept.config) if kept else None
    context = changes.get("context") or (config.context if config else AgentConfig("").context)
    kind, name = engine or (config.engine if config else None), model or (config.model if config else None)
    assert isinstance(context, int)
    async with (
        extra_tools(beside.mcp, beside.docs) as extra,
        open_for(kind, name, context=context, slots=1) as opened,
    ):
        config = replace(config or AgentConfig(opened.model), model=opened.model, engine=kind or opened.settings.engine)
        with _open_store(opened.settings) as database:
            yield (
                Session(
                    database,
                    opened.engine,
                    opened.settings,
                    extra_tools=extra,
                    policy=policy_of(beside.policy, yes=beside.yes),
                    approve=answer_approval(always=False),
                    run=ToolRuntime(),
                    price=price_of(prices, opened.model),
                    allowed_folders=tuple(path.resolve() for path in beside.folder or ()),
                    on_step=(lambda step: None) if quiet else show_step,
                ),
                replace(config, context=context),
            )


@facts_app.command("ls")
def facts_list(json: AsJson = False) -> None:
    """Show what is remembered about you."""
    from inhouse.agent.facts import Facts

    with _open_store() as database:
        found = Facts(database).of(_person())
    if json:
        print_json(found)
    else:
        rows = [(fact.id[:10], f"{fact.created_at:%Y-%m-%d}", fact.text) for fact in found]
        print_table(("id", "since", "fact"), rows)


@facts_app.command("add")
def facts_add(text: Annotated[str, typer.Argument(help="What to remember.")]) -> None:
    """Remember something."""
    from inhouse.agent.facts import Facts

    with _open_store() as database:
        Facts(database).add(_person(), text)


@facts_app.command("rm")
def facts_remove(
    fact: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Forget all that is remembered about you.")] = False,
) -> None:
    """Forget one thing, or all."""
    from inhouse.agent.facts import Facts

    if bool(fact) == everything:
        raise UsageError("Which fact?", do="Give its id, or --all")
    with _open_store() as database:
        facts = Facts(database)
        if everything:
            note(f"forgot {facts.forget(_person())} facts")
        else:
            facts.remove(_person(), fact)


def _kept(wanted: str) -> Conversation:
    with _open_store() as database:
        return Conversations(database).get(wanted)


def _open_store(settings: Settings | None = None) -> closing[Database]:
    return closing(Database((settings or get_settings()).database_url))


def _limits(steps: int | None, tokens: int | None, krw: float | None, seconds: float | None) -> Limits:
    limits = Limits(tokens=tokens, krw=krw, seconds=seconds)
    return limits if steps is None else replace(limits, steps=steps)


def _form(text: str | None) -> str | None:
    if text not in (None, "native", "text", "schema"):
        raise UsageError(f"There is no tool form {text!r}", do="Choose native, text or schema")
    return text


def _names(text: str) -> tuple[str, ...]:
    if text == "all":
        return tuple(tool_names())
    return tuple(name.strip() for name in text.split(",") if name.strip())


def price_of(path: Path | None, model: str) -> Price | None:
    """What a model costs by a price table; None without one."""
    if path is None:
        return None
    from inhouse.gateway.prices import load_prices

    price = load_prices(path).get(model)
    if price is None:
        raise UsageError(f"{path} has no price for {model}", do="Add it, or leave --prices out")
    return price.cost


def _person() -> str:
    return getpass.getuser()
