"""The embedded engine as a worker process of the gateway has it: the model runs once, beside all of them, and the
parent process keeps it alive and says where it is.

Knows one model's address and how to ask for it; nothing of how it is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

import psutil

from inhouse.core.errors import EngineError, EngineUnavailable, UnsupportedFeature
from inhouse.engines.base import (
    ChatRequest,
    Embeddings,
    Event,
    Health,
    LoadedModel,
    LoadTimes,
    ModelInfo,
)
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.engines.openai_wire import LLAMA_CPP
from inhouse.gateway.queue import again

_DEATH_S = 2.0  # a broken connection, and the parent's word that the process has ended, come within this


@dataclass(frozen=True, slots=True)
class Standing:
    """How a lent model stands: at `address` ("" while it does not serve), or given up for the reason in `failure`.

    `slots` and `context` are what it was launched with. Goes from the parent to its workers.
    """

    model: str
    slots: int
    context: int
    embeddings: bool
    address: str = ""
    api_key: str = ""
    pid: int | None = None
    failure: EngineError | None = None
    restarts: int = 0


class LentEngine:
    """Serves one model at the address that `told` was given last. `ask` begs the parent to load it."""

    name = "embedded"
    capabilities = EmbeddedEngine.capabilities

    def __init__(self, standing: Standing, ask: Callable[[], None], *, stall_s: float = 120.0) -> None:
        self.standing = standing
        self._ask = ask
        self._stall_s = stall_s
        self._changed = asyncio.Event()
        self._client: OpenAICompatibleEngine | None = None
        self._client_for = ""
        self._stale: list[OpenAICompatibleEngine] = []

    def told(self, standing: Standing) -> None:
        """The parent says how the model stands now."""
        self.standing = standing
        self._changed.set()
        self._changed = asyncio.Event()

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine.chat`. A request that finds the model being started again waits for it."""
        sent = False
        client = await self._serving()
        address = self.standing.address
        try:
            async with aclosing(client.chat(request)) as events:
                async for event in events:
                    sent = True
                    yield event
        except EngineUnavailable:
            # The process died before the request reached it: nothing was lost, so its successor may have it.
            if sent or not await self._moved(address):
                raise
            async with aclosing((await self._serving()).chat(request)) as events:
                async for event in events:
                    yield event

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """See `Engine.embed`; UnsupportedFeature where the model was launched without embeddings."""
        if not self.standing.embeddings:
            raise UnsupportedFeature(f"{model} was started without embeddings")
        return await (await self._serving()).embed(model, texts)

    async def count_tokens(self, model: str, text: str) -> int:
        """See `Engine.count_tokens`."""
        return await (await self._serving()).count_tokens(model, text)

    async def models(self) -> tuple[ModelInfo, ...]:
        """The model, while it serves."""
        return await (await self._serving()).models() if self.standing.address else ()

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """The model's process, while it serves."""
        standing = self.standing
        if not standing.address or standing.pid is None:
            return ()
        try:
            rss_bytes = int(psutil.Process(standing.pid).memory_info().rss)
        except psutil.Error:
            return ()
        return (LoadedModel(standing.model, pids=(standing.pid,), rss_bytes=rss_bytes, context=standing.context),)

    def restarts(self, model: str) -> int:
        """See `SupervisedEngine.restarts`."""
        return self.standing.restarts

    async def load(self, model: str) -> LoadTimes:
        """Waits until the parent has loaded it, and raises what came of that."""
        if not self.standing.address:
            self._ask()
            await self._changed.wait()  # the answer, since a failure that is known may be an old one
        await self._served()
        return LoadTimes(process_s=None, load_s=0.0)

    async def unload(self, model: str) -> None:
        """Unsupported: the model is there for the other processes too."""
        raise UnsupportedFeature(f"{model} is shared by several processes and cannot be unloaded")

    async def health(self) -> Health:
        """Well while the model serves."""
        return Health(bool(self.standing.address), detail="" if self.standing.address else "the model is not loaded")

    async def close(self) -> None:
        """Closes the connections; the model is the parent's."""
        for client in [*self._stale, *([self._client] if self._client else [])]:
            await client.close()

    async def _served(self) -> Standing:
        """How the model stands once it serves; raises why it was given up."""
        while not self.standing.address:
            if self.standing.failure is not None:
                raise again(self.standing.failure)
            await self._changed.wait()
        return self.standing

    async def _moved(self, address: str) -> bool:
        """Whether the parent soon says that the model is no longer at the address."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DEATH_S):
                while self.standing.address == address:
                    await self._changed.wait()
        return self.standing.address != address

    async def _serving(self) -> OpenAICompatibleEngine:
        standing = await self._served()
        if self._client is None or self._client_for != standing.address:
            if self._client is not None:
                self._stale.append(self._client)  # answers over it may still be ending
            self._client_for = standing.address
            self._client = OpenAICompatibleEngine(
                standing.address,
                api_key=standing.api_key,
                stall_s=self._stall_s,
                name=self.name,
                dialect=LLAMA_CPP,
            )
        return self._client
