"""Whole bench runs on an engine whose speed is known: what is sent, what is kept, how a run ends."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine

from inhouse.bench.plan import Arrival, BenchPlan, Closed, Objectives, Open, Stage, Sweep, Trace
from inhouse.bench.progress import BenchProgress
from inhouse.bench.runner import run_bench
from inhouse.core.errors import BenchError, EngineCrashed, EngineError, EngineOverloaded, UsageError
from inhouse.core.records import Metric, Run, RunStatus, Scalar
from inhouse.store.repository import Store

FIXTURES = Path(__file__).parents[1] / "fixtures" / "traces"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def stage(arrival: Arrival, **more: object) -> Stage:
    return Stage(arrival, **{"prompt_tokens": 40, "output_tokens": 4, **more})  # type: ignore[arg-type]


async def bench(engine: ScriptedEngine, store: Store, *stages: Stage, **more: object) -> Run:
    return await run_bench(engine, store, BenchPlan(stages, **more), model="scripted")  # type: ignore[arg-type]


def figure(store: Store, run: Run, name: str, **labels: Scalar) -> Metric:
    return next(
        m for m in store.metrics(run.id) if m.name == name and all(m.labels.get(k) == v for k, v in labels.items())
    )


async def test_a_run_keeps_its_plan_samples_series_and_figures(store: Store) -> None:
    engine = ScriptedEngine(prefill_s=0.02, token_s=0.01)
    run = await bench(engine, store, stage(Closed(2), count=10), seed=5, name="first")
    assert (run.kind, run.status, run.seed, run.model, run.engine) == (
        "bench",
        RunStatus.DONE,
        5,
        "scripted",
        "scripted",
    )
    assert BenchPlan.from_dict(run.config).name == "first"
    samples = store.samples(run.id)
    assert [bool(s.tags.get("warmup")) for s in samples].count(True) == 1
    assert len(samples) == 11
    assert len({s.index for s in samples}) == 11
    assert {s.prompt_tokens for s in samples} == {40}
    assert figure(store, run, "ttft_s", stat="p50").value == pytest.approx(0.02, abs=0.015)
    assert figure(store, run, "tpot_s", stat="p50").value == pytest.approx(0.01, abs=0.008)
    assert figure(store, run, "rss_bytes", stat="max").value > 10_000_000
    assert {s.name for s in store.series(run.id)} >= {"cpu_percent", "rss_bytes", "system_memory_bytes"}
    assert run.environment.engine_version == "1.0"


async def test_a_closed_loop_keeps_its_streams_busy_and_no_more(store: Store) -> None:
    engine = ScriptedEngine(prefill_s=0.01)
    await bench(engine, store, stage(Closed(3), count=12), warmup=0)
    assert engine.most_under_way == 3


async def test_an_open_loop_sends_on_schedule_whatever_is_unanswered(store: Store) -> None:
    engine = ScriptedEngine(prefill_s=0.4, slots=1)
    run = await bench(engine, store, stage(Open(50.0, "constant"), count=6, output_tokens=1), warmup=0)
    samples = sorted(store.samples(run.id), key=lambda s: s.intended_start_s)
    assert engine.most_under_way == 6
    gaps = [b.intended_start_s - a.intended_start_s for a, b in itertools.pairwise(samples)]
    assert gaps == pytest.approx([0.02] * 5)
    # The last one waited for all before it, and that is the server's time, not the client's.
    assert samples[-1].e2e_from_intended_s > 1.5
    assert samples[-1].client_wait_s < samples[-1].e2e_from_intended_s / 2


async def test_a_duration_ends_the_sending_and_waits_for_the_answers(store: Store) -> None:
    engine = ScriptedEngine(prefill_s=0.05)
    run = await bench(engine, store, stage(Closed(2), duration_s=0.3), warmup=0)
    samples = store.samples(run.id)
    assert 6 <= len(samples) <= 14
    assert all(s.ok and s.completion_tokens == 4 for s in samples)


async def test_a_trace_is_replayed_with_its_times_lengths_and_blocks(store: Store, tmp_path: Path) -> None:
    lines = [
        '{"timestamp": 0, "input_length": 700, "output_length": 5, "hash_ids": [1, 2]}',
        '{"timestamp": 200, "input_length": 600, "output_length": 3, "hash_ids": [1, 3]}',
        '{"timestamp": 400, "input_length": 5000, "output_length": 3, "hash_ids": [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]}',
    ]
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(lines))
    engine = ScriptedEngine(context=2048)
    run = await bench(engine, store, Stage(Trace(str(path), speed=2.0)), warmup=0)
    first, second, third = sorted(store.samples(run.id), key=lambda s: s.intended_start_s)
    assert (first.prompt_tokens, first.completion_tokens) == (700, 5)
    assert (second.prompt_tokens, second.completion_tokens) == (600, 3)
    assert second.intended_start_s - first.intended_start_s == pytest.approx(0.1)
    assert (third.prompt_tokens, third.completion_tokens) == (2045, 3)
    assert figure(store, run, "capped_requests").value == 1
    prompts = [request.messages[0].content.split() for request in engine.requests[1:]]
    assert prompts[0][:200] == prompts[1][:200]


async def test_part_of_a_real_trace_can_be_replayed(store: Store) -> None:
    engine = ScriptedEngine(context=1024)
    path = str(FIXTURES / "azure_conv_excerpt.csv")
    run = await bench(engine, store, Stage(Trace(path, speed=100.0), count=8))
    samples = [s for s in store.samples(run.id) if not s.tags.get("warmup")]
    assert [s.tags["asked_prompt"] for s in samples][:2] == [374, 396]
    assert len(samples) == 8


async def test_prompts_forbid_the_cache_unless_they_share_a_prefix(store: Store) -> None:
    engine = ScriptedEngine()
    await bench(engine, store, stage(Closed(1), count=2), stage(Closed(1), count=2, shared_prefix=10), warmup=0)
    assert [request.cache_prompt for request in engine.requests[-4:]] == [False, False, None, None]
    assert all(request.ignore_eos and request.max_tokens == 4 for request in engine.requests[-4:])


async def test_the_same_seed_sends_the_same_amount_at_the_same_times(store: Store) -> None:
    intended = []
    for _ in range(2):
        run = await bench(ScriptedEngine(), store, stage(Open(100.0), count=20), seed=3, warmup=0)
        times = sorted(s.intended_start_s for s in store.samples(run.id))
        intended.append([at - times[0] for at in times])
    assert intended[0] == pytest.approx(intended[1], abs=1e-6)


def failing(numbers: Callable[[int], bool], error: EngineError | None = None) -> Callable[[int], EngineError | None]:
    return lambda number: (error or EngineCrashed("it broke")) if numbers(number) else None


async def test_failed_requests_are_kept_with_their_error(store: Store) -> None:
    engine = ScriptedEngine(fails=failing(lambda number: number % 5 == 0 and number > 1))
    run = await bench(engine, store, stage(Closed(2), count=10))
    failed = [s for s in store.samples(run.id) if s.error]
    assert len(failed) == 2
    assert {s.error.kind for s in failed if s.error} == {"crashed"}
    assert figure(store, run, "error_rate").value == pytest.approx(0.2)


async def test_an_engine_that_is_gone_ends_the_stage_instead_of_being_hammered(store: Store) -> None:
    engine = ScriptedEngine(fails=failing(lambda number: number > 5))
    start = time.perf_counter()
    with pytest.raises(BenchError, match="in a row"):
        await bench(engine, store, stage(Closed(4), duration_s=60.0))
    assert time.perf_counter() - start < 10
    run = store.get_run("last")
    assert run.status is RunStatus.FAILED
    assert "it broke" in str(run.error)


async def test_a_busy_engine_is_not_taken_for_a_dead_one(store: Store) -> None:
    engine = ScriptedEngine(fails=failing(lambda number: number > 5, EngineOverloaded("429")))
    run = await bench(engine, store, stage(Open(300.0), count=40))
    assert run.status is RunStatus.DONE
    assert figure(store, run, "error_rate").value > 0.8


async def test_a_failing_warm_up_ends_the_run_with_the_engines_own_words(store: Store) -> None:
    engine = ScriptedEngine(fails=failing(lambda number: number > 0, EngineCrashed("out of memory")))
    with pytest.raises(EngineCrashed, match="out of memory"):
        await bench(engine, store, stage(Closed(1), count=5))
    assert store.get_run("last").status is RunStatus.FAILED


async def test_a_bad_trace_and_a_too_short_prompt_are_refused(store: Store) -> None:
    with pytest.raises(UsageError):
        await bench(ScriptedEngine(), store, Stage(Trace("/nowhere.csv")))
    assert store.list_runs() == []
    with pytest.raises(UsageError, match="too short"):
        await bench(ScriptedEngine(), store, stage(Closed(1), count=1, prompt_tokens=3))


async def test_a_stopped_run_goes_on_with_the_stage_it_had_not_finished(store: Store) -> None:
    engine = ScriptedEngine(prefill_s=0.02)
    plan = BenchPlan((stage(Closed(1), count=5), stage(Closed(2), count=40), stage(Closed(4), count=8)), seed=1)
    task = asyncio.create_task(run_bench(engine, store, plan, model="scripted"))
    while len(engine.requests) < 12:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.under_way == 0
    stopped = store.get_run("last")
    assert stopped.status is RunStatus.INTERRUPTED
    assert {m.labels.get("streams") for m in store.metrics(stopped.id)} == {1}
    first = store.samples(stopped.id, stage=plan.stages[0].name)

    done = await run_bench(engine, store, plan, model="scripted", run_id=stopped.id)
    assert done.id == stopped.id
    assert done.status is RunStatus.DONE
    assert store.samples(done.id, stage=plan.stages[0].name) == first
    again = store.samples(done.id, stage=plan.stages[1].name)
    assert len([s for s in again if not s.tags.get("warmup")]) == 40
    assert min(s.start_s for s in again) > max(s.end_s for s in first)
    indexes = [s.index for s in store.samples(done.id)]
    assert len(set(indexes)) == len(indexes)
    assert {m.labels.get("streams") for m in store.metrics(done.id) if m.name == "requests"} == {1, 2, 4}


async def test_a_sweep_finds_where_more_streams_stop_paying(store: Store) -> None:
    engine = ScriptedEngine(prefill_s=0.01, token_s=0.01, slots=4)
    plan = BenchPlan(sweep=Sweep(stage(Closed(1), count=12), limit=64, min_gain=0.25))
    run = await run_bench(engine, store, plan, model="scripted")
    knee = figure(store, run, "knee_streams")
    assert (knee.value, knee.labels["broken"]) == (4, "gain")
    streams = {m.labels["streams"] for m in store.metrics(run.id) if m.name == "requests"}
    assert streams == {1, 2, 4, 8}


async def test_a_sweep_ends_where_objectives_break(store: Store) -> None:
    engine = ScriptedEngine(prefill_s=0.1, slots=2)
    plan = BenchPlan(
        sweep=Sweep(stage(Closed(1), count=8, output_tokens=1), limit=64, min_gain=0.01),
        objectives=Objectives(ttft_s=0.17),
    )
    run = await run_bench(engine, store, plan, model="scripted")
    knee = figure(store, run, "knee_streams")
    assert (knee.value, knee.labels["broken"]) == (2, "objectives")


async def test_progress_tells_the_stage_and_how_much_of_it_is_done(store: Store) -> None:
    seen: list[BenchProgress] = []
    plan = BenchPlan((stage(Closed(1), count=10), stage(Closed(2), duration_s=0.5)))
    engine = ScriptedEngine(prefill_s=0.05)
    run = await run_bench(engine, store, plan, model="scripted", on_progress=seen.append)
    assert [p.stage for p in seen[:2]] == ["loading the model", "preparing prompts"]
    measured = [p for p in seen if p.number]
    assert {(p.number, p.of) for p in measured} == {(1, 2), (2, 2)}
    assert {p.run_id for p in seen} == {run.id}
    assert measured[-1].share == 1.0
    assert measured[-1].run_share == 1.0
    assert any(p.left_s is not None and 0 < p.left_s < 2 for p in measured)


async def test_labels_of_the_plan_go_on_every_figure(store: Store) -> None:
    run = await bench(ScriptedEngine(), store, stage(Closed(1), count=2), labels={"device": "gpu"})
    assert {m.labels.get("device") for m in store.metrics(run.id)} == {"gpu"}
