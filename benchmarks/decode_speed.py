"""How fast the embedded engine decodes one stream at its best, for benchmarks that calibrate or check predictions."""

from __future__ import annotations

from pathlib import Path

from inhouse.engines.base import ChatRequest, Message, UsageEvent
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.launch import LaunchSpec

PROMPT = "Tell me about the sea."


async def decode_times_s(path: Path, threads: int, *, answers: int = 3, tokens: int = 24) -> list[float]:
    """Starts a worker for a model file and returns the seconds for each token of some answers, as the server says."""
    spec = LaunchSpec(model=path.stem, path=path, context=512, slots=1, threads=threads)
    engine = EmbeddedEngine(lambda name: spec)
    times = []
    try:
        await engine.load(spec.model)
        for number in range(answers + 1):
            request = ChatRequest(
                spec.model, (Message("user", f"{number} {PROMPT}"),), max_tokens=tokens, temperature=0.0,
                ignore_eos=True, cache_prompt=False,
            )  # fmt: skip
            used = [event async for event in engine.chat(request) if isinstance(event, UsageEvent)][-1]
            if number and used.completion_tokens:  # the first answer warms up
                times.append(used.timings["decode_s"] / used.completion_tokens)
    finally:
        await engine.close()
    return times
