"""The seams of the gateway: what its request pipeline asks of routing, limits, cache and guard.

Each is an optional part that is passed in; the pipeline (handler.py) knows nothing else of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from inhouse.docs.citations import Citation
from inhouse.engines.base import (
    ChatRequest,
    DoneEvent,
    Embeddings,
    Event,
    FinishReason,
    Health,
    LoadedModel,
    ModelInfo,
    TextEvent,
    TokenLogprob,
    ToolCall,
    ToolCallEvent,
    UsageEvent,
)
from inhouse.gateway.identity import Caller


@dataclass(slots=True)
class Route:
    """Where a request went and what it met on the way; the upstream writes into it as it goes."""

    model: str
    """The model that serves it: another than was asked for after a fallback."""
    replica: str = ""
    queue_s: float = 0.0
    retries: int = 0
    conversation: str = ""
    """The conversation that the request belongs to, by its id; "new" is one that the upstream is to begin."""


class Upstream(Protocol):
    """What answers: one engine, or many behind queues. Raises EngineError and GatewayError only."""

    def chat(
        self,
        request: ChatRequest,
        caller: Caller,
        route: Route,
        *,
        deadline_s: float | None = None,
        prefix: bytes | None = None,
    ) -> AsyncIterator[Event]:
        """As `Engine.chat`. `deadline_s`: refuse what cannot be started within so long from now.

        `prefix` is alike for requests whose prompts begin alike (prefix affinity).
        """
        ...

    async def embed(
        self, model: str, texts: Sequence[str], caller: Caller, route: Route, *, deadline_s: float | None = None
    ) -> Embeddings:
        """As `Engine.embed`."""
        ...

    def serves(self, model: str) -> bool:
        """Whether there is such a model."""
        ...

    async def models(self) -> tuple[ModelInfo, ...]:
        """All models, under the names that callers use."""
        ...

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Those that are in memory now."""
        ...

    async def health(self) -> Health:
        """Well where any model can be asked now; `detail` names those that cannot."""
        ...

    async def start(self) -> None:
        """Begins what runs in the background."""
        ...

    async def close(self) -> None:
        """Frees everything."""
        ...


class LimitState(Protocol):
    """Where a caller stands after a request was let in."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """OpenAI's x-ratelimit-… headers."""
        ...


class Limits(Protocol):
    """Rates of requests and tokens. Every `take` that returns is followed by one `settle`."""

    async def take(self, caller: Caller, model: str, tokens: int) -> LimitState:
        """Counts a request of about so many tokens; RateLimited where it is too much."""
        ...

    async def settle(self, caller: Caller, model: str, estimated: int, actual: int) -> None:
        """The request has ended, and took so many tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, as it is kept by the cache and given at once to who did not ask for a stream."""

    text: str
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    citations: tuple[Citation, ...] | None = None
    """What an answer from documents stands on; None for any other."""

    def events(self, at: float) -> Iterator[Event]:
        """The answer as an engine would have given it, all at one time."""
        if self.text or self.logprobs:
            yield TextEvent(at, self.text, self.logprobs)
        for call in self.tool_calls:
            yield ToolCallEvent(at, call)
        yield UsageEvent(at, self.prompt_tokens, self.completion_tokens, self.cached_tokens, self.timings)
        yield DoneEvent(at, self.finish_reason)


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer from the cache: `how` it was found (exact, semantic) and how old it is, in seconds."""

    answer: Answer
    how: str
    age_s: float


class Cache(Protocol):
    """Answers given before."""

    def key(self, request: ChatRequest, caller: Caller, cache_control: str) -> Any | None:
        """What the request's answer is kept under; None where it must not be cached (`cache_control` as in HTTP)."""
        ...

    async def get(self, key: Any) -> Hit | None:
        """The answer, if one is kept that the request takes."""
        ...

    async def put(self, key: Any, answer: Answer) -> None:
        """Keeps a complete answer."""
        ...
