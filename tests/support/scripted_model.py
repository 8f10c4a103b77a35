"""An engine whose answers are given one by one, and an agent around it: what the agent's tests are made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from inhouse.agent.config import AgentConfig
from inhouse.agent.journal import MemoryJournal
from inhouse.agent.loop import Agent, Turn
from inhouse.agent.policy import AllowAll
from inhouse.agent.records import Conversation, Status
from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.world import LiveWorld
from inhouse.core.errors import EngineError, ToolError
from inhouse.engines.base import (
    Capabilities,
    ChatRequest,
    DoneEvent,
    Event,
    TextEvent,
    ToolCall,
    ToolCallEvent,
    UsageEvent,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Say = str | EngineError | ToolCall | Sequence[ToolCall] | Callable[[ChatRequest], str]


class ScriptedModel:
    """Says what it is given, in order: text, calls, an error, or what a function makes of the request."""

    name = "scripted"
    capabilities = Capabilities(tools=True)

    def __init__(self, *says: Say) -> None:
        self.says = list(says)
        self.requests: list[ChatRequest] = []

    async def chat(self, request: ChatRequest) -> AsyncIterator[Event]:
        self.requests.append(request)
        say = self.says.pop(0)
        if isinstance(say, EngineError):
            raise say
        if callable(say):
            say = say(request)
        if isinstance(say, str):
            yield TextEvent(0.0, say)
        else:
            for call in [say] if isinstance(say, ToolCall) else say:
                yield ToolCallEvent(0.0, call)
        yield UsageEvent(0.0, 100, 10)
        yield DoneEvent(0.0, "stop")


def call(name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall("x", name, arguments)


async def _add(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    return ToolResult(str(arguments["a"] + arguments["b"]))


async def _fetch(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    return ToolResult("line of the page. " * 800, source="web")


async def _fail(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    raise ToolError("the server is down", retryable=True)


async def _hang(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    await asyncio.sleep(60)
    return ToolResult("never")


async def _pay(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    return ToolResult(f"paid {context.idempotency_key}")


NUMBERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
NOTHING = {"type": "object", "properties": {}}
TOOLS = {
    "add": Tool("add", "Adds.", NUMBERS, _add),
    "fetch": Tool("fetch", "Fetches a page.", NOTHING, _fetch, trusted=False),
    "fail": Tool("fail", "Fails.", NOTHING, _fail),
    "hang": Tool("hang", "Hangs.", NOTHING, _hang, timeout_s=0.05),
    "pay": Tool("pay", "Pays.", NOTHING, _pay, effect="effect"),
}


class FastWorld(LiveWorld):
    """The live world, whose pauses take no time but are counted."""

    pauses = 0

    async def pause(self, seconds: float) -> None:
        self.pauses += 1


@dataclass
class Talk:
    """An agent on a scripted model, with its journal."""

    model: ScriptedModel
    config: AgentConfig = field(default_factory=lambda: AgentConfig("scripted"))
    tools: Mapping[str, Tool] = field(default_factory=lambda: TOOLS)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.journal = MemoryJournal("talk")
        ticks = iter(range(10**9))
        self.world = FastWorld(
            self.model,  # type: ignore[arg-type]
            "scripted",
            clock=lambda: NOON + timedelta(seconds=next(ticks)),
            price=lambda prompt, completion, cached: (0, 1000 * (prompt + completion)),
        )

    async def say(self, text: str | None) -> Turn:
        options = {"policy": AllowAll()} | self.options
        return await Agent(self.config, self.tools, self.world, **options).run(self.journal, text)

    @property
    def conversation(self) -> Conversation:
        return Conversation("talk", "t", self.config.to_dict(), Status.IDLE, "", NOON, NOON)
