"""The engines under contract. To add one: a function that yields its Subject, and its name in ENGINES."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import contract_requests
import ollama_requests
import pytest
import pytest_asyncio
from ollama_replay import replaying

from inhouse.core.errors import EngineError, UnknownModel
from inhouse.engines.base import Engine
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.http import HttpClient
from inhouse.engines.launch import LaunchSpec
from inhouse.engines.ollama import OllamaEngine
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.engines.recorded import Recorder, Replayer

TINY = "smollm2:135m"


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine, the model to ask (context 512), and what only its own kind can tell.

    `generating`: whether its server generates something now; None where there is no server to ask.
    `missing`: a model that it does not have; None where the server answers for any name.
    `embedder`: the model to embed with, where it is another.
    """

    engine: Engine
    model: str
    generating: Callable[[], Awaitable[bool]] | None = None
    missing: str | None = None
    embedder: str | None = None


@asynccontextmanager
async def embedded(tiny_model: Path, tmp_path: Path) -> AsyncIterator[Subject]:
    def resolve(name: str) -> LaunchSpec:
        if name != TINY:
            raise UnknownModel(f"There is no model {name}")
        return LaunchSpec(TINY, tiny_model, context=512, slots=2, threads=1, embeddings=True)

    engine = EmbeddedEngine(resolve)
    try:
        await engine.load(TINY)
        worker = engine._models[TINY].worker
        server = HttpClient(await worker.address(), headers={"Authorization": f"Bearer {worker.api_key}"})

        async def generating() -> bool:
            return any(slot["is_processing"] for slot in await server.json("GET", "/slots"))

        yield Subject(engine, TINY, generating, missing="no-such-model")
        await server.close()
    finally:
        await engine.close()


@asynccontextmanager
async def openai(tiny_model: Path, tmp_path: Path) -> AsyncIterator[Subject]:
    """A client that was told nothing but an address and a key, against the embedded engine's real server."""
    async with embedded(tiny_model, tmp_path) as served:
        assert isinstance(served.engine, EmbeddedEngine)
        worker = served.engine._models[TINY].worker
        engine = OpenAICompatibleEngine(await worker.address(), api_key=worker.api_key)
        await engine.health()
        yield Subject(engine, TINY, served.generating)
        await engine.close()


@asynccontextmanager
async def recorded(tiny_model: Path, tmp_path: Path) -> AsyncIterator[Subject]:
    """A recording of the embedded engine, made just now."""
    path = tmp_path / "recording.jsonl"
    async with embedded(tiny_model, tmp_path) as served:
        recorder = Recorder(served.engine, path)
        for request in contract_requests.ALL:
            try:
                async for _ in recorder.chat(request(TINY)):
                    pass
            except EngineError:
                pass
        await recorder.embed(TINY, contract_requests.TEXTS)
        for text in contract_requests.TEXTS:
            await recorder.count_tokens(TINY, text)
        await recorder.models()
    yield Subject(Replayer(path), TINY)


@asynccontextmanager
async def ollama(tiny_model: Path, tmp_path: Path) -> AsyncIterator[Subject]:
    """A real Ollama's answers to these very requests, replayed over HTTP (record_ollama.py made them)."""
    async with replaying() as server:
        engine = OllamaEngine(server.url)

        async def generating() -> bool:
            return server.generating > 0

        yield Subject(engine, TINY, generating, ollama_requests.MISSING, ollama_requests.EMBEDDER)
        await engine.close()


ENGINES = {"embedded": embedded, "openai": openai, "ollama": ollama, "recorded": recorded}


@pytest_asyncio.fixture(params=ENGINES, scope="module", loop_scope="module")
async def subject(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Subject]:
    async with asyncio.timeout(60):
        opening = ENGINES[request.param](tiny_model, tmp_path_factory.mktemp(request.param))
        opened = await opening.__aenter__()
    yield opened
    await opening.__aexit__(None, None, None)
