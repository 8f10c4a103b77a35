"""An engine in this process whose speed, slots and failures are set: what benches are tested on."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence

from inhouse.core.errors import EngineError, UnsupportedFeature
from inhouse.engines.base import (
    Capabilities,
    ChatRequest,
    DoneEvent,
    Embeddings,
    Event,
    Health,
    LoadedModel,
    LoadTimes,
    ModelInfo,
    TextEvent,
    UsageEvent,
)

TEMPLATE_TOKENS = 7


def tokens_of(text: str) -> int:
    """A made-up tokeniser: four letters a token, and none goes over a space."""
    return sum(math.ceil(len(word) / 4) for word in text.split())


class ScriptedEngine:
    """Answers with `max_tokens` words, `token_s` apart, `slots` requests at once; the others queue.

    `fails` gets the number of the request (from 0) and says how it fails, if it does; `requests` keeps all.
    """

    name = "scripted"

    def __init__(
        self,
        *,
        prefill_s: float = 0.0,
        token_s: float = 0.0,
        slots: int = 1000,
        fails: Callable[[int], EngineError | None] = lambda number: None,
        counts_tokens: bool = True,
        context: int | None = None,
    ) -> None:
        self.capabilities = Capabilities(token_count=counts_tokens, ignore_eos=True, lifecycle=True, prompt_cache=True)
        self.requests: list[ChatRequest] = []
        self.under_way = self.most_under_way = 0
        self.cancelled = 0
        self._prefill_s = prefill_s
        self._token_s = token_s
        self._slots = asyncio.Semaphore(slots)
        self._fails = fails
        self._context = context
        self._loaded = False

    async def chat(self, request: ChatRequest) -> AsyncIterator[Event]:
        number = len(self.requests)
        self.requests.append(request)
        failure = self._fails(number)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            async with self._slots:
                start = time.perf_counter()
                await asyncio.sleep(self._prefill_s)
                prompt_s = time.perf_counter() - start
                if failure is not None:
                    raise failure
                tokens = request.max_tokens or 1
                for index in range(tokens):
                    if index:
                        await asyncio.sleep(self._token_s)
                    yield TextEvent(time.perf_counter(), " word")
            prompt = TEMPLATE_TOKENS + tokens_of(request.messages[-1].content)
            yield UsageEvent(time.perf_counter(), prompt, tokens, 0, {"prompt_s": prompt_s})
            yield DoneEvent(time.perf_counter(), "length")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1

    async def count_tokens(self, model: str, text: str) -> int:
        if not self.capabilities.token_count:
            raise UnsupportedFeature("no token counts here")
        return tokens_of(text)

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        raise UnsupportedFeature("no embeddings here")

    async def models(self) -> tuple[ModelInfo, ...]:
        return (ModelInfo("scripted", context=self._context),)

    async def loaded(self) -> tuple[LoadedModel, ...]:
        return (LoadedModel("scripted", pids=(os.getpid(),), context=self._context),) if self._loaded else ()

    async def load(self, model: str) -> LoadTimes:
        await asyncio.sleep(0.01)
        self._loaded = True
        return LoadTimes(process_s=0.004, load_s=0.006)

    async def unload(self, model: str) -> None:
        self._loaded = False

    async def health(self) -> Health:
        return Health(True, "1.0")

    async def close(self) -> None:
        self._loaded = False
