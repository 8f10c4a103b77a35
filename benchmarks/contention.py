"""Decoding beside another busy process: tokens/s of the embedded engine, over tokens/s of llama.cpp's bare server.

The same model and threads on both sides, as many threads as cores; first alone, where the engine has to keep up, then
with one process that never sleeps, as on every machine that does something else too. Eight streams; rounds
alternate.

    python benchmarks/contention.py [--full]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys

from engine_overhead import CONTEXT, SLOTS, both_sides, ours, theirs
from inhouse.core.environment import usable_cores
from inhouse.core.event_loop import run
from inhouse.core.settings import get_settings
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.launch import LaunchSpec
from inhouse.models.library import model_path

MODEL = "smollm2:135m"
BAR = 2.0
BAR_ALONE = 0.95
STREAMS = 8
TOKENS_ALONE, TOKENS_BESIDE = 16, 6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="five times as many rounds")
    options = parser.parse_args()
    return run(compare(rounds=15 if options.full else 3))


async def compare(rounds: int) -> int:
    """Prints both rates alone and beside a busy process; the ratio there last."""
    spec = LaunchSpec(MODEL, model_path(get_settings(), MODEL), CONTEXT, SLOTS, usable_cores())
    async with both_sides(spec) as (engine, bare):
        alone = await ratio(engine, bare, "alone", TOKENS_ALONE, 4 * rounds)
        busy = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass", start_new_session=True)
        try:
            beside = await ratio(engine, bare, "beside a busy process", TOKENS_BESIDE, rounds)
        finally:
            busy.kill()
    print(f"contention: {beside:.1f} times the bare server's tokens/s beside a busy process (bar: {BAR:g})")
    return 0 if beside >= BAR and alone >= BAR_ALONE else 1


async def ratio(engine: EmbeddedEngine, bare: subprocess.Popen[str], where: str, tokens: int, rounds: int) -> float:
    """Our median tokens/s over the bare server's."""
    await ours(engine, MODEL, STREAMS, 4)
    theirs(bare, STREAMS, 4)
    ours_rates, bare_rates = [], []
    for _ in range(rounds):
        ours_rates.append(STREAMS * tokens / await ours(engine, MODEL, STREAMS, tokens))
        bare_rates.append(STREAMS * tokens / theirs(bare, STREAMS, tokens))
    mine, other = statistics.median(ours_rates), statistics.median(bare_rates)
    print(f"{where}: ours {mine:.1f} tokens/s, bare {other:.1f} tokens/s, ratio {mine / other:.2f}")
    return mine / other


if __name__ == "__main__":
    sys.exit(main())
