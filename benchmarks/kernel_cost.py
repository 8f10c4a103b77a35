"""What llama.cpp's kernels cost on one core, by tensor type: the constants of models/roofline.py.

    python benchmarks/kernel_cost.py [--types Q4_K,Q6_K,…]

For each type two made-up models are decoded on one thread, one of narrow and one of wide matrices. Two unknowns,
the cost of a byte and of a row, follow from the two times. Wants a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from decode_speed import decode_times_s
from inhouse.models.roofline import KERNEL_COST, LAYER_S, ROW_COST
from synthetic_model import write_model

# Embedding and feed-forward widths, layers.
NARROW, WIDE = (768, 2048, 16), (2048, 5632, 4)


async def best_time_s(folder: Path, kind: str, shape: tuple[int, int, int]) -> tuple[float, int, int]:
    """Seconds for a token, bytes and rows of the layers' matrices."""
    embedding, feed_forward, layers = shape
    path = folder / f"{kind}-{embedding}.gguf"
    size = write_model(path, kind, layers=layers, embedding=embedding, feed_forward=feed_forward)
    seconds = min(await decode_times_s(path, 1, answers=4)) - layers * LAYER_S
    path.unlink()
    return seconds, size, layers * (5 * embedding + 2 * feed_forward)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", default="Q4_0,Q4_1,Q5_0,Q8_0,Q4_K,Q5_K,Q6_K")
    options = parser.parse_args()
    print("type    ps a byte  ns a row   (constants)")
    worst = 1.0
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.types.split(","):
            a_s, a_bytes, a_rows = await best_time_s(Path(folder), kind, NARROW)
            b_s, b_bytes, b_rows = await best_time_s(Path(folder), kind, WIDE)
            determinant = a_bytes * b_rows - b_bytes * a_rows
            byte_s = (a_s * b_rows - b_s * a_rows) / determinant
            row_s = (a_bytes * b_s - b_bytes * a_s) / determinant
            print(
                f"{kind:6} {byte_s * 1e12:10.1f} {row_s * 1e9:9.1f}   ({KERNEL_COST[kind] * 1e12:.0f}, "
                f"{ROW_COST * 1e9:.0f})",
                flush=True,
            )
            assumed = a_bytes * KERNEL_COST[kind] + a_rows * ROW_COST + b_bytes * KERNEL_COST[kind] + b_rows * ROW_COST
            ratio = (a_s + b_s) / assumed
            worst = max(worst, ratio, 1 / ratio)
    print(f"worst ratio of a type's time to the constants': {worst:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
