"""What a kept benchmark puts in the place of an assumption, and what a solved task costs by a kept run."""

import pytest

from inhouse.core.environment import read_environment
from inhouse.core.errors import UsageError
from inhouse.core.records import Metric, RunStatus, Sample
from inhouse.plan.measured import measured_machine
from inhouse.plan.solved import solved_tasks
from inhouse.store.repository import Store


@pytest.fixture
def store(tmp_path):
    with Store(f"sqlite:///{tmp_path / 'inhouse.db'}") as opened:
        yield opened


def bench(store: Store, metrics: list[Metric], kind: str = "bench") -> str:
    run = store.create_run(kind, {}, seed=0, environment=read_environment(), model="tiny")
    store.set_metrics(run.id, metrics)
    tags = {"stage": "streams=4"}
    store.add_samples(run.id, [Sample(n, 0.0, 0.0, 5.0, completion_tokens=50, tags=tags) for n in range(4)])
    store.finish_run(run.id, RunStatus.DONE)
    return run.id


def test_the_best_stage_is_the_machines_speed_and_its_energy_the_power(store, shipped):
    run_id = bench(store, [
        Metric("output_tokens_s", 30.0, "1/s", {"stage": "streams=1"}, 28.0, 31.0),
        Metric("output_tokens_s", 40.0, "1/s", {"stage": "streams=4"}, 37.0, 42.0),
        Metric("energy_j", 5000.0, "J", {"stage": "streams=4", "package": "0"}),
    ])  # fmt: skip
    found = measured_machine(store, run_id)
    assert (found.output_tokens_s, found.low, found.high) == (40.0, 37.0, 42.0)
    assert found.watts == pytest.approx(1000.0)  # 200 tokens in 5 s, 5,000 J
    over = found.over(shipped).amounts["hardware.l40s.output_tokens_s"]
    assert (over.low, over.likely, over.high) == (37.0, 40.0, 42.0)
    assert over.source == f"measured: run {run_id[:10]}"
    busy = found.over(shipped).amounts["hardware.l40s.busy_w"]
    assert busy.low <= busy.likely <= busy.high
    assert busy.likely == pytest.approx(1000.0)


def test_counters_that_see_less_than_the_machine_do_not_lower_its_power(store, shipped):
    run_id = bench(store, [
        Metric("output_tokens_s", 40.0, "1/s", {"stage": "streams=4"}),
        Metric("energy_j", 500.0, "J", {"stage": "streams=4", "package": "0"}),
    ])  # fmt: skip
    over = measured_machine(store, run_id).over(shipped)
    assert over.amounts["hardware.l40s.busy_w"] == shipped.amounts["hardware.l40s.busy_w"]


def test_a_run_without_throughput_is_refused(store):
    with pytest.raises(UsageError, match="measured no throughput"):
        measured_machine(store, bench(store, [Metric("ttft_s", 1.0, "s")]))


def test_solved_tasks_come_from_finished_runs_of_the_agent_only(store):
    labels = {"suite": "office", "way": "agent", "category": "all"}
    metrics = [Metric("accuracy", 0.5, "", labels, n=8), Metric("tokens_per_solved", 900.0, "tokens", labels, n=8)]
    run_id = bench(store, metrics, "agent_eval")
    bench(store, metrics[:1], "agent_eval")
    bench(store, metrics, "bench")
    (found,) = solved_tasks(store)
    assert (found.run_id, found.model, found.suite, found.share, found.tokens) == (run_id, "tiny", "office", 0.5, 900.0)
