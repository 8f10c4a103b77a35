"""An engine in this process that answers from the request itself, with all that an engine can bring: text in
pieces, tool calls, JSON, log-probabilities, embeddings, failures before and in mid-answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence

from inhouse.core.errors import EngineError
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
    ToolCall,
    ToolCallEvent,
    UsageEvent,
)


class TalkingEngine:
    """Says back the last message, word by word, `word_s` apart.

    With tools on offer it calls the first; with a schema it answers {"said": …}. `fails` is raised before the
    answer, `breaks` after its second word. `requests` keeps what came, `left_early` counts answers cut short.
    """

    name = "talking"
    capabilities = Capabilities(tools=True, json_schema=True, logprobs=True, embeddings=True)

    def __init__(self, *models: str) -> None:
        self.names = models or ("parrot",)
        self.word_s = 0.0
        self.fails: EngineError | None = None
        self.breaks: EngineError | None = None
        self.requests: list[ChatRequest] = []
        self.left_early = 0
        self.under_way = 0
        self.ok = True

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        if self.fails is not None:
            raise self.fails
        said = next((m.content for m in reversed(request.messages) if m.role in ("user", "tool")), "")
        prompt = sum(len(message.content.split()) for message in request.messages)
        count = 0
        finish = "stop"
        self.under_way += 1
        complete = False
        try:
            if request.tools and request.tool_choice != "none" and request.messages[-1].role != "tool":
                call = ToolCall("call_1", request.tools[0].name, json.dumps({"city": said}))
                yield ToolCallEvent(time.perf_counter(), call)
                count, finish = 1, "tool_calls"
            else:
                text = json.dumps({"said": said}, ensure_ascii=False) if request.json_schema is not None else said
                for word in pieces(text)[: request.max_tokens]:
                    if self.word_s or count == 2:
                        await asyncio.sleep(self.word_s)
                    if count == 2 and self.breaks is not None:
                        raise self.breaks
                    count += 1
                    top = (TokenLogprob(word, -0.5, ((word, -0.5), ("x", -2.0))[: request.top_logprobs or 0]),)
                    yield TextEvent(time.perf_counter(), word, top if request.top_logprobs is not None else ())
                if request.max_tokens is not None and len(pieces(text)) > request.max_tokens:
                    finish = "length"
            complete = True
            timings = {"load_s": 0.5, "prompt_s": 0.25, "decode_s": 0.125}
            yield UsageEvent(time.perf_counter(), prompt, count, 0, timings)
            yield DoneEvent(time.perf_counter(), finish)
        finally:
            self.under_way -= 1
            self.left_early += not complete and self.breaks is None

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        if self.fails is not None:
            raise self.fails
        return Embeddings(tuple((float(len(text)), 0.5, -1.0) for text in texts), sum(len(t.split()) for t in texts))

    async def count_tokens(self, model: str, text: str) -> int:
        return len(text.split())

    async def models(self) -> tuple[ModelInfo, ...]:
        return tuple(ModelInfo(name, 1000, 4096, "Q4_0", 135_000_000, "sha256:0") for name in self.names)

    async def loaded(self) -> tuple[LoadedModel, ...]:
        return tuple(LoadedModel(name, rss_bytes=2000, context=4096) for name in self.names)

    async def load(self, model: str) -> LoadTimes:
        return LoadTimes(None, 0.0)

    async def unload(self, model: str) -> None:
        pass

    async def health(self) -> Health:
        return Health(self.ok, "1", "" if self.ok else "it is down")

    async def close(self) -> None:
        pass


def pieces(text: str) -> list[str]:
    """Words with the space before each."""
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]
