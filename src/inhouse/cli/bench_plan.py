"""From the options of `inhouse bench run` to its plan: which stages, and which shape of engine they need."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, TypeVar

from inhouse.bench.plan import Arrival, Closed, Open, Stage, Trace
from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings

Number = TypeVar("Number", int, float)

DEFAULT_STREAMS = "1,2,4"
DEFAULT_DURATION_S = 15.0  # a stage; three of them make about a minute with loading and warm-up
_CONTEXT_STEP = 256


def stages_of(
    streams: str | None,
    rate: str | None,
    arrival: str,
    trace: Path | None,
    speed: float,
    prompt_tokens: str,
    output_tokens: int,
    shared_prefix: int,
    ends: tuple[int | None, float | None],
) -> tuple[Stage, ...]:
    """Every load with every prompt length, in the order of the options."""
    if arrival not in ("poisson", "constant"):
        raise UsageError(f"No arrival process {arrival!r}", do="Use poisson or constant")
    spacing: Literal["poisson", "constant"] = "constant" if arrival == "constant" else "poisson"
    if streams is None and rate is None and trace is None:
        streams = DEFAULT_STREAMS
    loads: list[Arrival] = [Closed(n) for n in numbers(streams, int, "The number of streams")]
    loads += [Open(each, spacing) for each in numbers(rate, float, "The rate")]
    count, duration_s = ends
    if count is None and duration_s is None:
        duration_s = DEFAULT_DURATION_S
    made = [
        Stage(load, length, output_tokens, count=count, duration_s=duration_s, shared_prefix=shared_prefix)
        for length in numbers(prompt_tokens, int, "The prompt length")
        for load in loads
    ]
    if trace is not None:
        made.append(Stage(Trace(str(trace.resolve()), speed), count=ends[0], duration_s=ends[1]))
    return tuple(made)


def context_for(stages: tuple[Stage, ...], kind: str, settings: Settings) -> int | None:
    """The window that the longest request needs; None where the engine's own will do."""
    sized = [stage for stage in stages if not isinstance(stage.arrival, Trace)]
    if settings.context or len(sized) < len(stages):
        return settings.context or None
    need = max(stage.prompt_tokens + stage.output_tokens for stage in sized) + 32
    context = max(2, math.ceil(need / _CONTEXT_STEP)) * _CONTEXT_STEP
    # Other engines come with a window of their own; only a longer one must be asked for.
    return context if kind == "embedded" or context > 2048 else None


def slots_for(stages: tuple[Stage, ...], limit: float | None, settings: Settings) -> int | None:
    """Slots for the most streams at once; None where nothing says."""
    streams = [stage.arrival.streams for stage in stages if isinstance(stage.arrival, Closed)]
    if settings.slots or not streams:
        return settings.slots or None
    return max(1, round(limit)) if limit is not None else max(streams)


def language(text: str) -> Literal["en", "ko"]:
    """The prompts' language, if there are prompts in it."""
    if text not in ("en", "ko"):
        raise UsageError(f"No prompts in {text!r}", do="Use --lang-text en or ko")
    return "ko" if text == "ko" else "en"


def numbers(text: str | None, kind: type[Number], what: str) -> list[Number]:
    """Reads a list such as 1,2,4; UsageError where it is none, or not above zero."""
    if text is None:
        return []
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{what} {text!r} is no list of numbers", do="Write it as 1,2,4") from None
    if any(not (math.isfinite(number) and number > 0) for number in numbers):
        raise UsageError(f"{what} must be above zero, not {text}")
    return numbers
