"""Sends one request and keeps what happened as a Sample. Knows nothing of when to send or what comes of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from inhouse.core.errors import EngineError
from inhouse.core.records import Sample, SampleError, Scalar
from inhouse.engines.base import ChatRequest, DoneEvent, Engine, TextEvent, ToolCallEvent, UsageEvent


@dataclass(frozen=True, slots=True)
class Work:
    """A request ready to be sent, and what its sample is tagged with."""

    index: int
    request: ChatRequest
    tags: Mapping[str, Scalar] = field(default_factory=dict)


async def measure(engine: Engine, work: Work, *, intended_s: float, zero: float) -> Sample:
    """Sends the request and reads the whole answer; a failure becomes a sample with its error.

    Args:
        intended_s: when it was to be sent, in seconds from the run's start.
        zero: the run's start on time.perf_counter(), which events are stamped with.
    """
    times: list[float] = []
    usage: UsageEvent | None = None
    finish: str | None = None
    error: SampleError | None = None
    start = time.perf_counter()
    end = start
    try:
        async for event in engine.chat(work.request):
            end = event.at
            match event:
                case TextEvent() | ToolCallEvent():
                    times.append(event.at - zero)
                case UsageEvent():
                    usage = event
                case DoneEvent():
                    finish = event.finish_reason
    except EngineError as failure:
        end = time.perf_counter()
        error = SampleError(failure.kind, str(failure))
    return Sample(
        index=work.index,
        intended_start_s=intended_s,
        start_s=start - zero,
        end_s=end - zero,
        first_token_s=times[0] if times else None,
        token_times_s=tuple(times),
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        finish_reason=finish,
        error=error,
        tags=work.tags,
        engine_timings=usage.timings if usage else {},
    )
