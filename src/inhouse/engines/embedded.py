"""Engine that runs models itself: llama.cpp's server in worker processes of ours, one a model.

Composes the supervisor with the OpenAI-compatible client; how to launch a model is for `resolve` to say.
"""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from inhouse.core.errors import (
    CorruptModel,
    EngineCrashed,
    EngineFailed,
    EngineModelMissing,
    EngineUnavailable,
    ModelError,
    UnsupportedFeature,
)
from inhouse.engines.base import (
    Capabilities,
    ChatRequest,
    ContinuationLogprob,
    Embeddings,
    Event,
    Health,
    LoadedModel,
    LoadTimes,
    ModelInfo,
    UsageEvent,
)
from inhouse.engines.launch import LaunchSpec
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.engines.openai_wire import LLAMA_CPP
from inhouse.engines.supervisor import Worker, death

T = TypeVar("T")

_DEATH_S = 2.0  # a broken connection and the end of its process are seen within this of each other


class _Model:
    """A model's worker, and the client of the address at which it serves now."""

    def __init__(self, worker: Worker, stall_s: float) -> None:
        self.worker = worker
        self._stall_s = stall_s
        self._address = ""
        self._client: OpenAICompatibleEngine | None = None

    async def client(self) -> OpenAICompatibleEngine:
        address = await self.worker.address()
        if self._client is None or self._address != address:
            stale = self._client
            self._address = address
            self._client = OpenAICompatibleEngine(
                address, api_key=self.worker.api_key, stall_s=self._stall_s, name="embedded", dialect=LLAMA_CPP
            )
            if stale is not None:
                await stale.close()
        return self._client

    async def stop(self) -> None:
        await self.worker.stop()
        if self._client is not None:
            await self._client.close()


class EmbeddedEngine:
    """Serves what `resolve` can launch. A model is loaded by `load`, or by the first request for it.

    The worker's memory is its own; when it dies, its requests in flight fail with EngineCrashed and it is
    started again. `log` keeps what the workers print. `stall_s` bounds each wait for bytes.
    """

    name = "embedded"
    capabilities = Capabilities(
        tools=True,
        json_schema=True,
        logprobs=True,
        prompt_cache=True,
        embeddings=True,
        token_count=True,
        ignore_eos=True,
        lifecycle=True,
        continuations=True,
    )

    def __init__(
        self, resolve: Callable[[str], LaunchSpec], *, stall_s: float = 120.0, log: Path | None = None
    ) -> None:
        self._resolve = resolve
        self._stall_s = stall_s
        self._log = log
        self._models: dict[str, _Model] = {}
        self._starting = asyncio.Lock()

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine.chat`. A request that had to wait for its model says so in `load_s` of its timings."""
        begin = time.perf_counter()
        model = await self._started(request.model)
        waits = not model.worker.ready
        client = await model.client()
        process = model.worker.process
        load_s = time.perf_counter() - begin
        sent = False
        try:
            async with aclosing(client.chat(request)) as events:
                async for event in events:
                    sent = True
                    if waits and isinstance(event, UsageEvent):
                        event = replace(event, timings={**event.timings, "load_s": load_s})
                    yield event
        except EngineUnavailable:
            # The worker died before the request reached it: nothing was lost, so its successor may have it.
            if sent or process is None or await death(process, _DEATH_S) is None:
                raise
            async with aclosing((await model.client()).chat(request)) as events:
                async for event in events:
                    yield event
        except EngineCrashed as error:
            raise await _explained(model.worker, process, error) from error

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """See `Engine.embed`; UnsupportedFeature where the model was launched without embeddings."""
        found = await self._started(model)
        if not found.worker.spec.embeddings:
            raise UnsupportedFeature(f"{model} was started without embeddings")
        return await self._ask(found, lambda client: client.embed(model, texts))

    async def count_tokens(self, model: str, text: str) -> int:
        """See `Engine.count_tokens`."""
        return await self._ask(await self._started(model), lambda client: client.count_tokens(model, text))

    async def continuations(
        self, request: ChatRequest, texts: Sequence[str], *, raw: bool = False
    ) -> tuple[ContinuationLogprob, ...]:
        """See `ContinuationEngine.continuations`."""
        model = await self._started(request.model)
        return await self._ask(model, lambda client: client.continuations(request, texts, raw=raw))

    async def models(self) -> tuple[ModelInfo, ...]:
        """The models that run now; which could be started is for whoever gave `resolve` to say."""
        infos: list[ModelInfo] = []
        for model in list(self._models.values()):
            if model.worker.ready:
                infos += await (await model.client()).models()
        return tuple(infos)

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """The running models with their processes.

        Resident memory counts the pages of the mapped weights
        that were touched so far.
        """
        return tuple(
            LoadedModel(
                name,
                pids=(model.worker.pid,),
                rss_bytes=model.worker.rss_bytes,
                context=model.worker.spec.context,
            )
            for name, model in self._models.items()
            if model.worker.ready and model.worker.pid is not None
        )

    def restarts(self, model: str) -> int:
        """See `SupervisedEngine.restarts`."""
        found = self._models.get(model)
        return 0 if found is None else found.worker.restarts

    async def load(self, model: str) -> LoadTimes:
        """Starts the model's process; zero where it runs already."""
        running = self._models.get(model)
        if running is not None and running.worker.ready:
            return LoadTimes(process_s=None, load_s=0.0)
        started = await self._started(model)
        await started.client()
        assert started.worker.times is not None
        return started.worker.times

    async def unload(self, model: str) -> None:
        """Ends the model's process; nothing where there is none."""
        found = self._models.pop(model, None)
        if found is not None:
            await found.stop()

    async def health(self) -> Health:
        """Well unless a worker is down; `detail` names it."""
        down = [name for name, model in self._models.items() if not model.worker.ready]
        detail = f"not ready: {', '.join(down)}" if down else ""
        return Health(not down, f"xllamacpp {version('xllamacpp')}", detail)

    async def close(self) -> None:
        """Ends all processes. Idempotent."""
        models = list(self._models.values())
        self._models.clear()
        await asyncio.gather(*(model.stop() for model in models))

    async def _started(self, name: str) -> _Model:
        """The model's worker, started if there is none or the last was given up."""
        async with self._starting:
            found = self._models.get(name)
            if found is not None and found.worker.failure is None:
                return found
            if found is not None:
                await found.stop()
            spec = await asyncio.to_thread(self._resolved, name)
            self._models[name] = _Model(Worker(spec, log=self._log, stall_s=self._stall_s), self._stall_s)
            return self._models[name]

    async def _ask(self, model: _Model, ask: Callable[[OpenAICompatibleEngine], Awaitable[T]]) -> T:
        client = await model.client()
        process = model.worker.process
        try:
            return await ask(client)
        except EngineCrashed as error:
            raise await _explained(model.worker, process, error) from error

    def _resolved(self, name: str) -> LaunchSpec:
        try:
            return self._resolve(name)
        except CorruptModel as error:
            raise EngineFailed(error.what, why=error.why, do=error.do) from error
        except ModelError as error:
            raise EngineModelMissing(error.what, why=error.why, do=error.do) from error


async def _explained(worker: Worker, process: Process | None, error: EngineCrashed) -> EngineCrashed:
    """The same failure in terms of our process, where that is what ended."""
    how = await death(process, _DEATH_S) if process is not None else None
    if how is None:
        return error
    return EngineCrashed(
        f"The process of {worker.spec.model} ended in the middle of an answer ({how})",
        do="It is started again by itself; send the request again",
    )
