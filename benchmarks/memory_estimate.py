"""Memory estimate against the resident set of a real worker, for the catalogue's models at several windows.

    python benchmarks/memory_estimate.py [--full] [--model NAME …]

Starts the embedded engine for each model, context and number of slots, has it read a prompt of over 512 tokens
(so that every buffer is used; the KV cache is written as a whole when the model is loaded) and compares its
resident set with the estimate. --full takes more windows and fills every slot
to the end. Fails where one is off by more than 10 %.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass

from inhouse.core.settings import get_settings
from inhouse.core.units import format_bytes
from inhouse.engines.base import ChatRequest, Message
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.models.estimate import MemoryEstimate, estimate_memory
from inhouse.models.gguf import read_gguf
from inhouse.models.launch import launch_spec
from inhouse.models.library import model_path

BAR = 0.10
MODELS = ("smollm2:135m", "qwen2.5-coder:0.5b", "qwen2.5-coder:1.5b")
WINDOWS = ((1024, 1), (4096, 4))
FULL_WINDOWS = (*WINDOWS, (4096, 1), (2048, 4), (8192, 2))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One measured worker."""

    model: str
    context: int
    slots: int
    estimate: MemoryEstimate
    measured_bytes: int

    @property
    def ratio(self) -> float:
        """Estimate over measured."""
        return self.estimate.total_bytes / self.measured_bytes


async def measure(model: str, context: int, slots: int, *, full: bool) -> Outcome:
    settings = get_settings()
    spec = launch_spec(settings, model, context=context, slots=slots)
    engine = EmbeddedEngine(lambda name: spec)
    try:
        await engine.load(model)
        count = slots if full else 1
        tokens = context - 64 if full else min(context - 64, 600)
        await asyncio.gather(*(read(engine, model, tokens, number) for number in range(count)))
        (loaded,) = await engine.loaded()
    finally:
        await engine.close()
    assert loaded.rss_bytes is not None
    info = read_gguf(model_path(settings, model))
    return Outcome(model, context, slots, estimate_memory(info, context=context, slots=slots), loaded.rss_bytes)


async def read(engine: EmbeddedEngine, model: str, tokens: int, number: int) -> None:
    """Has a slot read a prompt of just under so many tokens and write a few."""
    words = [f"{number}"] + ["word"] * tokens
    while await engine.count_tokens(model, " ".join(words)) > tokens - 40:
        words = words[: int(len(words) * 0.95)]
    request = ChatRequest(model, (Message("user", " ".join(words)),), max_tokens=8, temperature=0.0)
    async for _ in engine.chat(request):
        pass


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="fill every slot to the end of its context")
    parser.add_argument("--model", action="append", help="only this one; repeatable")
    options = parser.parse_args()
    worst = 1.0
    print(f"{'model':20} {'context':>7} {'slots':>5} {'estimate':>10} {'measured':>10} {'ratio':>6}  parts")
    for model in options.model or MODELS:
        for context, slots in FULL_WINDOWS if options.full else WINDOWS:
            outcome = await measure(model, context, slots, full=options.full)
            parts = outcome.estimate
            print(
                f"{model:20} {context:7,} {slots:5} {format_bytes(parts.total_bytes):>10} "
                f"{format_bytes(outcome.measured_bytes):>10} {outcome.ratio:6.3f}  weights "
                f"{format_bytes(parts.weights_bytes)}, repacked {format_bytes(parts.repacked_bytes)}, KV "
                f"{format_bytes(parts.kv_bytes)}, compute {format_bytes(parts.compute_bytes)}, runtime "
                f"{format_bytes(parts.runtime_bytes)}",
                flush=True,
            )
            worst = max(worst, outcome.ratio, 1 / outcome.ratio)
    print(f"worst ratio between estimate and measured: {worst:.3f} (bar {1 + BAR:.2f})")
    return 0 if worst <= 1 + BAR else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
