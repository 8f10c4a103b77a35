"""One of the router's models as an engine, as what answers for a caller asks it: in its queue, under the caller's key.

Knows no API, and none of what asks it (documents, agents).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from inhouse.core.errors import UnsupportedFeature
from inhouse.engines.base import (
    Capabilities,
    ChatRequest,
    Embeddings,
    Event,
    Health,
    LoadedModel,
    LoadTimes,
    ModelInfo,
)
from inhouse.gateway.base import Route
from inhouse.gateway.failover import Router
from inhouse.gateway.identity import Caller


class RoutedModel:
    """See `Engine`. What the router meets on the way is written into `route`."""

    def __init__(self, router: Router, model: str, caller: Caller, route: Route, deadline_s: float | None) -> None:
        self._router, self._model = router, model
        self._caller, self._route, self._deadline_s = caller, route, deadline_s
        self._engine, self._there = router.engine_of(model)

    @property
    def name(self) -> str:
        """The engine's."""
        return self._engine.name

    @property
    def capabilities(self) -> Capabilities:
        """The engine's."""
        return self._engine.capabilities

    def chat(self, request: ChatRequest) -> AsyncIterator[Event]:
        """In the model's queue, under the caller's key."""
        return self._router.chat(request, self._caller, self._route, deadline_s=self._deadline_s)

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """In the model's queue, under the caller's key."""
        return await self._router.embed(model, texts, self._caller, self._route, deadline_s=self._deadline_s)

    async def count_tokens(self, model: str, text: str) -> int:
        """As the engine counts."""
        return await self._engine.count_tokens(self._there, text)

    async def models(self) -> tuple[ModelInfo, ...]:
        """What the engine says of the model, under its name here."""
        infos = await self._engine.models()
        return tuple(replace(info, name=self._model) for info in infos if info.name == self._there) or infos

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """The router's."""
        return await self._router.loaded()

    async def load(self, model: str) -> LoadTimes:
        """Unsupported: the router loads its models itself."""
        raise UnsupportedFeature("The gateway loads its models itself")

    async def unload(self, model: str) -> None:
        """Unsupported, as `load`."""
        raise UnsupportedFeature("The gateway unloads its models itself")

    async def health(self) -> Health:
        """The engine's."""
        return await self._engine.health()

    async def close(self) -> None:
        """Nothing: the engine is the router's."""
