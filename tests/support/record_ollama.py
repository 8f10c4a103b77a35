"""Records a real Ollama's answers to what the tests ask: PYTHONPATH=tests/support python -m record_ollama URL [PART…]

The server must run on this machine with OLLAMA_GO_TEMPLATE=1, and hold the models that ollama_requests names;
a registry on port 5055 must have smollm2:135m, and the same damaged as bad-smollm2:135m. PART deaths, the last,
kills the server. Nothing but fixtures/ollama is written.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable

import contract_requests
import ollama_requests as requests
import psutil
from ollama_replay import Recording, recording

from inhouse.core.errors import InhouseError
from inhouse.engines.base import ChatRequest, TextEvent
from inhouse.engines.ollama import OllamaEngine


async def main(upstream: str, parts: list[str]) -> None:
    """Records the parts, in an order in which each answer finds the state that it tells of."""
    async with recording(upstream) as proxy:
        engine = OllamaEngine(proxy.url, stall_s=600)
        for record_part in (record_state, record_answers, record_tools, record_pulls, record_deaths):
            if not parts or record_part.__name__.removeprefix("record_") in parts:
                await record_part(proxy, engine)
        await engine.close()


async def record_state(proxy: Recording, engine: OllamaEngine) -> None:
    """Version, models, loading and unloading, embeddings."""
    proxy.label = "of-server"
    await engine.health()
    await engine.models()
    for model in (requests.MODEL, requests.TOOL_MODEL, requests.TEXT_TOOL_MODEL, requests.EMBEDDER):
        proxy.label = model
        await engine.show(model)
    direct = OllamaEngine(proxy.upstream)
    for loaded in await direct.loaded():
        await direct.unload(loaded.model)
    proxy.label = "load"
    await engine.load(requests.MODEL)
    await engine.loaded()
    proxy.label = "unload"
    await engine.unload(requests.MODEL)
    proxy.label = "embedder-alone"
    await attempt(engine.load(requests.EMBEDDER))
    proxy.label = "texts"
    await engine.embed(requests.EMBEDDER, contract_requests.TEXTS)
    proxy.label = "too-long"
    await attempt(engine.embed(requests.EMBEDDER, ["All work and no play. " * 2000]))
    proxy.label = "by-a-chat-model"
    await attempt(engine.embed(requests.MODEL, ["one"]))
    await direct.close()
    for call in (engine.show, engine.load, engine.unload):
        proxy.label = f"missing-{call.__name__}"
        await attempt(call(requests.MISSING))
    proxy.label = "missing"
    await attempt(engine.embed(requests.MISSING, ["one"]))


async def record_answers(proxy: Recording, engine: OllamaEngine) -> None:
    """What the contract asks, and what only Ollama's own tests ask."""
    for make in (*contract_requests.ALL, contract_requests.long_answer):
        await record(proxy, engine, make(requests.MODEL), f"contract-{make.__name__}")
    await record(proxy, engine, contract_requests.plain(requests.MISSING), "missing")
    for make in (
        requests.every_option,
        requests.to_the_window_s_end,
        requests.history_too_long,
        requests.one_token_for_ever,
    ):
        await record(proxy, engine, make(), make.__name__)


async def record_tools(proxy: Recording, engine: OllamaEngine) -> None:
    """Calls by each way in which a model can make them."""
    direct = OllamaEngine(proxy.upstream)
    for model in (requests.TOOL_MODEL, requests.TEXT_TOOL_MODEL, requests.MODEL):
        await record(proxy, engine, requests.weather(model), f"weather-{model}")
        await record(proxy, engine, contract_requests.after_tool(model), f"after-tool-{model}")
        await direct.unload(model)  # Ollama would give one file's process to the next, with this one's template
    await direct.close()


async def record_pulls(proxy: Recording, engine: OllamaEngine) -> None:
    """Downloads: whole, damaged, not there, no registry."""
    for label, model in (
        ("damaged", requests.DAMAGED),
        ("whole", requests.PULLED),
        ("not-in-registry", requests.NOT_IN_REGISTRY),
        ("no-registry", requests.NO_REGISTRY),
    ):
        proxy.label = label

        async def drain(name: str = model) -> None:
            async for progress in engine.pull(name):
                say(progress)

        await attempt(drain())


async def record_deaths(proxy: Recording, engine: OllamaEngine) -> None:
    """Answers in the middle of which the model's process, then the server, is killed."""
    await record(proxy, engine, requests.broken_off(), "runner-killed", kill="runner")
    await record(proxy, engine, requests.server_killed(), "server-killed", kill="server")


async def record(
    proxy: Recording, engine: OllamaEngine, request: ChatRequest, label: str, kill: str | None = None
) -> None:
    """Records one answer to its end, or kills what gives it after the tenth piece."""
    proxy.label = label

    async def read() -> None:
        pieces = 0
        async for event in engine.chat(request):
            if not isinstance(event, TextEvent):
                say(event)
            pieces += 1
            if kill and pieces == 10:
                runner = psutil.Process(runners[0])
                os.kill(runner.pid if kill == "runner" else runner.ppid(), signal.SIGKILL)

    if kill:
        direct = OllamaEngine(proxy.upstream)
        await direct.load(request.model)
        runners = [pid for model in await direct.loaded() for pid in model.pids if model.model == request.model]
        await direct.close()
    await attempt(read())


async def attempt(call: Awaitable[object]) -> None:
    """Awaits what may fail, and says how it ended."""
    try:
        say(await call)
    except InhouseError as error:
        say(f"{type(error).__name__}: {error}")


def say(what: object) -> None:
    """Shows what came, for the eye of who records."""
    sys.stdout.write(f"{what}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
