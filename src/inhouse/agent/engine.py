"""An agent as an engine, so that whatever serves models can serve it: asked with messages, it answers in the end.

What was said before is what the caller sends, or what a journal holds. It makes no call that has an effect: nobody
is there to approve one. Knows no gateway.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from inhouse.agent.budget import total_usage
from inhouse.agent.config import AgentConfig
from inhouse.agent.context import pinned_text
from inhouse.agent.journal import Journal, MemoryJournal
from inhouse.agent.loop import Agent
from inhouse.agent.records import Decision, Runner, Status, Step, StepKind
from inhouse.agent.requests import declared
from inhouse.agent.tools.base import Tool
from inhouse.agent.world import LiveWorld
from inhouse.core.errors import EngineFailed, EngineRefused, UnsupportedFeature
from inhouse.engines.base import (
    Capabilities,
    ChatRequest,
    DoneEvent,
    Embeddings,
    Engine,
    Event,
    Health,
    LoadedModel,
    LoadTimes,
    ModelInfo,
    TextEvent,
    UsageEvent,
)


@dataclass(frozen=True, slots=True)
class _NoEffects:
    """A policy (see `records.Policy`) for where nobody can approve."""

    def decide(
        self, tool: Tool, arguments: Mapping[str, Any], tainted: Sequence[str], told: Sequence[str] = ()
    ) -> Decision:
        """Refuses what has an effect."""
        effect = tool.effect == "effect"
        return Decision("refuse", "nobody is here to approve an effect") if effect else Decision("allow")


class AgentEngine:
    """The agent `config` with its tools on an engine. See `Engine`; closing it leaves that engine open.

    With a `journal` it goes on with that: of a request only the last message counts.
    """

    name = "agent"

    def __init__(
        self,
        engine: Engine,
        config: AgentConfig,
        tools: Mapping[str, Tool],
        *,
        journal: Journal | None = None,
        run: Runner | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._config = config
        self._tools = tools
        self._journal = journal
        self._run = run
        self._clock = clock
        self._counted: dict[str, int] = {}

    @property
    def capabilities(self) -> Capabilities:
        """It answers in text only."""
        return Capabilities(streaming=False, token_count=self._engine.capabilities.token_count)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine.chat`: the whole answer at the turn's end, with the tokens of all its requests."""
        if request.tools or request.json_schema is not None:
            raise UnsupportedFeature("An agent takes no tools and no schema", why="it brings its own")
        question = question_of(request)
        config = self._config if self._journal is not None else agent_for(self._config, request)
        world = LiveWorld(self._engine, config.model, run=self._run, clock=self._clock, counted=self._counted)
        agent = Agent(config, self._tools, world, policy=_NoEffects())
        journal = self._journal or await self._before(config, world, request)
        if journal.steps and any(not call.status.ended for call in journal.steps[-1].calls):
            await agent.run(journal)  # the turn before this was cut off
        turn = await agent.run(journal, question)
        usage = total_usage(turn.steps)
        text = turn.text
        if turn.status is not Status.IDLE:
            if turn.steps[-2].error:
                raise EngineFailed("The agent's model failed", why=turn.text)
            text = f"(No answer: {turn.text})"
        at = time.perf_counter()
        yield TextEvent(at, text)
        yield UsageEvent(at, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
        yield DoneEvent(at, "stop" if turn.status is Status.IDLE else "length")

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """Unsupported: an agent embeds nothing."""
        raise UnsupportedFeature("An agent has no embeddings")

    async def count_tokens(self, model: str, text: str) -> int:
        """As its model counts."""
        return await self._engine.count_tokens(self._config.model, text)

    async def models(self) -> tuple[ModelInfo, ...]:
        """Itself alone."""
        return (ModelInfo(self._config.model, context=self._config.context),)

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Nothing of its own."""
        return ()

    async def load(self, model: str) -> LoadTimes:
        """Unsupported: its model is loaded as its own."""
        raise UnsupportedFeature("An agent cannot be loaded")

    async def unload(self, model: str) -> None:
        """Unsupported: its model is loaded as its own."""
        raise UnsupportedFeature("An agent cannot be unloaded")

    async def health(self) -> Health:
        """Its engine's."""
        return await self._engine.health()

    async def close(self) -> None:
        """Nothing: the engine belongs to the model that it serves."""

    async def _before(self, config: AgentConfig, world: LiveWorld, request: ChatRequest) -> MemoryJournal:
        """What was said before, as steps."""
        steps: list[Step] = []
        pinned = await world.count(pinned_text(config, (), declared(self._tools.values())))
        for message in request.messages[:-1]:
            if message.role not in ("user", "assistant") or (message.role == "assistant" and not steps):
                continue
            kind = StepKind.INPUT if message.role == "user" else StepKind.MODEL
            data = {"facts": [], "pinned_tokens": pinned, "tools": []} if kind is StepKind.INPUT else {}
            tokens = await world.count(message.content)
            steps.append(Step(len(steps), kind, message.content, self._clock(), tokens=tokens, data=data))
        return MemoryJournal("served", steps)


def question_of(request: ChatRequest) -> str:
    """What is asked: the last message. EngineRefused where that is no user's."""
    if not request.messages or request.messages[-1].role != "user":
        raise EngineRefused("An agent answers a user's message", why="the last message is none")
    return request.messages[-1].content


def agent_for(config: AgentConfig, request: ChatRequest) -> AgentConfig:
    """The agent as a request wants it: the system messages after its own, and the request's sampling."""
    return replace(
        config,
        system="\n\n".join([config.system, *(m.content for m in request.messages if m.role == "system")]),
        max_tokens=request.max_tokens or config.max_tokens,
        temperature=config.temperature if request.temperature is None else request.temperature,
        seed=config.seed if request.seed is None else request.seed,
    )
