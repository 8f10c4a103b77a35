"""One turn of a conversation, driven for its page: whom it asks, under which key, and what is told as it goes.

A chat is an agent without tools, so that both are kept, branched and traced alike. Knows no HTML and no HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from inhouse.agent.config import AgentConfig
from inhouse.agent.conversations import Conversations, StoreJournal
from inhouse.agent.facts import MOST, Facts
from inhouse.agent.loop import Agent, Turn
from inhouse.agent.records import CallRecord, Conversation, Runner, Status, Step, StepKind
from inhouse.agent.tools.base import Tool
from inhouse.agent.tools.runtime import ToolRuntime
from inhouse.agent.world import Answer, LiveWorld
from inhouse.core.errors import AnswerStopped, ConversationNotFound, Forbidden, InhouseError, ModelNotServed
from inhouse.engines.base import ChatRequest, Event, TextEvent
from inhouse.gateway.callers_engine import CallersEngine
from inhouse.gateway.documents import PREFIX
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.identity import Caller

API = "web.chat"
"""The name of these requests in the ledger and the metrics."""

_USUAL_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text of step `number`, which is being written."""

    number: int
    text: str


Told = Piece | Step | InhouseError
"""What a turn tells: text as it comes, each step once it is kept or its calls have ended, and why it ended if badly."""

Decisions = Mapping[tuple[int, int], bool]
"""What a person said of the calls that wait, by step and index."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a person chose for a conversation; None leaves a value as it is by itself."""

    model: str
    system: str = ""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None


class Talks:
    """The conversations of a gateway's pages: each key's own, and nobody else's."""

    def __init__(self, gateway: Gateway) -> None:
        self.conversations = Conversations(gateway.database)
        self._gateway = gateway
        self._facts = Facts(gateway.database)
        self._run: Runner = ToolRuntime()
        self._under_way: set[asyncio.Task[None]] = set()

    def of(self, caller: Caller, conversation_id: str) -> Conversation:
        """The caller's conversation of exactly that id; ConversationNotFound for anybody else's. Blocks."""
        found = self.conversations.get(conversation_id)
        if found.id != conversation_id or found.person != person_of(caller):
            raise ConversationNotFound(f"No conversation goes by {conversation_id!r}", do="Choose one of the list")
        return found

    async def config(self, caller: Caller, chosen: Parameters) -> dict[str, Any]:
        """A conversation's configuration, from what was chosen.

        Raises:
            ModelNotServed, Forbidden: that model is not for the caller.
        """
        config = AgentConfig(chosen.model, engine="gateway", system=chosen.system)
        served, _, _ = self._served(caller, config)
        if served.model == chosen.model:
            infos = {info.name: info.context for info in await self._gateway.upstream.models()}
            config = replace(config, context=infos.get(chosen.model) or config.context)
            # Documents, like agents, are to be answered from alike each time.
            config = replace(config, temperature=0.0 if chosen.model.startswith(PREFIX) else _USUAL_TEMPERATURE)
        config = config.with_(
            temperature=chosen.temperature, top_p=chosen.top_p, max_tokens=chosen.max_tokens, seed=_fresh_seed()
        )
        # An answer takes at most half of the window; the other half is for what was said.
        return replace(config, max_tokens=min(config.max_tokens, config.context // 2)).to_dict()

    async def tell(
        self, caller: Caller, conversation: Conversation, text: str | None, decisions: Decisions | None = None
    ) -> AsyncGenerator[Told, None]:
        """Takes the conversation one turn on, with a text or as it stands; closing this early stops the answer.

        Raises:
            ModelNotServed, Forbidden: its model is not for the caller any more.
        """
        config, tools, allowed = self._served(caller, AgentConfig.from_dict(conversation.config))
        engine = CallersEngine(self._gateway, allowed, api=API)
        told: asyncio.Queue[Told | None] = asyncio.Queue()

        def begin(journal: StoreJournal, facts: list[str]) -> Agent:
            def piece(event: Event) -> None:
                if isinstance(event, TextEvent):
                    told.put_nowait(Piece(len(journal.steps), event.text))

            return Agent(
                config, tools, _World(engine, config.model, run=self._run, on_event=piece),
                approve=_Decided(decisions or {}), person=conversation.person, facts=lambda: facts,
                on_step=told.put_nowait,
            )  # fmt: skip

        task = asyncio.create_task(self._drive(conversation, text, begin, told), name=f"talk {conversation.id}")
        # It goes on without its page: what has come of a stopped answer is kept.
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            while (one := await told.get()) is not None:
                yield one
        finally:
            engine.stop()

    async def _drive(
        self,
        conversation: Conversation,
        text: str | None,
        begin: Callable[[StoreJournal, list[str]], Agent],
        told: asyncio.Queue[Told | None],
    ) -> None:
        try:
            journal = await asyncio.to_thread(self.conversations.drive, conversation.id)
            status = Status.STOPPED
            try:
                kept = await asyncio.to_thread(self._facts.of, conversation.person, limit=MOST)
                turn: Turn = await begin(journal, [fact.text for fact in kept]).run(journal, text)
                status = turn.status
            except InhouseError as error:
                await self._keep_failure(journal, error, told)
            finally:
                await asyncio.to_thread(journal.release, status)
        except InhouseError as error:
            told.put_nowait(error)
        except Exception as error:
            self._gateway.log.error("defect", api=API, exc_info=error)
            told.put_nowait(InhouseError("The gateway failed", do="Try again"))
        finally:
            told.put_nowait(None)

    async def _keep_failure(self, journal: StoreJournal, error: InhouseError, told: asyncio.Queue[Told | None]) -> None:
        """Keeps why there is no answer, where the conversation can go on after that; else only tells it."""
        steps = journal.steps
        if not steps or any(not call.status.ended for call in steps[-1].calls):
            told.put_nowait(error)
            return
        at = datetime.fromtimestamp(self._gateway.clock(), UTC)
        step = Step(len(steps), StepKind.STOP, str(error), at, data={"stopped": isinstance(error, AnswerStopped)})
        await journal.append(step)
        told.put_nowait(step)

    def _served(self, caller: Caller, config: AgentConfig) -> tuple[AgentConfig, Mapping[str, Tool], Caller]:
        """What the configuration's model comes to now: an agent's own, or as it is; and the caller to ask it under."""
        name = config.model
        if not self._gateway.upstream.serves(name):
            raise ModelNotServed(f"There is no model {name!r} here", do="Choose another one")
        if not caller.may_use(name):
            raise Forbidden(
                f"The key may not use {name}", do="Choose another model, or ask an admin for a key that may"
            )
        agent = self._gateway.agents.get(name)
        if agent is None:
            return config, {}, caller
        system = "\n\n".join(part for part in (agent.config.system, config.system) if part)
        config = replace(
            agent.config, system=system, temperature=config.temperature, top_p=config.top_p, seed=config.seed,
            max_tokens=config.max_tokens,
        )  # fmt: skip
        # Whoever may use an agent may have it think: with its model, and through it alone.
        models = None if caller.models is None else (*caller.models, config.model)
        return config, agent.tools, replace(caller, models=models)


class _World(LiveWorld):
    """The live world, with the number of each request in the ledger and the sources of each answer."""

    def __init__(self, engine: CallersEngine, model: str, *, run: Runner, on_event: Callable[[Event], None]) -> None:
        super().__init__(engine, model, run=run, on_event=on_event)
        self._gateway = engine

    async def ask(self, request: ChatRequest) -> Answer:
        """See `World.ask`."""
        answer = await super().ask(request)
        return replace(answer, about=self._gateway.about)


class _Decided:
    """An approver (see `records.Approver`) that says what was said beforehand; all else waits."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    async def __call__(self, tool: Tool, call: CallRecord) -> bool | None:
        return self._decisions.get((call.step, call.index))


def person_of(caller: Caller) -> str:
    """Under which name a key's conversations and facts are kept."""
    return f"key:{caller.key_id}"


def _fresh_seed() -> int:
    """Another one each time, so that an answer that is asked for again can come out otherwise."""
    return time.time_ns() % 2**31
