"""`inhouse agent`: tasks and conversations with tools, their traces and replays."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from inhouse.agent.config import Limits
from inhouse.agent.conversations import Conversations, title_of
from inhouse.agent.records import Status
from inhouse.agent.tools.registry import tool_names
from inhouse.cli.agent_estimate import print_estimate
from inhouse.cli.agent_eval import eval_
from inhouse.cli.agent_facts import app as facts_app
from inhouse.cli.agent_session import (
    DEFAULT_TOOLS,
    AsJson,
    Beside,
    kept_conversation,
    names_of,
    open_session,
    open_store,
    this_person,
    tool_form_of,
)
from inhouse.cli.agent_tools import Docs, Mcp, Rules
from inhouse.cli.agent_trace import replay_, trace
from inhouse.cli.agent_view import Speaker, print_turn, turn_data
from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP
from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_error, print_json, print_table
from inhouse.cli.prompt import read_prompt
from inhouse.core.errors import InhouseError, UsageError
from inhouse.core.settings import get_settings

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)
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
Id = Annotated[str, typer.Argument(help="A conversation: its id, the beginning of it, or last.")]


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
    estimate: Annotated[bool, typer.Option("--estimate", help="Say what the task may cost, and do nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Give the agent a task. Every step is kept: a run that was cut off goes on with --resume.

    \b
    inhouse agent run "What time is it in Seoul?"
    inhouse agent run "…" --tools clock,calculator --budget-seconds 60
    inhouse agent run "…" --estimate --prices prices.toml
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
    changes = {"system": system, "tool_form": tool_form_of(tool_form), "context": context}
    beside = Beside(folder, mcp, docs, policy, yes)
    run_async(_run(text, resume, engine, model, tools, changes, limits, prices, beside, force=force,
                   estimate=estimate, as_json=json))  # fmt: skip


async def _run(
    text: str | None,
    resume: str | None,
    engine: str | None,
    model: str | None,
    tools: str | None,
    changes: Mapping[str, object],
    limits: Limits,
    prices: Path | None,
    beside: Beside,
    *,
    force: bool,
    estimate: bool,
    as_json: bool,
) -> None:
    kept = kept_conversation(resume) if resume else None
    speaker = Speaker(silent=as_json or estimate)
    async with open_session(
        kept, engine, model, changes, prices, beside, on_step=speaker.step, on_event=speaker.event
    ) as (session, config):
        names = (*names_of(tools or DEFAULT_TOOLS), *session.extra_names)
        config = replace(config.with_(**changes), limits=limits, tools=names)
        if estimate:
            await print_estimate(session, config, kept, text or "", as_json=as_json)
            return
        speaker.form = config.tool_form
        talk = kept or session.begin(config, title_of(text or ""), person=this_person())
        turn = await session.say(talk, text, force=force)
        steps = session.conversations.steps(talk.id)
    if as_json:
        print_json(turn_data(talk.id, turn))
    else:
        print_turn(talk.id, turn, steps, said=speaker.said)
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
    changes = {"system": system, "tool_form": tool_form_of(tool_form), "context": context}
    beside = Beside(folder, mcp, docs, policy, yes)
    run_async(_chat(resume, engine, model, tools, changes, beside, force=force))


async def _chat(
    resume: str | None,
    engine: str | None,
    model: str | None,
    tools: str | None,
    changes: Mapping[str, object],
    beside: Beside,
    *,
    force: bool,
) -> None:
    kept = kept_conversation(resume) if resume else None
    speaker = Speaker()
    async with open_session(
        kept, engine, model, changes, None, beside, on_step=speaker.step, on_event=speaker.event
    ) as (session, config):
        config = config.with_(**changes, tools=(*names_of(tools or DEFAULT_TOOLS), *session.extra_names))
        speaker.form = config.tool_form
        talk = kept or session.begin(config, "chat", person=this_person())
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
                print_turn(talk.id, turn, turn.steps, said=speaker.said)
            except InhouseError as error:
                print_error(error)
        note(f"kept: inhouse agent chat --resume {talk.id[:10]}")


@app.command("ls")
def list_(
    limit: Annotated[int, typer.Option(help="At most so many, newest first.", min=1)] = 20, json: AsJson = False
) -> None:
    """List the kept conversations."""
    with open_store() as database:
        found = Conversations(database).listed(limit=limit)
    rows = [(c.id[:10], c.status.value, c.config["model"], f"{c.updated_at:%Y-%m-%d %H:%M}", c.title) for c in found]
    if json:
        print_json(found)
    else:
        print_table(("id", "status", "model", "updated", "title"), rows)


@app.command("rm")
def remove(conversation: Id) -> None:
    """Remove a conversation with all its steps."""
    with open_store() as database:
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


def _limits(steps: int | None, tokens: int | None, krw: float | None, seconds: float | None) -> Limits:
    limits = Limits(tokens=tokens, krw=krw, seconds=seconds)
    return limits if steps is None else replace(limits, steps=steps)
