"""All that the loop touches outside itself: the model, the tools, the clock. A replay puts a recording in its place.

Knows no journal; what is not asked of a World, the loop derives from its steps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from inhouse.agent.records import CallRecord, CallStatus, Outcome, Runner, Usage
from inhouse.agent.tools.base import Tool, ToolContext
from inhouse.core.errors import EngineError, ToolError, UnsupportedFeature
from inhouse.engines.base import ChatRequest, Engine, Event, UsageEvent

Price = Callable[[int, int, int], tuple[int, int]]
"""From prompt, completion and cached tokens to billionths of a dollar and millionths of a won."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of a request, `error` included; events count their time from its start.

    `about` is what else is to be kept with it (JSON): a gateway's number of the request, an answer's sources.
    """

    events: tuple[Event, ...]
    at: datetime
    duration_s: float
    usage: Usage
    error: EngineError | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended, when it began and how long it took."""

    outcome: Outcome
    at: datetime | None
    duration_s: float


class World(Protocol):
    """What the loop asks for; each answer is all that it depends on."""

    def now(self) -> datetime:
        """The wall-clock time, UTC."""
        ...

    async def ask(self, request: ChatRequest) -> Answer:
        """The model's answer. Raises nothing: an engine's error is part of the answer."""
        ...

    async def summarise(self, request: ChatRequest) -> Answer:
        """As `ask`, for the agent's own notes: nobody is told of the answer as it comes."""
        ...

    async def call(self, tool: Tool, call: CallRecord, context: ToolContext) -> CallEnd:
        """Runs a call."""
        ...

    async def count(self, text: str) -> int:
        """How many tokens the model makes of a text."""
        ...

    async def pause(self, seconds: float) -> None:
        """Waits before a request is made again."""
        ...


class LiveWorld:
    """An engine, tools and the machine's clock. `on_event` is told what the model answers as it comes.

    `counted` keeps the tokens of texts across worlds of one model: the tools' declarations come back each turn.
    """

    def __init__(
        self,
        engine: Engine,
        model: str,
        *,
        run: Runner | None = None,
        price: Price | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_event: Callable[[Event], None] | None = None,
        counted: dict[str, int] | None = None,
    ) -> None:
        self._engine = engine
        self._model = model
        self._run = run or run_once
        self._price = price
        self._clock = clock
        self._on_event = on_event
        self._counted = {} if counted is None else counted

    def now(self) -> datetime:
        """See `World.now`."""
        return self._clock()

    async def ask(self, request: ChatRequest) -> Answer:
        """See `World.ask`."""
        return await self._asked(request, self._on_event)

    async def summarise(self, request: ChatRequest) -> Answer:
        """See `World.summarise`."""
        return await self._asked(request, None)

    async def _asked(self, request: ChatRequest, told: Callable[[Event], None] | None) -> Answer:
        at, start = self._clock(), time.perf_counter()
        events: list[Event] = []
        failure: EngineError | None = None
        try:
            answer = self._engine.chat(request)
            async with aclosing(answer) if isinstance(answer, AsyncGenerator) else nullcontext():
                async for event in answer:
                    events.append(event)
                    if told is not None:
                        told(event)
        except EngineError as error:
            failure = error
        duration_s = time.perf_counter() - start
        return Answer(
            tuple(_from_start(event, start) for event in events), at, duration_s, self._usage(events), failure
        )

    async def call(self, tool: Tool, call: CallRecord, context: ToolContext) -> CallEnd:
        """See `World.call`."""
        at, start = self._clock(), time.perf_counter()
        outcome = await self._run(tool, call.arguments, context)
        return CallEnd(outcome, at, time.perf_counter() - start)

    async def count(self, text: str) -> int:
        """See `World.count`; an estimate where the engine does not count."""
        if not text:
            return 0
        if text not in self._counted:
            if len(self._counted) > 4096:
                self._counted.clear()
            self._counted[text] = await self._count(text)
        return self._counted[text]

    async def pause(self, seconds: float) -> None:
        """See `World.pause`."""
        await asyncio.sleep(seconds)

    async def _count(self, text: str) -> int:
        if self._engine.capabilities.token_count:
            try:
                return await self._engine.count_tokens(self._model, text)
            except (EngineError, UnsupportedFeature):
                pass  # an engine that is down cannot count either; the request will say so
        return estimate_tokens(text)

    def _usage(self, events: list[Event]) -> Usage:
        for event in reversed(events):
            if isinstance(event, UsageEvent):
                prompt, completion = event.prompt_tokens or 0, event.completion_tokens or 0
                cached = event.cached_tokens or 0
                usd, krw = self._price(prompt, completion, cached) if self._price else (0, 0)
                return Usage(prompt, completion, cached, usd, krw)
        return Usage()


async def run_once(tool: Tool, arguments: Mapping[str, Any], context: ToolContext) -> Outcome:
    """The plain runner: one attempt within the tool's time limit (see `records.Runner`)."""
    try:
        async with asyncio.timeout(tool.timeout_s):
            result = await tool.run(arguments, context)
    except TimeoutError:
        return Outcome(CallStatus.FAILED, f"Error: {tool.name} took longer than {tool.timeout_s:g} s.", attempts=1)
    except ToolError as error:
        return Outcome(CallStatus.FAILED, f"Error: {error}", attempts=1)
    tainted = result.tainted or not tool.trusted
    return Outcome(CallStatus.DONE, result.content, result.data, tainted, result.source, 1, result=result)


def estimate_tokens(text: str) -> int:
    """A rough count: a token for each Korean, Chinese or Japanese character, one for four others."""
    wide = sum(ord(sign) > 0x2E80 for sign in text)
    return wide + (len(text) - wide + 3) // 4


def _from_start(event: Event, start: float) -> Event:
    return replace(event, at=event.at - start)
