"""How often a small model's tool calls are right: by the engine's plain tool calling, and by our agent, on one model.

Plain is what llama.cpp's own server recognises as a call. Engine is what our engine makes of such an answer: it also
reads calls written strictly as text (told beside it, without a bar). The agent reads calls from every form, mends what
is almost right, and asks again with the fault. Same model, prompt, tools and seed; scored by BFCL's official check and
by FunctionChat's ground truth (its exact matches: a lower bound). Categories: BFCL simple, FunctionChat's single calls.

    python benchmarks/tool_accuracy.py --data FOLDER [--model NAME …] [--limit N] [--full] [--minutes M]

FOLDER holds bfcl_v4 and functionchat_bench. The last line gives the ratios; under a bar the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path

from inhouse.agent.config import AgentConfig
from inhouse.agent.evaluation.attempt import Attempt, Way, attempts
from inhouse.agent.evaluation.measure import figures
from inhouse.agent.evaluation.tasks import load_tasks
from inhouse.core.event_loop import run
from inhouse.models.opened import open_for

WAYS: tuple[Way, ...] = ("plain", "engine", "agent")
BARS = {"qwen2.5-coder:0.5b": 1.5, "qwen2.5-coder:1.5b": 1.2}
PARTS = (("bfcl", "bfcl_v4", ("simple_python",)), ("functionchat", "functionchat_bench", ("exact", "4_close")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", action="append", help="default: both that have a bar")
    parser.add_argument("--limit", type=int, default=10, help="tasks of each category")
    parser.add_argument("--full", action="store_true", help="all tasks")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end each suite of each model after so many")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    limit = None if options.full else options.limit
    return run(compare(options.data, options.model or list(BARS), limit, options.seed, options.minutes))


async def compare(data: Path, models: list[str], limit: int | None, seed: int, minutes: float) -> int:
    """Tries the tasks each way on each model, in a random order, so that those within the time are a sample of all."""
    ratios: dict[str, dict[str, float]] = {}
    low = False
    for model in models:
        config = AgentConfig(model, max_tokens=256, seed=seed)
        async with open_for("embedded", model, context=config.context, slots=1) as opened:
            for suite, folder, categories in PARTS:
                start = time.perf_counter()
                tasks = load_tasks(suite, data / folder, categories, limit, seed)
                random.Random(seed).shuffle(tasks)
                tries: list[Attempt] = []
                for task in tasks:
                    tries += await attempts(opened.engine, config, task, WAYS)
                    if time.perf_counter() - start > 60 * minutes:
                        break
                ratio = report(model, suite, tries, seed, time.perf_counter() - start)
                ratios.setdefault(model, {})[suite] = ratio
                low = low or ratio < BARS.get(model, 0.0)
    shown = {model: {suite: f"{ratio:.2f}" for suite, ratio in found.items()} for model, found in ratios.items()}
    print(json.dumps({"ratios": shown, "bars": BARS}))
    return int(low)


def report(model: str, suite: str, tries: list[Attempt], seed: int, seconds: float) -> float:
    """Prints both accuracies with their intervals; the ratio (infinite where only the agent solved any)."""
    found = {
        m.labels["way"]: m for m in figures(tries, suite, seed) if (m.name, m.labels["category"]) == ("accuracy", "all")
    }
    plain, agent = found["plain"], found["agent"]
    for way, metric in found.items():
        low, high = metric.low or 0.0, metric.high or 0.0
        print(f"{model} {suite} {way}: {metric.value:.3f} ({low:.3f} to {high:.3f}, n={metric.n})")
    for metric in figures(tries, suite, seed):
        if metric.name in ("failures", "saved_tries", "problems", "requests_per_try"):
            print("   ", metric.labels["way"], metric.name, {k: v for k, v in metric.labels.items()
                  if k in ("failure", "saved", "problem")}, f"{metric.value:g}")  # fmt: skip
    ratio = agent.value / plain.value if plain.value else float("inf") if agent.value else 0.0
    print(f"    ratio {ratio:.2f}, {seconds:.0f} s", flush=True)
    return ratio


if __name__ == "__main__":
    sys.exit(main())
