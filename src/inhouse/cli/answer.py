"""One answer, streamed to the terminal and measured: what `ask` and `chat` share."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from inhouse.bench.client import measure
from inhouse.core.errors import EngineError, UsageError
from inhouse.core.records import Sample
from inhouse.core.units import format_bytes, format_seconds
from inhouse.engines.base import ChatRequest, Engine

Temperature = Annotated[float | None, typer.Option(help="0 always takes the likeliest token.", min=0.0, max=5.0)]
TopP = Annotated[float | None, typer.Option("--top-p", help="Nucleus sampling: the share kept.", min=0.0, max=1.0)]
Seed = Annotated[int | None, typer.Option(help="Fixes the sampling.", min=0)]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", help="Longest answer, in tokens.", min=1)]


def write_text(text: str) -> None:
    """Writes a piece of an answer to stdout at once; UsageError where the terminal's encoding lacks a letter."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except UnicodeEncodeError:
        raise UsageError(
            "The terminal cannot show this text", why=f"its encoding is {sys.stdout.encoding}",
            do="Set PYTHONIOENCODING=utf-8",
        ) from None  # fmt: skip


async def stream_answer(engine: Engine, request: ChatRequest, *, quiet: bool = False) -> Sample:
    """Asks, writes the text to stdout as it comes, and returns the measured sample.

    Raises:
        EngineError: the engine failed; what had come is on the terminal.
        UsageError: the answer cannot be written in the terminal's encoding.
    """

    def write(text: str) -> None:
        if not quiet:
            write_text(text)

    raised: list[EngineError] = []
    sample = await measure(
        engine, request, index=0, origin=time.perf_counter(), on_text=write, on_error=raised.append, keep_text=True
    )
    if raised:
        if sample.answer and not quiet:
            sys.stdout.write("\n")
        raise raised[0]
    if not quiet:
        sys.stdout.write("\n" if not (sample.answer or "").endswith("\n") else "")
        sys.stdout.flush()
    return sample


async def metrics_line(engine: Engine, model: str, sample: Sample) -> str:
    """What the answer cost, on one line: TTFT, decode speed, tokens, memory."""
    parts = [model]
    if sample.ttft_s is not None:
        parts.append(f"TTFT {format_seconds(sample.ttft_s)}")
    if sample.tpot_s:
        parts.append(f"{1 / sample.tpot_s:.1f} tokens/s")
    cached = f" ({sample.cached_tokens} cached)" if sample.cached_tokens else ""
    parts.append(f"{_count(sample.prompt_tokens)}{cached} + {_count(sample.completion_tokens)} tokens")
    parts.append(f"total {format_seconds(sample.e2e_s)}")
    for held in await engine.loaded():
        size = held.rss_bytes or held.reported_bytes
        if size and (held.model == model or held.model.startswith(f"{model}:")):
            parts.append(f"memory {format_bytes(size)}")
            break
    if sample.finish_reason == "length":
        parts.append("cut off at --max-tokens or the context's end")
    return " · ".join(parts)


def _count(value: int | None) -> str:
    return "?" if value is None else str(value)
