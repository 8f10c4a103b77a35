"""Two runs side by side: real differences are found, chance ones are not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inhouse.bench.compare import Row, compare_runs
from inhouse.core.environment import read_environment
from inhouse.core.records import Metric, RunStatus, Sample, SampleError, Scalar
from inhouse.store.repository import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def kept(
    store: Store, seed: int, *, ttft: float = 0.1, gap: float = 0.02, n: int = 40, failed: int = 0,
    config: dict[str, object] | None = None, model: str = "m", stages: int = 1,
) -> str:  # fmt: skip
    """A run whose requests scatter by 20 %."""
    rng = random.Random(seed)
    run = store.create_run("bench", config or {}, seed=0, environment=read_environment(), model=model)
    samples = []
    for stage in range(stages):
        tags: dict[str, Scalar] = {"stage": f"stage {stage}", "streams": 1}
        at = 0.0
        for index in range(n):
            first = at + ttft * rng.lognormvariate(0, 0.2)
            times = [first]
            for _ in range(8):
                times.append(times[-1] + gap * rng.lognormvariate(0, 0.2))
            error = SampleError("crashed", "it broke") if index < failed else None
            samples.append(
                Sample(index, at, at, times[-1], first, tuple(times), 10, 9, tags=tags, error=error)
            )  # fmt: skip
            at = times[-1]
    store.add_samples(run.id, samples)
    store.finish_run(run.id, RunStatus.DONE)
    return run.id


def row(rows: tuple[Row, ...], name: str) -> Row:
    return next(row for row in rows if row.name == name)


def test_a_slower_run_is_called_worse_with_the_ratio_in_its_interval(store: Store) -> None:
    found = compare_runs(store, kept(store, 1), kept(store, 2, ttft=0.15))
    ttft = row(found.rows, "ttft_s")
    assert ttft.verdict == "worse"
    assert ttft.low < 1.5 < ttft.high  # type: ignore[operator]
    assert ttft.labels["stat"] == "p50"
    assert row(found.rows, "itl_s").verdict == "within noise"


def test_a_faster_run_is_called_better_in_latency_and_in_throughput(store: Store) -> None:
    found = compare_runs(store, kept(store, 1), kept(store, 2, gap=0.01))
    assert row(found.rows, "tpot_s").verdict == "better"
    assert row(found.rows, "itl_s").verdict == "better"
    tokens = row(found.rows, "output_tokens_s")
    assert tokens.verdict == "better"
    assert tokens.b > tokens.a


def test_runs_of_the_same_thing_hardly_ever_differ(store: Store) -> None:
    ids = [kept(store, seed, stages=3) for seed in range(20)]
    differing = sum(
        any(row.verdict in ("better", "worse") for row in compare_runs(store, a, b).rows)
        for a, b in zip(ids[::2], ids[1::2], strict=True)
    )
    assert differing <= 2


def test_too_few_samples_are_called_that(store: Store) -> None:
    found = compare_runs(store, kept(store, 1, n=3), kept(store, 2, n=3, ttft=1.0))
    assert {r.verdict for r in found.rows} == {"too few samples"}


def test_more_failures_are_worse_and_a_few_more_are_noise(store: Store) -> None:
    many = compare_runs(store, kept(store, 1), kept(store, 2, failed=15))
    assert row(many.rows, "error_rate").verdict == "worse"
    few = compare_runs(store, kept(store, 1), kept(store, 2, failed=1))
    assert row(few.rows, "error_rate").verdict == "within noise"


def test_what_else_differs_is_warned_of(store: Store) -> None:
    a, b = kept(store, 1, config={"warmup": 1}), kept(store, 2, config={"warmup": 0}, model="other")
    environment = replace(read_environment(), cpu="another CPU")
    store.set_environment(b, environment)
    warnings = " ".join(compare_runs(store, a, b).warnings)
    for told in ("models", "cpu", "warmup"):
        assert told in warnings
    assert compare_runs(store, a, a).warnings == ("A and B are the same run",)


def test_only_stages_of_both_runs_are_compared(store: Store) -> None:
    found = compare_runs(store, kept(store, 1, stages=1), kept(store, 2, stages=2))
    assert {r.labels["stage"] for r in found.rows} == {"stage 0"}


def test_runs_without_samples_are_laid_side_by_side_and_not_judged(store: Store) -> None:
    ids = []
    for value in (100.0, 150.0):
        run = store.create_run("memory", {}, seed=0, environment=read_environment(), model="m")
        store.set_metrics(run.id, [Metric("memory_measured_bytes", value, "bytes", {"context": 512})])
        store.finish_run(run.id, RunStatus.DONE)
        ids.append(run.id)
    (only,) = compare_runs(store, *ids).rows
    assert (only.ratio, only.verdict) == (1.5, "not tested")
