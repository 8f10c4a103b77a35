"""Runs in a store through the Store's own methods, some with texts that would do harm on a page that let them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from kept_study import ENVIRONMENT, build_study

from inhouse.agent.conversations import Conversations
from inhouse.agent.records import CallRecord, CallStatus, Status, Step, StepKind, Usage
from inhouse.core.records import Metric, Run, RunStatus, Sample, SampleError
from inhouse.quality.answers import Answer, Answers
from inhouse.quality.scorers import Response, Score
from inhouse.store.database import Database
from inhouse.store.repository import Store

ATTACK = "<img src=x onerror=window.hit=1><script>window.hit=1</script>\"'><a href=javascript:window.hit=1>x</a>"
SUITES = ("capitals", "invented")


@dataclass(frozen=True)
class KeptRuns:
    """The ids of what was made."""

    study: str
    bench: str
    bench_after: str
    eval: str
    eval_after: str
    needles: str
    ways: str


def build_runs(store: Store) -> KeptRuns:
    """A study, two benches, two evaluations of the same items, needles in long texts, ways to search."""
    return KeptRuns(
        study=build_study(store).id,
        bench=_bench(store, 0.3).id,
        bench_after=_bench(store, 0.1).id,
        eval=_eval(store, 0.5).id,
        eval_after=_eval(store, 0.9).id,
        needles=_needles(store).id,
        ways=_ways(store).id,
    )


def _run(store: Store, kind: str, metrics: list[Metric], **config: object) -> Run:
    run = store.create_run(kind, config, seed=7, environment=ENVIRONMENT, model="smollm2:135m", engine="embedded")
    store.set_metrics(run.id, metrics)
    return run


def _bench(store: Store, ttft_s: float) -> Run:
    labels = {"stage": "closed 1", "streams": 1}
    run = _run(
        store, "bench", [Metric("ttft_s", ttft_s, "s", {**labels, "stat": "p50"}, ttft_s * 0.9, ttft_s * 1.2, 60)]
    )
    samples = [
        Sample(
            index, index * 2.0, index * 2.0, index * 2.0 + 1.5, index * 2.0 + ttft_s * (1 + index % 7 / 50),
            tuple(index * 2.0 + ttft_s + at * 0.1 for at in range(8)), 12, 8, 0, "stop", tags=labels,
            prompt=f"Question {index} {ATTACK}", answer=f"Answer {index} {ATTACK} " + "long " * 600 * (index == 1),
        )
        for index in range(60)
    ]  # fmt: skip
    failed = Sample(60, 120.0, 120.0, 121.0, error=SampleError("engine_stalled", ATTACK), tags=labels)
    store.add_samples(run.id, [*samples, failed])
    return store.finish_run(run.id, RunStatus.DONE)


def _eval(store: Store, right: float) -> Run:
    parts = {"easy": right, "hard": right / 2}
    metrics = [
        Metric(
            "accuracy", value, "", {"suite": suite, "scorer": "contains", **part}, value - 0.1, value + 0.05, 20, "t"
        )
        for suite in SUITES
        for value, part in ((right, {}), *((of, {"tag_level": level}) for level, of in parts.items()))
    ]
    run = _run(store, "eval", metrics, name=f"at {right}", fingerprints=dict.fromkeys(SUITES, "same"))
    answers = [
        Answer(
            suite, f"item {index}", "default", 0, f"{index:064d}", f"What is {index}? {ATTACK}",
            Response(f"It is **{index}** {ATTACK}"), duration_s=0.5, prompt_tokens=20, completion_tokens=9,
            scores={"contains": Score(float(index < right * 20), ATTACK, {"reason": ATTACK, "confidence": 0.61234})},
        )
        for suite in SUITES
        for index in range(20)
    ]  # fmt: skip
    Answers(store.database).add(run.id, answers)
    return store.finish_run(run.id, RunStatus.DONE)


def _needles(store: Store) -> Run:
    metrics = [
        Metric(
            "needle_found", max(0.0, 1 - length / 4096 * (2 - depth / 100)), "",
            {"language": language, "needles": 1, "length": length, "depth": depth}, None, None, 5, "Wilson",
        )
        for language in ("ko", "en") for length in (256, 1024, 4096) for depth in (0, 50, 100)
    ]  # fmt: skip
    return store.finish_run(_run(store, "eval", metrics, name="long_documents").id, RunStatus.DONE)


def _ways(store: Store) -> Run:
    metrics = []
    for strategy, base in (("structure", 0.9), ("tokens", 0.8)):
        for mode, more in (("hybrid", 0.05), ("dense", 0.0)):
            labels = {"strategy": strategy, "size": 256, "mode": mode, "k": 5}
            for name, value in (("recall_1", base - 0.1), ("recall_5", base + more), ("mrr", base - 0.05)):
                metrics.append(Metric(name, value, "", labels, value - 0.1, min(1.0, value + 0.1), 30, "bootstrap"))
            metrics.append(Metric("context_tokens", 812.0, "tokens", labels, 780.0, 840.0, 30, "bootstrap"))
    run = _run(store, "docs_eval", metrics, compare=[], questions=30, collection="default")
    return store.finish_run(run.id, RunStatus.DONE)


async def keep_trace(database: Database, person: str, title: str = "A tool was asked") -> str:
    """A conversation of that person with a call whose result came from outside; its id."""
    kept = Conversations(database)
    config = {"model": "smollm2:135m", "tools": ["web"]}
    talk = await asyncio.to_thread(kept.create, config, title=f"{title} {ATTACK}", person=person)
    journal = await asyncio.to_thread(kept.drive, talk.id)
    at = datetime(2026, 11, 30, 12, tzinfo=UTC)
    call = CallRecord(
        1, 0, "web", "web()", {"q": ATTACK}, "text", CallStatus.DONE, ("quotes",), "asked", ATTACK, tainted=True,
        attempts=2, at=at, duration_s=0.4,
    )  # fmt: skip
    data = {"request": {"messages": [{"role": "user", "content": ATTACK}]}, "events": [{"text": ATTACK}]}
    for step in (
        Step(0, StepKind.INPUT, f"Look it up {ATTACK}", at),
        Step(1, StepKind.MODEL, f"I look {ATTACK}", at, 0.5, 4, Usage(20, 4), data=data, calls=(call,)),
        Step(2, StepKind.STOP, ATTACK, at),
    ):
        await journal.append(step)
    await asyncio.to_thread(journal.release, Status.IDLE)
    return talk.id
