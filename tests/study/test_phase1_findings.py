"""What phase 1 says follows from what was measured: other figures, other sentences and severities."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from inhouse.core.environment import Gpu, read_environment
from inhouse.core.records import Metric, RunStatus, Severity
from inhouse.store.repository import Store
from inhouse.study.base import Outcome
from inhouse.study.patience import READING_TOKENS_S
from inhouse.study.phase1_findings import phase1_findings


class Study:
    """A study in a real store, filled part by part."""

    def __init__(self, store: Store, **environment) -> None:
        self.store = store
        self.environment = replace(read_environment(), **environment)
        self.run = store.create_run("study", {}, seed=0, environment=self.environment, model="m")
        self.parts: dict[str, dict] = {}

    def part(self, name: str, *metrics: Metric, kind: str = "bench") -> str:
        run = self.store.create_run(
            kind, {"name": name}, seed=0, environment=self.environment, model="m", study_id=self.run.id
        )
        self.store.set_metrics(run.id, metrics)
        self.store.finish_run(run.id, RunStatus.DONE)
        self._keep(name, Outcome("done", run=run.id))
        return run.id

    def not_made(self, name: str, status: str, reason: str, message: str = "") -> None:
        self._keep(name, Outcome(status, reason=reason, message=message))

    def findings(self):
        return {
            finding.message.removeprefix("phase1."): finding for finding in phase1_findings(self.store, self.run.id)
        }

    def _keep(self, name: str, outcome: Outcome) -> None:
        self.parts[name] = asdict(outcome)
        self.store.set_progress(self.run.id, {"parts": self.parts})


@pytest.fixture
def study(tmp_path: Path):
    with Store(f"sqlite:///{tmp_path / 'test.db'}") as store:
        yield Study(store, gpus=())


def concurrency(output: dict[int, float], ttft: dict[int, float], each: dict[int, float]) -> list[Metric]:
    metrics = []
    for streams in output:
        labels = {"streams": streams, "prompt_tokens": 128, "output_tokens": 48}
        metrics += [
            Metric("output_tokens_s", output[streams], "1/s", labels),
            Metric("requests_s", output[streams] / 48, "1/s", labels),
            Metric("decode_tokens_s", each[streams], "1/s", labels),
            Metric("ttft_s", ttft[streams], "s", {**labels, "stat": "p50"}),
            Metric("ttft_s", ttft[streams] * 1.5, "s", {**labels, "stat": "p95"}),
        ]
    return metrics


def test_users_who_wait_long_under_load_make_a_serious_finding(study):
    study.part("concurrency", *concurrency({1: 30, 8: 60}, {1: 0.5, 8: 9.0}, {1: 30, 8: 4}))
    found = study.findings()
    assert found["ttft_under_load"].severity is Severity.SERIOUS
    assert found["ttft_under_load"].figures["slowdown_ratio"] == pytest.approx(27)
    assert found["ttft_under_load"].figures["gain_ratio"] == pytest.approx(2)
    assert found["decode_per_user"].severity is Severity.SERIOUS, "4 tokens/s are under reading speed"


def test_too_few_requests_for_a_high_percentile_are_judged_by_their_median(study):
    metrics = concurrency({1: 30, 8: 60}, {1: 0.5, 8: 9.0}, {1: 30, 8: 4})
    study.part("concurrency", *(m for m in metrics if m.labels.get("stat") != "p95"))
    figures = study.findings()["ttft_under_load"].figures
    assert (figures["percentile"], figures["ttft_p95_s"]) == ("p50", 9.0)


def test_a_machine_that_carries_the_load_is_said_to(study):
    study.part("concurrency", *concurrency({1: 60, 8: 400}, {1: 0.1, 8: 0.3}, {1: 60, 8: 50}))
    found = study.findings()
    assert found["ttft_under_load"].severity is Severity.GOOD
    assert found["decode_per_user"].severity is Severity.GOOD


def test_the_knee_is_the_fewest_streams_near_the_best_throughput(study):
    study.part(
        "concurrency",
        *concurrency({1: 30, 2: 55, 4: 62, 8: 60}, {1: 1, 2: 1, 4: 1, 8: 1}, {1: 30, 2: 27, 4: 15, 8: 7}),
    )
    knee = study.findings()["knee"]
    assert knee.figures["streams"] == 4
    assert knee.evidence[0].metric.value == 62


def test_capacity_is_requests_an_hour_at_the_knee(study):
    study.part("concurrency", *concurrency({1: 48, 2: 96}, {1: 1, 2: 1}, {1: 48, 2: 48}))
    assert study.findings()["capacity_day"].figures["requests_hour"] == pytest.approx(7200)


def test_failed_requests_are_counted_and_their_commonest_kind_named(study):
    labels = {"stage": "8 streams", "streams": 8}
    study.part(
        "concurrency",
        Metric("error_rate", 0.25, "", labels),
        Metric("requests", 40, "", labels),
        Metric("errors", 7, "", {**labels, "kind": "stalled"}),
        Metric("errors", 3, "", {**labels, "kind": "crashed"}),
    )
    errors = study.findings()["errors"]
    assert (errors.figures["failed"], errors.figures["requests"], errors.figures["kind"]) == (10, 40, "stalled")


def test_a_cold_start_without_a_cold_cache_says_so(study):
    parts = {"process": 0.1, "load": 0.5, "first_token": 0.1, "total": 0.7}
    warm = [Metric("cold_start_s", value, "s", {"part": part, "cache": "warm"}) for part, value in parts.items()]
    study.part("cold_start", *warm, kind="cold_start")
    found = study.findings()
    assert "cold_start" not in found
    assert found["cold_start_warm_only"].severity is Severity.INFO


def test_a_7b_that_does_not_fit_is_a_blocker_and_one_that_fits_is_a_prediction(study):
    def llama(memory: float) -> list[Metric]:
        return [
            Metric("memory_estimate_bytes", memory, "B", predicted=True),
            Metric("decode_tokens_s", 3.0, "1/s", low=2.0, high=4.0, predicted=True),
            Metric("memory_bandwidth_bytes_s", 2e10, "B/s"),
            Metric("ram_bytes", 8e9, "B"),
        ]

    study.part("llama2", *llama(9e9))
    assert study.findings()["llama2_no_fit"].severity is Severity.BLOCKER
    study.part("llama2", *llama(5e9))
    found = study.findings()
    assert "llama2_no_fit" not in found
    assert found["llama2_prediction"].evidence[0].metric.predicted
    assert found["llama2_prediction"].severity is Severity.SERIOUS, f"3 tokens/s are under {READING_TOKENS_S:.1f}"


def test_parts_that_could_not_be_made_are_named_with_the_reason(study):
    study.not_made("gpu", "skipped", "No GPU was found on this machine", "phase1.no_gpu")
    study.not_made("ollama", "skipped", "No Ollama server answered")
    study.not_made("memory", "failed", "The worker ended")
    found = phase1_findings(study.store, study.run.id)
    assert [f.message for f in found] == ["phase1.no_gpu", "phase1.not_run", "phase1.not_run"]
    assert {f.figures["reason"] for f in found[1:]} == {"No Ollama server answered", "The worker ended"}


def test_a_gpu_is_compared_with_the_cpu(tmp_path):
    with Store(f"sqlite:///{tmp_path / 'test.db'}") as store:
        study = Study(store, gpus=(Gpu("H100", 80 << 30),))
        study.part(
            "gpu",
            Metric("decode_tokens_s", 300.0, "1/s", {"device": "gpu"}),
            Metric("decode_tokens_s", 30.0, "1/s", {"device": "cpu"}),
            kind="comparison",
        )
        assert study.findings()["gpu"].figures["speedup_ratio"] == pytest.approx(10)


@pytest.mark.parametrize(("system", "engine", "busy"), [(195.0, 190.0, False), (195.0, 90.0, True)])
def test_a_machine_that_was_busy_with_other_things_is_said_to_be(tmp_path, system, engine, busy):
    with Store(f"sqlite:///{tmp_path / 'test.db'}") as store:
        study = Study(store, threads=2)
        labels = {"stage": "8 streams", "streams": 8, "stat": "mean"}
        study.part(
            "concurrency",
            Metric("cpu_percent", system, "%", {**labels, "of": "system"}),
            Metric("cpu_percent", engine, "%", {**labels, "of": "engine"}),
        )
        assert ("busy" in study.findings()) is busy


def test_a_figure_that_was_not_measured_makes_no_sentence(study):
    study.part("concurrency", Metric("output_tokens_s", 30, "1/s", {"streams": 1}))
    assert study.findings() == {}
