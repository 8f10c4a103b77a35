"""The Engine seam: one request type, one stream of events, whatever serves the model.

An engine is anything with these methods (`Engine` is a Protocol); tests/contracts/engines runs the same
tests on each. Nothing here knows HTTP or any server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `tool_call_id` and `name` say which call a tool message answers."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool on offer; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What to answer and how. None leaves a value to the engine.

    `json_schema` constrains the answer to that schema; `top_logprobs` asks for log-probabilities of each
    token with that many alternatives (0: the chosen token only). `ignore_eos` makes the answer exactly
    `max_tokens` long, which benches need to hold the work constant (only where capabilities allow).
    `cache_prompt` False forbids the reuse of a cached prefix where the engine can be told so.
    `context` is the window asked for, where the engine takes it with the request (Ollama).
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "none", "required"] | None = None
    top_logprobs: int | None = None
    ignore_eos: bool = False
    cache_prompt: bool | None = None
    context: int | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of one generated token, with the likeliest alternatives."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TextEvent:
    """A piece of the answer. `at` is time.perf_counter() when its bytes arrived."""

    at: float
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallEvent:
    """A whole tool call (engines that stream its parts are assembled first).

    `form` is "native" where the server found it, else how the model wrote it in its text (see call_forms).
    """

    at: float
    call: ToolCall
    form: str = "native"


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Token counts, and the engine's own timings in seconds where it gives them.

    Timing names: `load_s` (model load), `queue_s`, `prompt_s` (prefill), `decode_s`, `total_s`.
    """

    at: float
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None = None
    timings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DoneEvent:
    """The last event of every complete answer."""

    at: float
    finish_reason: FinishReason


Event = TextEvent | ToolCallEvent | UsageEvent | DoneEvent


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine offers. `lifecycle`: `load` and `unload` work, so that a cold start can be measured."""

    streaming: bool = True
    tools: bool = False
    json_schema: bool = False
    logprobs: bool = False
    prompt_cache: bool = False
    embeddings: bool = False
    token_count: bool = False
    ignore_eos: bool = False
    lifecycle: bool = False
    continuations: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that an engine can serve; sizes in bytes, None where the engine does not say."""

    name: str
    size_bytes: int | None = None
    context: int | None = None
    quantisation: str | None = None
    parameters: int | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each input text, in order; all of one length."""

    vectors: tuple[tuple[float, ...], ...]
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ContinuationLogprob:
    """Natural-log probability of a text as the continuation of a prompt, over its `tokens` tokens.

    `greedy`: each token was the likeliest one at its place.
    """

    logprob: float
    tokens: int
    greedy: bool


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the engine answers, and what it says of itself. `detail` tells why where it does not."""

    ok: bool
    version: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model held in memory: `rss_bytes` of the process(es) `pids` on this machine where they can be seen,
    `gpu_bytes` on a GPU, `reported_bytes` as the engine states it.
    """

    model: str
    pids: tuple[int, ...] = ()
    rss_bytes: int | None = None
    gpu_bytes: int | None = None
    reported_bytes: int | None = None
    context: int | None = None


@dataclass(frozen=True, slots=True)
class LoadTimes:
    """A cold start by part, in seconds: `process_s` until the process runs, `load_s` until it is ready."""

    process_s: float | None
    load_s: float

    @property
    def total_s(self) -> float:
        """From nothing to ready."""
        return (self.process_s or 0.0) + self.load_s


class Engine(Protocol):
    """A server of models. Safe for many concurrent calls; `close` it when done.

    Every method raises `core.errors.EngineError` (a subclass that says what went wrong) and nothing else.
    """

    @property
    def name(self) -> str:
        """Short name: embedded, ollama, openai, recorded."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this engine offers."""
        ...

    def chat(self, request: ChatRequest) -> AsyncIterator[Event]:
        """Answers as a stream: text and tool calls as they come, then one UsageEvent, then one DoneEvent.

        Closing the iterator early (`aclose`, or cancelling the task) makes the server stop generating.
        Nothing is retried once the first byte has come.
        """
        ...

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """Embeds each text; UnsupportedFeature where the engine has no embeddings."""
        ...

    async def count_tokens(self, model: str, text: str) -> int:
        """How many tokens the model makes of the text; UnsupportedFeature where the engine cannot say."""
        ...

    async def models(self) -> tuple[ModelInfo, ...]:
        """The models it can serve now."""
        ...

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """The models it holds in memory now; empty where it does not say."""
        ...

    async def load(self, model: str) -> LoadTimes:
        """Loads the model, if it is not loaded; UnsupportedFeature without `lifecycle`."""
        ...

    async def unload(self, model: str) -> None:
        """Drops the model from memory; UnsupportedFeature without `lifecycle`."""
        ...

    async def health(self) -> Health:
        """Whether it answers now. Never raises."""
        ...

    async def close(self) -> None:
        """Frees everything: connections, worker processes. Idempotent."""
        ...


@runtime_checkable
class SupervisedEngine(Protocol):
    """What an engine has beside `Engine`'s methods that starts its models' processes again when they die."""

    def restarts(self, model: str) -> int:
        """How often the model's process was started again since it was loaded."""
        ...


@runtime_checkable
class ContinuationEngine(Protocol):
    """What an engine with the capability `continuations` has beside `Engine`'s methods."""

    async def continuations(
        self, request: ChatRequest, texts: Sequence[str], *, raw: bool = False
    ) -> tuple[ContinuationLogprob, ...]:
        """How likely each text is to follow the request's messages (as the assistant's answer).

        `raw`: to follow the last message's text itself, without the model's chat template. Of the request
        only model and messages count. UnsupportedFeature where the server cannot say.
        """
        ...
