"""Decode prediction against measured and published speeds.

    python benchmarks/decode_prediction.py [--threads N] [--rounds N]

1. The catalogue's three models are measured here (the best of several rounds, taken in turns, so that other load
   falls on all alike), each is predicted from the other two, and the bar is 15 %.
2. Llama 2 7B is predicted for four machines of which its speed was published, from their bandwidth; the bar is 25 %.
Wants a machine with nothing else to do: other load slows small and large models by different factors.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass

from decode_speed import decode_times_s
from inhouse.core.environment import usable_cores
from inhouse.core.settings import get_settings
from inhouse.models.bandwidth import measure_bandwidth
from inhouse.models.catalogue import find_entry
from inhouse.models.gguf import GgufInfo, read_gguf
from inhouse.models.library import model_path
from inhouse.models.roofline import DecodePoint, predict_decode, token_time_s

BAR_HERE = 0.15
BAR_PUBLISHED = 0.25
MODELS = ("smollm2:135m", "qwen2.5-coder:0.5b", "qwen2.5-coder:1.5b")
CONTEXT_TOKENS = 48  # prompt and answer of a measurement, on average


@dataclass(frozen=True, slots=True)
class Published:
    """A published decode time of a 4-bit 7B model, in seconds a token. `kernel_scale` as in `token_time_s`."""

    machine: str
    seconds: float
    bandwidth_bytes_s: float
    cores: int
    source: str
    kernel_scale: float = 1.0


def first_kernels(seconds: float, cores: int) -> float:
    """How much slower than today's the kernels of March 2023 were, from a point where cores were the limit."""
    entry = find_entry("llama2:7b")
    assert entry.layout is not None
    small, whole = (token_time_s(entry.layout, 1e15, cores=cores, kernel_scale=scale) for scale in (0.0, 1.0))
    return (seconds - small) / (whole - small)


def published() -> list[Published]:
    """The points, with the bandwidth measured by who published them, or else the documented one."""
    # Two points are of llama.cpp's second day (issues 13 and 39, 12 March 2023), whose kernels were slower than
    # its memory. How much, other points of those days say: the README's M1 Pro (8 threads, 61.4 ms), and issue
    # 39's own row for 4 threads (137.1 ms).
    neon, avx2 = first_kernels(0.06141, 8), first_kernels(0.1371, 4)
    return [
        Published("i5-6500", 0.2537, 20.0e9, 4, "llama.cpp issue 34; bandwidth measured there"),
        Published("Ryzen 5700G", 0.10043, 51.2e9, 6, "llama.cpp issue 39; two channels DDR4-3200", avx2),
        Published("M1 Max", 0.075, 400e9, 8, "llama.cpp issue 13; 400 GB/s by Apple", neon),
        Published("P40", 1 / 56.8, 346e9, 0, "llama.cpp PR 4766; 346 GB/s by NVIDIA"),
    ]


async def measure(threads: int, rounds: int) -> tuple[dict[str, float], float]:
    """The best time for a token of each model, and the best bandwidth, over all rounds."""
    settings = get_settings()
    best = dict.fromkeys(MODELS, float("inf"))
    bandwidth = 0.0
    for _ in range(rounds):
        bandwidth = max(bandwidth, measure_bandwidth(0.5, cores=threads))
        for name in MODELS:
            times = await decode_times_s(model_path(settings, name), threads)
            best[name] = min(best[name], *times)
    return best, bandwidth


def check_here(best: dict[str, float], bandwidth: float, threads: int) -> float:
    """Predicts each model from the two others; returns the worst relative error."""
    settings = get_settings()
    infos = {name: read_gguf(model_path(settings, name)) for name in MODELS}
    points = {
        name: DecodePoint(infos[name], bandwidth, 1 / seconds, context_tokens=CONTEXT_TOKENS, cores=threads)
        for name, seconds in best.items()
    }
    print(f"\nhere: {threads} threads, {bandwidth / 1e9:.1f} GB/s; each model predicted from the two others")
    worst = 0.0
    for name in MODELS:
        others = [point for other, point in points.items() if other != name]
        predicted = predict_decode(infos[name], bandwidth, others, cores=threads, context_tokens=CONTEXT_TOKENS)
        alone = predict_decode(infos[name], bandwidth, cores=threads, context_tokens=CONTEXT_TOKENS)
        error = predicted.tokens_s * best[name] - 1
        print(
            f"{name:20} measured {1 / best[name]:7.1f} tokens/s, predicted {predicted.tokens_s:7.1f} "
            f"({error:+.1%}), without calibration {alone.tokens_s:7.1f}"
        )
        worst = max(worst, abs(error))
    return worst


def check_published(info: GgufInfo) -> float:
    """Predicts the published points without calibration; returns the worst relative error."""
    print("\npublished: LLaMA or Llama 2 7B, 4 bit, predicted from the bandwidth")
    worst = 0.0
    for point in published():
        seconds = token_time_s(
            info, point.bandwidth_bytes_s, cores=point.cores, kernel_scale=point.kernel_scale, context_tokens=128
        )
        error = point.seconds / seconds - 1
        print(
            f"{point.machine:12} published {1 / point.seconds:5.1f} tokens/s, predicted {1 / seconds:5.1f} "
            f"({error:+.1%}); {point.source}"
        )
        worst = max(worst, abs(error))
    return worst


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    entry = find_entry("llama2:7b")
    assert entry.layout is not None
    abroad = check_published(entry.layout)
    best, bandwidth = await measure(options.threads, options.rounds)
    here = check_here(best, bandwidth, options.threads)
    print(f"\nworst error: {here:.3f} here (bar {BAR_HERE}), {abroad:.3f} published (bar {BAR_PUBLISHED})")
    return 0 if here <= BAR_HERE and abroad <= BAR_PUBLISHED else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
