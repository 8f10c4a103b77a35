"""Engine over OpenAI's API: vLLM, llama.cpp's server, LM Studio, cloud services.

Finds out which dialect the server speaks; knows nothing of how it was started.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from inhouse.core.errors import EngineError, EngineProtocolError, EngineRefused, EngineUnauthorised, UnsupportedFeature
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
)
from inhouse.engines.continuations import score_continuations
from inhouse.engines.http import HttpClient, checked_url
from inhouse.engines.openai_wire import LLAMA_CPP, OPENAI, OPENAI_CLOUD, VLLM, AnswerReader, Dialect, chat_body
from inhouse.engines.streams import sse
from inhouse.engines.tool_calls import with_text_calls
from inhouse.engines.tool_prompt import tools_as_text

_QUICK_S = 5.0  # for questions that a healthy server answers at once
_DRAIN_S = 0.5  # for the end of a stream whose answer is complete


class OpenAICompatibleEngine:
    """One server at `base_url` (with or without its /v1).

    `api_key` goes into each request as a bearer token. `stall_s` bounds each wait for bytes, `connect_s`
    the connecting. `dialect` spares asking the server where it is known.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        stall_s: float = 120.0,
        name: str = "openai",
        connect_s: float = 10.0,
        dialect: Dialect | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        url = checked_url(base_url)
        parts = urlsplit(url)
        # Some routes (tokenize, version) stand beside /v1, so the client works from the root above it.
        root = url.removesuffix("/v1")
        self._api = "/v1" if root != url or not parts.path else ""
        self._http = HttpClient(root, headers=headers, stall_s=stall_s, connect_s=connect_s)
        self._name = name
        self._tools_in_template: bool | None = None
        self._dialect = dialect or (OPENAI_CLOUD if (parts.hostname or "").endswith("openai.com") else None)

    @property
    def name(self) -> str:
        """The name it was given."""
        return self._name

    @property
    def base_url(self) -> str:
        """Where the server's API is."""
        return self._http.base_url + self._api

    @property
    def capabilities(self) -> Capabilities:
        """What the dialect allows; only OpenAI's own until the server was first asked (`health`, `models`)."""
        dialect = self._dialect or OPENAI
        return Capabilities(
            tools=True,
            json_schema=True,
            logprobs=True,
            embeddings=True,
            prompt_cache=dialect.prompt_cache,
            token_count=dialect.token_count,
            ignore_eos=dialect.ignore_eos,
            continuations=dialect is LLAMA_CPP,
        )

    def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine.chat`."""
        answer = self._answer(request)
        return with_text_calls(answer, request.tools) if request.tools else answer

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        # Only what goes beyond OpenAI's own fields makes it worth asking the server who it is.
        extras = request.ignore_eos or request.cache_prompt is not None or request.repeat_penalty is not None
        dialect = await self._know_dialect() if extras or request.tools else self._dialect or OPENAI
        native = not request.tools or await self._takes_tools()
        body = chat_body(request if native else tools_as_text(request), dialect)
        reader = AnswerReader()
        at = 0.0
        busy = self._answers_health if dialect is LLAMA_CPP else None
        async with self._http.stream(f"{self._api}/chat/completions", body, busy=busy) as content:
            async for at, events in sse(content):
                for data in events:
                    if (text := reader.read(at, data)) is not None:
                        yield text
                if reader.done:
                    break
            for event in reader.end(at):
                yield event
            # Reading up to the end lets the connection be used again; a server that keeps it open loses it.
            if not content.ended:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_DRAIN_S):
                        await content.read()

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """See `Engine.embed`."""
        if not texts:
            return Embeddings(())
        body = {"model": model, "input": list(texts), "encoding_format": "float"}
        answer = await self._http.json("POST", f"{self._api}/embeddings", body)
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = tuple(tuple(map(float, row["embedding"])) for row in rows)
            tokens = (answer.get("usage") or {}).get("prompt_tokens")
        except (KeyError, TypeError, ValueError) as error:
            raise _unexpected("embeddings", error) from None
        if len(vectors) != len(texts):
            raise EngineProtocolError(f"The server sent {len(vectors)} embeddings for {len(texts)} texts")
        return Embeddings(vectors, tokens)

    async def count_tokens(self, model: str, text: str) -> int:
        """See `Engine.count_tokens`."""
        dialect = await self._know_dialect()
        if not dialect.token_count:
            raise UnsupportedFeature("This server cannot count tokens")
        vllm = dialect is VLLM
        body = {"model": model, "prompt": text} if vllm else {"content": text, "add_special": False}
        answer = await self._http.json("POST", "/tokenize", body)
        try:
            return int(answer["count"]) if vllm else len(answer["tokens"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unexpected("tokens", error) from None

    async def continuations(
        self, request: ChatRequest, texts: Sequence[str], *, raw: bool = False
    ) -> tuple[ContinuationLogprob, ...]:
        """See `ContinuationEngine.continuations`; llama.cpp's server only."""
        if await self._know_dialect() is not LLAMA_CPP:
            raise UnsupportedFeature("This server cannot give the log-probability of a whole answer")
        return await score_continuations(self._http, request, texts, raw=raw)

    async def models(self) -> tuple[ModelInfo, ...]:
        """See `Engine.models`."""
        answer = await self._http.json("GET", f"{self._api}/models")
        try:
            entries = answer["data"]
            self._learn_dialect(entries)
            return tuple(_model(entry) for entry in entries)
        except (KeyError, TypeError, AttributeError) as error:
            raise _unexpected("list of models", error) from None

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Empty: OpenAI's API does not say what is in memory."""
        return ()

    async def load(self, model: str) -> LoadTimes:
        """Unsupported: the server loads its models itself."""
        raise UnsupportedFeature(f"{self.base_url} cannot be told to load {model}")

    async def unload(self, model: str) -> None:
        """Unsupported: the server keeps its models itself."""
        raise UnsupportedFeature(f"{self.base_url} cannot be told to unload {model}")

    async def health(self) -> Health:
        """Whether it lists its models; with its version where its dialect tells one."""
        try:
            async with asyncio.timeout(_QUICK_S):
                await self.models()
                return Health(True, await self._version())
        except TimeoutError:
            return Health(False, detail=f"{self.base_url} did not answer within {_QUICK_S:g} s")
        except EngineError as error:
            return Health(False, detail=str(error))

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def _version(self) -> str | None:
        path, key = ("/props", "build_info") if self._dialect is LLAMA_CPP else ("/version", "version")
        if self._dialect not in (LLAMA_CPP, VLLM):
            return None
        try:
            answer = await self._http.json("GET", path)
        except EngineError:  # a route that the operator closed says nothing about health
            return None
        version = answer.get(key) if isinstance(answer, dict) else None
        return str(version) if version else None

    async def _answers_health(self) -> bool:
        """Whether llama.cpp's server is there: it sends nothing while a request queues or its prompt is read."""
        try:
            await self._http.json("GET", "/health", timeout_s=_QUICK_S)
        except EngineError:
            return False
        return True

    async def _know_dialect(self) -> Dialect:
        if self._dialect is None:
            await self.models()
        return self._dialect or OPENAI

    async def _takes_tools(self) -> bool:
        """Whether the model's template has a place for tools: llama.cpp leaves them out in silence if not."""
        if self._tools_in_template is None:
            self._tools_in_template = True
            if self._dialect is LLAMA_CPP:
                with suppress(EngineRefused, EngineUnauthorised, AttributeError):  # the operator closed that route
                    caps = (await self._http.json("GET", "/props")).get("chat_template_caps") or {}
                    self._tools_in_template = caps.get("supports_tools") is not False
        return self._tools_in_template

    def _learn_dialect(self, entries: list[dict[str, Any]]) -> None:
        if self._dialect is None:
            owners = {entry.get("owned_by") for entry in entries}
            self._dialect = LLAMA_CPP if "llamacpp" in owners else VLLM if "vllm" in owners else OPENAI


def _model(entry: dict[str, Any]) -> ModelInfo:
    meta = entry.get("meta") or {}
    return ModelInfo(
        name=entry["id"],
        size_bytes=meta.get("size"),
        context=meta.get("n_ctx") or entry.get("max_model_len"),
        quantisation=meta.get("ftype"),
        parameters=meta.get("n_params"),
    )


def _unexpected(what: str, error: Exception) -> EngineProtocolError:
    return EngineProtocolError(
        f"The server's {what} cannot be read",
        why=f"{type(error).__name__}: {error}",
        do="Check that the address is that of an OpenAI-compatible server",
    )
