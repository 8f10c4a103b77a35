"""An engine that counts what it is asked for, so that every side of a comparison is measured in the same place.

Knows no agent.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any

from inhouse.agent.records import Usage
from inhouse.agent.world import Price
from inhouse.core.errors import EngineError
from inhouse.engines.base import ChatRequest, Engine, Event, UsageEvent


class Metered:
    """The engine, with its requests, tokens and seconds counted. Everything else is the engine's own.

    `seconds` is the time spent waiting for the engine's next event, without what the caller does between them;
    `fault` the kind of the last request's error, empty where it ended well.
    """

    def __init__(self, engine: Engine, price: Price | None = None) -> None:
        self._engine = engine
        self._price = price
        self.requests = 0
        self.seconds = 0.0
        self.usage = Usage()
        self.fault = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine.chat`."""
        self.requests += 1
        self.fault = ""
        events = aiter(self._engine.chat(request))
        try:
            while True:
                start = time.perf_counter()
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    break
                finally:
                    self.seconds += time.perf_counter() - start
                if isinstance(event, UsageEvent):
                    self.usage += self._used(event)
                yield event
        except EngineError as error:
            self.fault = error.kind
            raise
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()

    def _used(self, event: UsageEvent) -> Usage:
        prompt, completion, cached = event.prompt_tokens or 0, event.completion_tokens or 0, event.cached_tokens or 0
        usd, krw = self._price(prompt, completion, cached) if self._price else (0, 0)
        return Usage(prompt, completion, cached, usd, krw)
