"""`inhouse agent trace|replay`: what a conversation did, and whether it does it again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from inhouse.agent.config import AgentConfig
from inhouse.agent.conversations import Conversations
from inhouse.agent.records import Conversation, Step, StepKind
from inhouse.agent.replay import difference, journal_bytes, replay, rerun_runner
from inhouse.agent.session import Session
from inhouse.agent.trace import trace_data, trace_page, tree_lines, ways
from inhouse.agent.world import run_once
from inhouse.cli.agent_view import answer_approval
from inhouse.cli.engine import MODEL_HELP, open_for
from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_json
from inhouse.core.errors import UsageError
from inhouse.core.settings import get_settings
from inhouse.store.database import Database

Id = Annotated[str, typer.Argument(help="A conversation: its id, the beginning of it, or last.")]


def trace(
    conversation: Id = "last",
    html: Annotated[Path | None, typer.Option(help="Write it as a page to this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything that is kept, as JSON.")] = False,
    otlp: Annotated[str | None, typer.Option(help="Send it as spans to this OTLP/HTTP address.")] = None,
) -> None:
    """Show every step of a conversation as a tree."""
    found, steps = _load(conversation)
    if html is not None:
        try:
            html.write_text(trace_page(found, steps), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{html} cannot be written", why=error.strerror or str(error)) from None
        note(f"wrote {html}")
    if otlp is not None:
        _send(found, steps, otlp)
    if json:
        print_json(trace_data(found, steps))
    elif html is None and otlp is None:
        typer.echo("\n".join(tree_lines(steps)))
        counted = {name: figures for name, figures in ways(steps).items() if figures}
        note(" · ".join(f"{name}: {', '.join(f'{k} {n}' for k, n in f.items())}" for name, f in counted.items()))


def replay_(
    conversation: Id = "last",
    from_step: Annotated[int | None, typer.Option("--from", help="Run live from this step on.", min=0)] = None,
    model: Annotated[str | None, typer.Option(help=f"With --from: another model. {MODEL_HELP}")] = None,
    system: Annotated[str | None, typer.Option(help="With --from: another system prompt.")] = None,
    tools: Annotated[str | None, typer.Option(help="With --from: other tools, separated by commas.")] = None,
    text: Annotated[str | None, typer.Option(help="With --from at a user's step: say this instead.")] = None,
) -> None:
    """Run a conversation again from its recording and compare, without a model or network.

    With --from, a branch of it runs live from that step on; recorded results of tools are used again, and no new
    effect is made. The difference is printed.
    """
    found, steps = _load(conversation)
    if from_step is not None:
        run_async(_rerun(found, steps, from_step, model, system, tools, text))
        return
    if (model, system, tools, text) != (None, None, None, None):
        raise UsageError("A changed replay needs --from", do="Name the step from which on it runs live")
    again = run_async(replay(found, steps))
    before, after = journal_bytes(steps), journal_bytes(again)
    if before != after:
        typer.echo("\n".join(difference(steps, again)))
        note(f"differs: {len(before)} bytes recorded, {len(after)} replayed")
        raise typer.Exit(1)
    note(f"equal to the byte: {len(steps)} steps, {len(before)} bytes")


async def _rerun(
    found: Conversation,
    steps: list[Step],
    at: int,
    model: str | None,
    system: str | None,
    tools: str | None,
    text: str | None,
) -> None:
    if at >= len(steps):
        raise UsageError(f"There is no step {at}", why=f"the last is {len(steps) - 1}")
    names = tuple(name.strip() for name in tools.split(",")) if tools else None
    before = AgentConfig.from_dict(found.config)
    async with open_for(before.engine, model or before.model, context=before.context, slots=1) as opened:
        config = before.with_(model=opened.model, system=system, tools=names)
        with closing(Database(opened.settings.database_url)) as database:
            session = Session(
                database,
                opened.engine,
                opened.settings,
                run=rerun_runner(steps, run_once),
                approve=answer_approval(always=True),
            )
            branch = session.conversations.branch(found.id, at, config.to_dict())
            said = [step.text for step in steps[at:] if step.kind is StepKind.INPUT]
            if steps[at].kind is StepKind.INPUT:
                said[0] = text or said[0]
            else:
                await session.say(branch, None)
            for one in said:
                await session.say(branch, one)
            again = session.conversations.steps(branch.id)
    lines = difference(steps, again)
    typer.echo("\n".join(lines) if lines else "the same course")
    note(f"kept as {branch.id[:10]}: inhouse agent trace {branch.id[:10]}")


def _load(wanted: str) -> tuple[Conversation, list[Step]]:
    with closing(Database(get_settings().database_url)) as database:
        kept = Conversations(database)
        found = kept.get(wanted)
        return found, kept.steps(found.id)


def _send(found: Conversation, steps: list[Step], address: str) -> None:
    from inhouse.agent.trace import export_spans
    from inhouse.core.errors import MissingExtra

    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise MissingExtra("Spans need a package that is not installed", do="pip install 'inhouse[otlp]'") from None
    provider = TracerProvider(resource=Resource.create({"service.name": "inhouse"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    export_spans(found, steps, provider.get_tracer("inhouse.agent"))
    provider.shutdown()
    note(f"sent {len(steps)} steps to {address}")
