"""Upstream without a queue: each model is one engine's, asked at once. For one engine that queues by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from inhouse.core.errors import ModelNotServed
from inhouse.engines.base import ChatRequest, Embeddings, Engine, Event, Health, LoadedModel, ModelInfo
from inhouse.gateway.base import Route
from inhouse.gateway.identity import Caller


@dataclass(frozen=True, slots=True)
class Backend:
    """An engine, and the name that it has for the model."""

    engine: Engine
    model: str


class Direct:
    """Implements `Upstream` over one engine a model; owns the engines and closes them."""

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._backends = dict(backends)

    def chat(
        self,
        request: ChatRequest,
        caller: Caller,
        route: Route,
        *,
        deadline_s: float | None = None,
        prefix: bytes | None = None,
    ) -> AsyncIterator[Event]:
        """See `Upstream.chat`."""
        backend = self._backend(request.model)
        route.replica = backend.engine.name
        if backend.model != request.model:
            request = replace(request, model=backend.model)
        return backend.engine.chat(request)

    async def embed(
        self, model: str, texts: Sequence[str], caller: Caller, route: Route, *, deadline_s: float | None = None
    ) -> Embeddings:
        """See `Upstream.embed`."""
        backend = self._backend(model)
        route.replica = backend.engine.name
        return await backend.engine.embed(backend.model, texts)

    def serves(self, model: str) -> bool:
        """See `Upstream.serves`."""
        return model in self._backends

    async def models(self) -> tuple[ModelInfo, ...]:
        """What the engines say of the models, under our names for them."""
        known: dict[tuple[str, str], ModelInfo] = {}
        for engine in self._engines():
            for info in await engine.models():
                known[engine.name, info.name] = info
        return tuple(
            replace(known.get((backend.engine.name, backend.model), ModelInfo(name)), name=name)
            for name, backend in self._backends.items()
        )

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """See `Upstream.loaded`."""
        ours = {(backend.engine.name, backend.model): name for name, backend in self._backends.items()}
        held = [(engine.name, loaded) for engine in self._engines() for loaded in await engine.loaded()]
        return tuple(
            replace(loaded, model=ours[engine, loaded.model])
            for engine, loaded in held
            if (engine, loaded.model) in ours
        )

    async def health(self) -> Health:
        """See `Upstream.health`."""
        for engine in self._engines():
            health = await engine.health()
            if not health.ok:
                return Health(False, health.version, f"{engine.name}: {health.detail}")
        return Health(True)

    async def start(self) -> None:
        """Nothing runs in the background."""

    async def close(self) -> None:
        """Closes the engines."""
        for engine in self._engines():
            await engine.close()

    def _backend(self, model: str) -> Backend:
        try:
            return self._backends[model]
        except KeyError:
            raise ModelNotServed(f"There is no model {model!r} here") from None

    def _engines(self) -> list[Engine]:
        return list({id(backend.engine): backend.engine for backend in self._backends.values()}.values())
