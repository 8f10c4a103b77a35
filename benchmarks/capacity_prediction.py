"""Predicted against measured throughput and p95 latency at five loads that the service model was not fitted to.

    python benchmarks/capacity_prediction.py [--full] [--model NAME] [--seed N]

The embedded engine is measured with 1, 2 and 4 users and two prompt lengths; the service model is fitted to that. Then
five other loads with other lengths are predicted by simulation and measured: 3 users, 6 users on 4 slots, and Poisson
arrivals at 40, 60 and 80 % of the predicted capacity. Bars: 15 % for throughput and 25 % for the p95 of E2E latency,
at each load. What the queueing model says of the open loads stands beside it. Wants a machine with nothing else to do,
and takes three minutes: p95 needs requests, and the machine's own pace changes by a tenth within seconds. --full
measures four times as long.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inhouse.bench.metrics import StageSamples, by_stage
from inhouse.bench.plan import Arrival, BenchPlan, Closed, Open, Stage
from inhouse.bench.runner import run_bench
from inhouse.core.event_loop import run
from inhouse.models.opened import open_for
from inhouse.plan.demand import Lengths
from inhouse.plan.fitting import fit_service
from inhouse.plan.queueing import capacity, predict_load
from inhouse.plan.service import ServiceModel
from inhouse.plan.simulate import Workload, simulate
from inhouse.store.repository import Store

BAR_RATE, BAR_P95 = 0.15, 0.25
SLOTS, CONTEXT = 4, 512
FIT_STREAMS, FIT_PROMPTS, FIT_OUTPUT = (1, 2, 4), (40, 120), 32
PROMPT, OUTPUT = 60, 24
USERS, LOADS = (3, 6), (0.4, 0.6, 0.8)
STAGE_S = 3.0


@dataclass(frozen=True, slots=True)
class Figures:
    """A load's generated tokens a second and the p95 of its latencies in seconds."""

    tokens_s: float
    ttft_p95_s: float
    e2e_p95_s: float


def measured(stage: StageSamples) -> Figures:
    """From samples."""
    answered = stage.answered
    tokens = sum(sample.completion_tokens or 0 for sample in answered)
    return Figures(
        tokens / (stage.end_s - stage.start_s),
        float(np.quantile([sample.ttft_s or 0.0 for sample in answered], 0.95)),
        float(np.quantile([sample.e2e_s for sample in answered], 0.95)),
    )


def predicted(model: ServiceModel, stage: StageSamples, arrival: Arrival) -> Figures:
    """By simulation of the same schedule: how many requests there are, and when each is due."""
    count = len(stage.samples)
    prompts, outputs = np.full(count, PROMPT), np.full(count, OUTPUT)
    if isinstance(arrival, Closed):
        work = Workload(np.arange(count, dtype=np.float64) * 1e-3, prompts, outputs, users=arrival.streams)
    else:
        due = np.sort(np.array([sample.intended_start_s for sample in stage.samples], dtype=np.float64))
        work = Workload(due - due[0], prompts, outputs)
    result = simulate(model, work)
    return Figures(
        float(outputs.sum()) / (result.end_s - work.arrivals_s[0]),
        float(np.quantile(result.ttft_s, 0.95)),
        float(np.quantile(result.e2e_s, 0.95)),
    )


async def measure(store: Store, name: str, stages: list[Stage], seed: int) -> list[StageSamples]:
    """Runs the stages on the embedded engine."""
    plan = BenchPlan(tuple(stages), warmup=2, seed=seed, context=CONTEXT, slots=SLOTS)
    async with open_for("embedded", name, context=CONTEXT, slots=SLOTS) as opened:
        done = await run_bench(opened.engine, store, plan, model=opened.model, environment=opened.environment)
    return by_stage(store.samples(done.id))


async def compare(store: Store, name: str, length: float, seed: int) -> int:
    fit = [
        Stage(Closed(streams), prompt, FIT_OUTPUT, duration_s=length)
        for streams in FIT_STREAMS
        for prompt in FIT_PROMPTS
    ]
    # Twice over, and the second time backwards, so that a slow spell of the machine does not fall on one stage alone.
    rounds = [await measure(store, name, stages, seed + n) for n, stages in enumerate((fit, fit[::-1]))]
    model = fit_service(*((sample for stage in seen for sample in stage.samples) for seen in rounds), slots=SLOTS)
    lengths = Lengths.fixed(PROMPT, OUTPUT)
    most = capacity(model, lengths)
    print(f"{model.method}, off by at most {model.off:.1%}: {model.step_s(1) * 1000:.1f} ms a step alone, "
          f"{model.step_s(SLOTS) * 1000:.1f} ms for {SLOTS}; a prompt {model.prefill_s(PROMPT) * 1000:.1f} ms; "
          f"capacity {most:.2f} requests/s")  # fmt: skip
    arrivals: list[Arrival] = [*(Closed(users) for users in USERS), *(Open(round(part * most, 3)) for part in LOADS)]
    counts = [max(48, round(1.5 * length * most * part)) for part in (1, 1, *LOADS)]
    stages = [Stage(arrival, PROMPT, OUTPUT, count=count) for arrival, count in zip(arrivals, counts, strict=True)]
    worst_rate = worst_p95 = 0.0
    for stage, arrival in zip(await measure(store, name, stages, seed + 2), arrivals, strict=True):
        was, said = measured(stage), predicted(model, stage, arrival)
        rate, p95 = said.tokens_s / was.tokens_s - 1, said.e2e_p95_s / was.e2e_p95_s - 1
        worst_rate, worst_p95 = max(worst_rate, abs(rate)), max(worst_p95, abs(p95))
        queue = ""
        if isinstance(arrival, Open):
            queue = f", queueing model {predict_load(model, lengths, arrival.rate).e2e_s['p95']:.2f}"
        print(
            f"{arrival.title:15} {len(stage.samples):3} requests: {was.tokens_s:6.1f} tokens/s, predicted "
            f"{said.tokens_s:6.1f} ({rate:+.1%}); E2E p95 {was.e2e_p95_s:.2f} s, predicted {said.e2e_p95_s:.2f} "
            f"({p95:+.1%}{queue}); TTFT p95 {was.ttft_p95_s:.2f} s, predicted {said.ttft_p95_s:.2f}"
        )
    print(f"capacity_prediction: throughput within {worst_rate:.1%} (bar: {BAR_RATE:.0%}), p95 within {worst_p95:.1%} "
          f"(bar: {BAR_P95:.0%}) at five loads")  # fmt: skip
    return 0 if worst_rate <= BAR_RATE and worst_p95 <= BAR_P95 else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="four times as long")
    parser.add_argument("--model", default="smollm2:135m")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    length = STAGE_S * (4 if options.full else 1)
    with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{Path(folder) / 'bench.db'}") as store:
        return run(compare(store, options.model, length, options.seed))


if __name__ == "__main__":
    sys.exit(main())
