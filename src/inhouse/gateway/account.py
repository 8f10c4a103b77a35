"""The account of one request: all that its usage row, its metrics and its log line are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inhouse.docs.citations import Citation, CitationsEvent
from inhouse.engines.base import DoneEvent, Event, TextEvent, TokenLogprob, ToolCall, ToolCallEvent, UsageEvent
from inhouse.gateway.base import Answer, Route
from inhouse.gateway.identity import Caller
from inhouse.gateway.ledger import UsageRow, utc_day
from inhouse.gateway.prices import FREE, Price

if TYPE_CHECKING:
    from inhouse.gateway.tracing import Trace

# Bytes of text for a token where nobody has counted: about right for English, a little much for Korean.
_BYTES_A_TOKEN = 4


@dataclass(slots=True)
class Collector:
    """An answer as its events come in. `first` is the perf_counter time of the first of them."""

    first: float | None = None
    text: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    usage: UsageEvent | None = None
    done: DoneEvent | None = None
    citations: tuple[Citation, ...] | None = None

    def add(self, event: Event | CitationsEvent) -> None:
        """Takes in an event."""
        if isinstance(event, TextEvent):
            if self.first is None:
                self.first = event.at
            self.text.append(event.text)
            if event.logprobs:
                self.logprobs += event.logprobs
        elif isinstance(event, ToolCallEvent):
            if self.first is None:
                self.first = event.at
            self.calls.append(event.call)
        elif isinstance(event, UsageEvent):
            self.usage = event
        elif isinstance(event, CitationsEvent):
            self.citations = event.citations
        else:
            self.done = event

    def answer(self) -> Answer:
        """The answer that the events made, once it is complete."""
        assert self.done is not None
        usage = self.usage
        return Answer(
            "".join(self.text),
            self.done.finish_reason,
            tuple(self.calls),
            tuple(self.logprobs),
            None if usage is None else usage.prompt_tokens,
            None if usage is None else usage.completion_tokens,
            None if usage is None else usage.cached_tokens,
            {} if usage is None else usage.timings,
            self.citations,
        )


@dataclass(slots=True)
class Account:
    """Filled in while the request is served. `began` is a perf_counter time, `at` is wall-clock."""

    id: str
    at: float
    began: float
    api: str
    caller: Caller | None = None
    model: str = ""
    stream: bool = False
    route: Route | None = None
    prompt_estimate: int = 0
    estimate: int = 0
    """Tokens that the limits were asked for."""
    got: Collector = field(default_factory=Collector)
    cache: str | None = None
    cache_age_s: float = 0.0
    guard: str | None = None
    status: int = 200
    error: str | None = None
    row: UsageRow | None = None
    trace: Trace | None = None

    @property
    def known_caller(self) -> Caller:
        """The caller, once the key was checked."""
        assert self.caller is not None
        return self.caller

    def tokens(self) -> tuple[int, int, int, bool]:
        """Prompt, completion and cached tokens, and whether they are estimates.

        An answer that was not finished has no count from the engine: each piece of text is then one token.
        """
        got, usage = self.got, self.got.usage
        if usage is not None and usage.prompt_tokens is not None and usage.completion_tokens is not None:
            return usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens or 0, False
        if self.route is None or (got.first is None and self.error is not None):
            return 0, 0, 0, False  # the engine was not asked, or gave nothing
        return self.prompt_estimate, len(got.text) + len(got.calls), 0, True

    def close(self, end: float, price: Price = FREE) -> UsageRow:
        """Makes the usage row, at the end of the request (a perf_counter time)."""
        assert self.caller is not None
        got = self.got
        prompt, completion, cached, estimated = self.tokens()
        route = self.route
        timings = {} if got.usage is None else got.usage.timings
        cost = price.cost(prompt, completion, cached)
        saved = 0
        if self.cache is not None:
            saved, cost = cost.micro_krw, FREE.cost(0, 0)
        self.row = UsageRow(
            id=self.id,
            at=self.at,
            day=utc_day(self.at),
            key_id=self.caller.key_id,
            team=self.caller.team,
            api=self.api,
            model=self.model if route is None else route.model,
            replica=None if route is None else route.replica or None,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=cached,
            tokens_estimated=estimated,
            nano_usd=cost.nano_usd,
            micro_krw=cost.micro_krw,
            saved_micro_krw=saved,
            queue_s=None if route is None else route.queue_s + timings.get("queue_s", 0.0),
            prefill_s=timings.get("prompt_s"),
            decode_s=timings.get("decode_s"),
            ttft_s=None if got.first is None else max(0.0, got.first - self.began),
            e2e_s=end - self.began,
            status=self.status,
            error=self.error,
            finish_reason=None if got.done is None else got.done.finish_reason,
            cache=self.cache,
            guard=self.guard,
            retries=0 if route is None else route.retries,
        )
        return self.row


def estimate_tokens(texts: Sequence[str]) -> int:
    """About how many tokens the texts are."""
    return max(1, sum(len(text.encode("utf-8", "replace")) for text in texts) // _BYTES_A_TOKEN)
