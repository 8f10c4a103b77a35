"""Ollama by its native API: answers with its own timings, downloads, loading and unloading, memory.

Knows the routes and when to call them; what its JSON means stands in ollama_wire.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil

from inhouse.core.errors import (
    EngineError,
    EngineModelMissing,
    EngineOverloaded,
    EngineProtocolError,
    EngineUnavailable,
    UnsupportedFeature,
)
from inhouse.engines import ollama_wire as wire
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
    TokenLogprob,
    ToolCallEvent,
)
from inhouse.engines.http import HttpClient, is_loopback
from inhouse.engines.ollama_refusal import cut_off, describe, failed_pull
from inhouse.engines.streams import decode, ndjson
from inhouse.engines.tool_calls import with_text_calls
from inhouse.engines.tool_prompt import tools_as_text

DRAIN_S = 0.5
HEALTH_S = 5.0
UNLOAD_S = 60.0
# Ollama itself gives a load five minutes, and checks a large download's sum without a word for as long.
PATIENCE_S = 330.0


@dataclass(frozen=True, slots=True)
class PullProgress:
    """Where a download by Ollama stands: its own words, and the bytes of the layer that `digest` names."""

    status: str
    done_bytes: int | None = None
    total_bytes: int | None = None
    digest: str | None = None


class OllamaEngine:
    """The models of one Ollama server (see `Engine`). `keep_alive` says how long the server holds a model
    after a request ("30m", -1 for ever); None leaves that to the server.
    """

    name = "ollama"
    capabilities = Capabilities(tools=True, json_schema=True, logprobs=True, embeddings=True, lifecycle=True)

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:11434",
        *,
        stall_s: float = 120.0,
        keep_alive: str | int | None = None,
    ) -> None:
        self._http = HttpClient(base_url, stall_s=stall_s, describe=describe)
        self._patient = HttpClient(base_url, stall_s=max(stall_s, PATIENCE_S), describe=describe)
        self._hold: dict[str, Any] = {} if keep_alive is None else {"keep_alive": keep_alive}
        self._blobs: dict[str, str | None] = {}
        self._tools: dict[str, bool] = {}

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine.chat`. ContextExceeded where the prompt, or what the server took of it, fills the window.

        Tools go as text to a model whose template has no place for them, and where a call is required.
        """
        events = self._answer(request)
        if request.tools:
            if request.tool_choice == "required" or not await self._takes_tools(request.model):
                events = self._answer(tools_as_text(request))
            events = with_text_calls(events, request.tools)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        body = wire.chat_body(request) | self._hold
        calls = pieces = 0
        logprobs: tuple[TokenLogprob, ...] = ()
        with self._explained(request.model):
            async with self._http.stream("/api/chat", body) as content:
                async for at, lines in ndjson(content):
                    for line in lines:
                        piece = wire.read_piece(line, at, calls)
                        logprobs += piece.logprobs
                        if piece.text:
                            pieces += 1
                            wire.check_logprobs(request, logprobs)
                            yield TextEvent(at, piece.text, logprobs)
                            logprobs = ()
                        for call in piece.calls:
                            calls += 1
                            logprobs = ()  # those of a call's own tokens have no text to go with
                            yield ToolCallEvent(at, call)
                        if piece.usage is not None and piece.finish_reason is not None:
                            wire.check_window(request, piece.usage)
                            yield piece.usage
                            yield DoneEvent(at, "tool_calls" if calls else piece.finish_reason)
                            # Reading on to the end of the response lets the connection be used again.
                            with suppress(TimeoutError):
                                async with asyncio.timeout(DRAIN_S):
                                    await content.read()
                            return
        raise cut_off(pieces)

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """See `Engine.embed`. Ollama gives vectors of length one."""
        if not texts:
            return Embeddings((), 0)
        body = {"model": model, "input": list(texts), "truncate": False} | self._hold
        answer = await self._call(self._http, "/api/embed", body, model=model)
        vectors = answer.get("embeddings") or ()
        if len(vectors) != len(texts):
            raise EngineProtocolError(f"Ollama answered {len(texts)} texts with {len(vectors)} vectors")
        with wire.readable("/api/embed"):
            return Embeddings(tuple(tuple(map(float, each)) for each in vectors), answer.get("prompt_eval_count"))

    async def count_tokens(self, model: str, text: str) -> int:
        """Always UnsupportedFeature: Ollama has no route for it."""
        raise UnsupportedFeature("Ollama cannot count tokens without answering", do="Read the usage of an answer")

    async def models(self) -> tuple[ModelInfo, ...]:
        """See `Engine.models`: what the server has pulled."""
        answer = await self._call(self._http, "/api/tags")
        with wire.readable("/api/tags"):
            return tuple(wire.read_model(entry) for entry in answer.get("models") or ())

    async def show(self, model: str) -> ModelInfo:
        """One model as its file's header tells it, its trained context among it."""
        shown = await self._show(model)
        with wire.readable("/api/show"):
            return wire.read_shown(model, shown)

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """See `Engine.loaded`; the processes are found where the server runs on this machine, in a container too."""
        found = []
        for entry in await self._running():
            blob = await self._blob(entry)
            pids, rss_bytes = await asyncio.to_thread(_processes_of, blob) if blob else ((), None)
            with wire.readable("/api/ps"):
                found.append(wire.read_loaded(entry, pids, rss_bytes))
        return tuple(found)

    async def load(self, model: str) -> LoadTimes:
        """See `Engine.load`; the time is this call's, since Ollama states none for loading alone."""
        started = time.perf_counter()
        # "shift" as in chat: Ollama starts the model anew when it changes.
        body = {"model": model, "stream": False, "shift": False} | self._hold
        try:
            await self._call(self._patient, "/api/generate", body, model=model)
        except UnsupportedFeature:  # a model for embeddings only
            await self._call(self._patient, "/api/embed", {"model": model, "input": []} | self._hold, model=model)
        return LoadTimes(None, time.perf_counter() - started)

    async def unload(self, model: str) -> None:
        """See `Engine.unload`; returns when the model is gone, and waits for answers under way up to a minute."""
        await self._call(self._http, "/api/generate", {"model": model, "stream": False, "keep_alive": 0}, model=model)
        deadline = time.monotonic() + UNLOAD_S
        while any(wire.same_model(str(entry.get("name")), model) for entry in await self._running()):
            if time.monotonic() > deadline:
                raise EngineOverloaded(f"Ollama still answers with {model}", do="Wait for its requests to end")
            await asyncio.sleep(0.05)

    async def health(self) -> Health:
        """See `Engine.health`."""
        try:
            answer = await self._call(self._http, "/api/version", timeout_s=HEALTH_S)
        except EngineError as error:
            return Health(ok=False, detail=str(error))
        version = str(answer.get("version") or "")
        return Health(ok=True, version=version or None, detail=wire.warn_of_version(version))

    async def close(self) -> None:
        """See `Engine.close`; the server goes on."""
        await self._http.close()
        await self._patient.close()

    async def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        """Has the server download a model; leaving early stops it, and the next pull goes on from there.

        Besides EngineError: UnknownModel, SourceUnavailable (the registry cannot be reached), NotEnoughSpace,
        ChecksumMismatch. A registry without TLS is used only where the name says http://.
        """
        body = {"model": model, "stream": True, "insecure": model.startswith("http://")}
        status = ""
        with self._explained(model):
            async with self._patient.stream("/api/pull", body) as content:
                async for _, lines in ndjson(content):
                    for line in lines:
                        part = decode(line)
                        if "error" in part:
                            raise failed_pull(model, str(part["error"]))
                        status = str(part.get("status") or "")
                        yield PullProgress(status, part.get("completed"), part.get("total"), part.get("digest"))
        if status != "success":
            raise EngineProtocolError(
                f"Ollama ended the download of {model} without saying that it is done", do="Pull it again: it goes on"
            )

    async def _call(
        self,
        http: HttpClient,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        model: str = "",
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        with self._explained(model):
            answer = await http.json("GET" if body is None else "POST", path, body, timeout_s=timeout_s)
        if not isinstance(answer, dict):
            raise EngineProtocolError(
                f"Ollama's {path} answered no JSON object", do="Check that the address is Ollama's"
            )
        return answer

    async def _show(self, model: str) -> dict[str, Any]:
        return await self._call(self._http, "/api/show", {"model": model}, model=model)

    async def _takes_tools(self, model: str) -> bool:
        """Whether the model's template has a place for tools; servers that do not say are taken to have one."""
        if model not in self._tools:
            self._tools[model] = "tools" in ((await self._show(model)).get("capabilities") or ("tools",))
        return self._tools[model]

    async def _blob(self, entry: Mapping[str, Any]) -> str | None:
        """File name of a loaded model's weights, asked for once; None where the server runs elsewhere."""
        if not is_loopback(self._http.base_url):
            return None
        digest = str(entry.get("digest"))
        if digest not in self._blobs:
            try:
                self._blobs[digest] = wire.model_blob(await self._show(str(entry.get("name"))))
            except EngineModelMissing:  # removed from the disk, but still in memory
                return None
        return self._blobs[digest]

    async def _running(self) -> list[dict[str, Any]]:
        """The entries of /api/ps."""
        return list((await self._call(self._http, "/api/ps")).get("models") or ())

    @contextmanager
    def _explained(self, model: str) -> Iterator[None]:
        """Says what to do in Ollama's terms, where the HTTP client could only speak of a server."""
        try:
            yield
        except EngineUnavailable as error:
            raise EngineUnavailable(
                f"No Ollama answers at {self._http.base_url}",
                why=error.why,
                do="Start it with `docker compose -f deploy/compose.yaml up -d` or `ollama serve`",
            ) from error
        except EngineModelMissing as error:
            raise EngineModelMissing(
                f"Ollama does not have {model}", why=error.why, do=f"Run `inhouse models pull {model} --engine ollama`"
            ) from error


def _processes_of(blob: str) -> tuple[tuple[int, ...], int | None]:
    """Ids and memory of Ollama's runners that were started with that file of weights.

    A runner outlives a server that was killed, and then holds memory that no server knows of: it does not count.
    """
    pids, rss_bytes = [], 0
    for process in psutil.process_iter(["cmdline"]):
        if any(argument.endswith(blob) for argument in process.info["cmdline"] or ()):
            with suppress(psutil.Error):  # it may end at any moment, or be another user's
                parent = process.parent()
                if parent is not None and "ollama" in parent.name().lower():
                    rss_bytes += process.memory_info().rss
                    pids.append(process.pid)
    return tuple(pids), rss_bytes if pids else None
