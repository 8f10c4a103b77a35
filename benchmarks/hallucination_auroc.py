"""How well each way of finding wrong answers finds them: AUROC with its interval, beside chance and token probability.

A model answers HaluEval's questions, with the knowledge beside them, in its own words; an answer is wrong where it does
not name the right one. Each method then gives the answers a sureness without seeing what is right: agreement with
answers drawn by lot (self-consistency, SelfCheck), semantic entropy, stated confidence, p(true), token probabilities.

    python benchmarks/hallucination_auroc.py [--model qwen2.5-coder:0.5b] [--minutes 1] [--full]

--full asks all 200 questions however long it takes. The last line is JSON. Exits 1 where too few answers were right or
wrong to tell, or where chance itself seems to tell them apart: then the measure is broken, not the model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from inhouse.core.records import Metric
from inhouse.models.opened import open_for
from inhouse.quality.measures.base import Asking
from inhouse.quality.measures.detection import BASELINES, Judged, detection
from inhouse.quality.session import Session
from inhouse.quality.suite import Prompt, Sampling, ScorerUse, Suite
from inhouse.quality.suite_files import load_suites
from inhouse.store.repository import Store

FEWEST = 10
"""Answers of either kind under which no AUROC is told."""
_PROMPT = "{knowledge}\n\nAnswer the question in a few words, without explaining.\nQuestion: {question}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder:0.5b")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--samples", type=int, default=5, help="answers by lot to each question")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    seconds = 1e9 if options.full else 60 * options.minutes
    metrics, judged = asyncio.run(measure(options.model, seconds, options.samples))
    return report(options.model, metrics, judged)


def questions() -> Suite:
    """HaluEval's questions as free questions: the right choice is the target."""
    base = load_suites(["halueval_qa"])[0]
    return base.with_(
        name="halueval_free",
        task="text",
        prompts=(Prompt("default", _PROMPT),),
        scorers=(ScorerUse("contains"),),
        sampling=Sampling(max_tokens=32),
        items=tuple(replace(item, choices=()) for item in base.items),
    )


async def measure(model: str, seconds: float, samples: int) -> tuple[list[Metric], list[Judged]]:
    """The figures, and each answer with its surenesses."""
    with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{Path(folder) / 'store.db'}") as store:
        async with open_for("embedded", model, context=2048, slots=2) as opened:
            await opened.engine.load(opened.model)
            run = store.create_run("eval", {}, seed=0, environment=opened.environment, model=opened.model)
            async with Session(opened.engine, store, run, model=opened.model, concurrency=2) as session:
                asking = Asking(session, time.perf_counter() + seconds)
                return await detection(asking, questions(), samples=samples)


def report(model: str, metrics: list[Metric], judged: list[Judged]) -> int:
    """Prints each method's AUROC, the best first; 1 where nothing can be told."""
    wrong = sum(not one.right for one in judged)
    areas = sorted((one for one in metrics if one.name == "detection_auroc"), key=lambda one: -one.value)
    print(f"{model}: {len(judged)} answers, {wrong} of them wrong")
    for one in areas:
        baseline = " (baseline)" if one.labels["method"] in BASELINES else ""
        interval = "" if one.low is None or one.high is None else f" ({one.low:.2f} to {one.high:.2f})"
        print(f"{one.labels['method']:<26} {one.value:.2f}{interval}, n = {one.n}{baseline}")
    chance = next((one for one in areas if one.labels["method"] == "chance"), None)
    told = min(wrong, len(judged) - wrong) >= FEWEST
    fair = chance is not None and (chance.low or 0.0) <= 0.5 <= (chance.high or 1.0)
    print(
        json.dumps(
            {
                "model": model,
                "answers": len(judged),
                "wrong": wrong,
                "auroc": {
                    str(one.labels["method"]): [round(one.value, 3), one.low and round(one.low, 3),
                                                one.high and round(one.high, 3)]
                    for one in areas
                },
            }
        )
    )  # fmt: skip
    return 0 if told and fair else 1


if __name__ == "__main__":
    sys.exit(main())
