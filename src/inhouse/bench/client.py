"""Sends one request and keeps what happened as a Sample. Knows nothing of when to send or what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from inhouse.core.errors import EngineError
from inhouse.core.records import Sample, SampleError, Scalar
from inhouse.engines.base import ChatRequest, DoneEvent, Engine, TextEvent, ToolCallEvent, UsageEvent


async def measure(
    engine: Engine,
    request: ChatRequest,
    *,
    index: int,
    origin: float,
    intended_s: float | None = None,
    tags: Mapping[str, Scalar] | None = None,
    on_text: Callable[[str], None] | None = None,
    on_error: Callable[[EngineError], None] | None = None,
    keep_text: bool = False,
) -> Sample:
    """Sends the request and reads the whole answer; a failure becomes a sample with its error.

    Args:
        engine: what answers.
        request: what to ask.
        index: the sample's number in its run.
        origin: the run's start on time.perf_counter(), which events are stamped with.
        intended_s: when it was to be sent, in seconds from `origin`; None: now.
        tags: what the sample belongs to.
        on_text: called with each piece of text as it comes.
        on_error: called with the failure itself, for a caller that wants more than its line.
        keep_text: whether the sample keeps the last message and the answer.
    """
    times: list[float] = []
    pieces: list[str] = []
    usage: UsageEvent | None = None
    finish: str | None = None
    error: SampleError | None = None
    start = end = time.perf_counter()
    try:
        async for event in engine.chat(request):
            end = event.at
            match event:
                case TextEvent():
                    times.append(event.at - origin)
                    if keep_text:
                        pieces.append(event.text)
                    if on_text is not None:
                        on_text(event.text)
                case ToolCallEvent():
                    times.append(event.at - origin)
                case UsageEvent():
                    usage = event
                case DoneEvent():
                    finish = event.finish_reason
    except EngineError as failure:
        end = time.perf_counter()
        error = SampleError(failure.kind, str(failure))
        if on_error is not None:
            on_error(failure)
    return Sample(
        index=index,
        intended_start_s=start - origin if intended_s is None else intended_s,
        start_s=start - origin,
        end_s=end - origin,
        first_token_s=times[0] if times else None,
        token_times_s=tuple(times),
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        finish_reason=finish,
        error=error,
        tags=tags or {},
        engine_timings=usage.timings if usage else {},
        prompt=request.messages[-1].content if keep_text else None,
        answer="".join(pieces) if keep_text else None,
    )
