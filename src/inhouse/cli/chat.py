"""`inhouse chat`: a conversation in the terminal, kept after every turn and resumed by name."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from inhouse.cli.answer import MaxTokens, Seed, Temperature, TopP, metrics_line, stream_answer
from inhouse.cli.conversation import Conversation, list_conversations, load_conversation
from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP, OpenEngine, open_for
from inhouse.cli.output import note, print_error, print_json, print_table
from inhouse.cli.prompt import read_prompt
from inhouse.core.errors import ContextExceeded, InhouseError, UsageError
from inhouse.core.settings import get_settings
from inhouse.engines.base import ChatRequest, Message

app = typer.Typer(rich_markup_mode=None, add_completion=False)

HELP = '''\
/help            this list
/reset           forget the conversation so far
/model NAME      go on with another model
/system TEXT     set the system prompt (alone: show it)
/history         show the conversation
/retry           answer the last question again
/quit            leave (Ctrl-D too); Ctrl-C stops an answer
""" … """        several lines; a line that ends with \\ goes on as well'''


@app.command()
def chat(
    engine: Annotated[str | None, typer.Option(help=ENGINE_HELP)] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with a kept conversation: its name, or last.")] = None,
    name: Annotated[str | None, typer.Option(help="Name to keep it under (default: date and time).")] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: Seed = None,
    context: Annotated[int | None, typer.Option(help="Context window in tokens.", min=64)] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the kept conversations and leave.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --list: as JSON.")] = False,
) -> None:
    """Talk with a model. The conversation is kept after every turn.

    \b
    inhouse chat
    inhouse chat --engine ollama --model llama2:7b --name planning
    inhouse chat --resume last
    """
    folder = get_settings().data_dir / "chats"
    if show_list:
        kept = list_conversations(folder)
        rows = [(c.name, c.model, len(c.messages), c.updated_at, c.first_line) for c in kept]
        columns = ("name", "model", "messages", "updated", "first line")
        if json:
            print_json([dict(zip(columns, row, strict=True)) for row in rows])
        else:
            print_table(columns, rows)
        return
    if resume:
        conversation = load_conversation(folder, resume)
        conversation.model = model or conversation.model
        conversation.engine = engine or conversation.engine
    else:
        conversation = Conversation.new(folder, name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}", engine, model)
    if system:
        conversation.system = system
    template = ChatRequest(
        "", (), max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, context=context
    )
    with asyncio.Runner() as runner:
        session = _Session(conversation, template)
        try:
            runner.run(session.open())
            _talk(runner, session)
        finally:
            runner.run(session.close())


class _Session:
    """The open engine and the conversation; the engine lives until the model is changed."""

    def __init__(self, conversation: Conversation, template: ChatRequest) -> None:
        self.conversation = conversation
        self._template = template
        self._stack = AsyncExitStack()
        self._opened: OpenEngine | None = None

    async def open(self) -> None:
        """Opens engine and model as the conversation names them."""
        talk = self.conversation
        opening = open_for(talk.engine, talk.model, context=self._template.context, slots=1)
        self._opened = await self._stack.enter_async_context(opening)
        talk.model = self._opened.model

    async def switch(self, model: str) -> None:
        """Closes this model and opens another; the old one stays if the new one cannot be had."""
        before, self.conversation.model = self.conversation.model, model
        old = self._stack
        self._stack = AsyncExitStack()
        try:
            await self.open()
        except InhouseError:
            self._stack, self.conversation.model = old, before
            raise
        await old.aclose()

    async def close(self) -> None:
        """Closes the engine."""
        await self._stack.aclose()

    async def answer(self) -> None:
        """Answers the conversation's last message, dropping the oldest turns where it no longer fits."""
        assert self._opened is not None
        talk = self.conversation
        dropped = 0
        while True:
            request = replace(self._template, model=self._opened.model, messages=talk.request_messages(dropped))
            try:
                sample = await stream_answer(self._opened.engine, request)
                break
            except ContextExceeded:
                if dropped + 1 >= len(talk.messages):
                    raise
                dropped += 2
        if dropped:
            note(f"({dropped} oldest messages no longer fit the context and were left out; /reset starts afresh)")
        talk.append(Message("assistant", sample.answer or ""))
        note(await metrics_line(self._opened.engine, self._opened.model, sample))


def _talk(runner: asyncio.Runner, session: _Session) -> None:
    talk = session.conversation
    interactive = sys.stdin.isatty()
    if interactive:
        with suppress(ImportError):
            import readline  # noqa: F401 - gives input() editing and history
        note(f"{talk.model} · conversation {talk.name} · /help for commands, Ctrl-D to leave")
    while True:
        try:
            text = _read_turn(interactive)
        except EOFError:
            break
        except KeyboardInterrupt:
            sys.stderr.write("\n")
            if not interactive:
                raise
            continue
        if not text.strip():
            continue
        try:
            if text.startswith("/"):
                if not _command(runner, session, text):
                    break
                continue
            talk.append(Message("user", read_prompt(text) if text != "-" else text))
            runner.run(session.answer())
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            note("(stopped)")
            talk.drop_unanswered()
            if not interactive:
                raise
        except InhouseError as error:
            talk.drop_unanswered()
            print_error(error)
            if not interactive:
                raise typer.Exit(error.exit_code) from None
    if talk.messages and interactive:
        note(f"kept: inhouse chat --resume {talk.name}")


def _command(runner: asyncio.Runner, session: _Session, text: str) -> bool:
    """Runs a /command; False ends the conversation."""
    talk = session.conversation
    command, _, rest = text.partition(" ")
    rest = rest.strip()
    if command in ("/quit", "/exit", "/bye"):
        return False
    if command == "/help":
        note(HELP)
    elif command == "/reset":
        talk.reset()
        note("(forgotten)")
    elif command == "/model" and rest:
        runner.run(session.switch(rest))
        note(f"({talk.model})")
    elif command == "/model":
        note(talk.model or "")
    elif command == "/system" and rest:
        talk.set_system(rest)
        note("(system prompt set)")
    elif command == "/system":
        note(talk.system or "(none)")
    elif command == "/history":
        for message in talk.messages:
            note(f"{message.role}: {message.content}")
    elif command == "/retry":
        if not talk.drop_last_answer():
            raise UsageError("There is no answer to try again")
        runner.run(session.answer())
    else:
        raise UsageError(f"No such command: {command}", do="/help lists them")
    return True


def _read_turn(interactive: bool) -> str:
    """One turn of the user: a line, lines joined by a final backslash, or all between two \"\"\"."""
    line = input(">>> " if interactive else "")
    if line.startswith('"""'):
        lines = [line[3:]]
        while not lines[-1].rstrip().endswith('"""'):
            lines.append(input("... " if interactive else ""))
        lines[-1] = lines[-1].rstrip()[:-3]
        return "\n".join(lines).strip("\n")
    while line.endswith("\\"):
        line = line[:-1] + "\n" + input("... " if interactive else "")
    return line
