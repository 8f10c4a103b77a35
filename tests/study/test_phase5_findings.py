"""What phase 5 says follows from what was measured: other figures, other sentences and severities."""

from dataclasses import asdict
from pathlib import Path

import pytest

from inhouse.core.environment import read_environment
from inhouse.core.records import Metric, RunStatus, Severity
from inhouse.report.language import LANGUAGES
from inhouse.report.message import render
from inhouse.store.repository import Store
from inhouse.study.base import Outcome
from inhouse.study.phase1_findings import phase1_findings
from inhouse.study.phase5_findings import phase5_findings

MANY = {"rate": 20.0, "multiple": 5.0}


class Study:
    """A study in a real store, filled part by part."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.run = store.create_run("study", {}, seed=0, environment=read_environment(), model="m")
        self.parts: dict[str, dict] = {}

    def part(self, name: str, *metrics: Metric, **config: object) -> None:
        run = self.store.create_run(
            "gateway", {"name": name, **config}, seed=0, environment=self.run.environment, study_id=self.run.id
        )
        self.store.set_metrics(run.id, metrics)
        self.store.finish_run(run.id, RunStatus.DONE)
        self.keep(name, Outcome("done", run=run.id, phase=5))

    def keep(self, name: str, outcome: Outcome) -> None:
        self.parts[name] = asdict(outcome)
        self.store.set_progress(self.run.id, {"parts": self.parts})

    def findings(self):
        found = phase5_findings(self.store, self.run.id)
        for finding in found:
            for lang in LANGUAGES:
                said = render(finding, lang)
                assert "–" not in said.text + said.title, "a figure that a sentence needs is missing"
        return {finding.message.removeprefix("phase5."): finding for finding in found}


@pytest.fixture
def study(tmp_path: Path):
    with Store(f"sqlite:///{tmp_path / 'test.db'}") as store:
        yield Study(store)


def gateway(added: float, low: float | None, high: float | None) -> list[Metric]:
    return [
        Metric("added_ttft_s", added, "s", {"stat": "p50"}, low, high, 40),
        Metric("ttft_s", 0.2, "s", {"stage": "direct", "stat": "p50"}),
    ]


@pytest.mark.parametrize(
    ("figures", "message", "severity"),
    [
        ((0.001, 0.0005, 0.002), "gateway_added", Severity.GOOD),
        ((0.05, 0.04, 0.06), "gateway_added", Severity.INFO),
        ((0.3, 0.2, 0.4), "gateway_added", Severity.WARNING),
        ((-0.001, -0.003, 0.002), "gateway_within_noise", Severity.GOOD),
        ((0.3, -0.1, 0.6), "gateway_within_noise", Severity.INFO),
        ((0.3, None, None), "gateway_within_noise", Severity.INFO),
    ],
)
def test_what_the_gateway_adds_is_said_as_sure_as_it_is_known(study, figures, message, severity):
    study.part("gateway", *gateway(*figures))
    assert {name: finding.severity for name, finding in study.findings().items()} == {message: severity}


def overload(
    best: float, kept: float | None, refused: float, *, failed: int = 0, refusal: float = 0.004
) -> list[Metric]:
    metrics = [
        Metric("objective_s", 3.0, "s"),
        Metric("goodput_requests_s", best, "", {"streams": 4, "objectives": "e2e=3s"}),
        Metric("refused_share", refused, "", MANY, n=50),
        Metric("refused_share", 0.0, "", {"rate": 4.0, "multiple": 1.0}, n=20),
        Metric("failed_requests", failed, "", MANY, n=50),
        Metric("refusal_s", refusal, "s", {**MANY, "stat": "p95"}, n=40),
        Metric("retry_after_share", 1.0, "", MANY, n=40),
    ]
    if kept is not None:
        metrics.append(Metric("goodput_requests_s", kept, "", {"rate": 20.0, "objectives": "e2e=3s"}))
    return metrics


@pytest.mark.parametrize(("kept", "severity"), [(3.9, Severity.GOOD), (3.0, Severity.WARNING), (1.0, Severity.SERIOUS)])
def test_goodput_that_overload_leaves_decides_how_grave_it_is(study, kept, severity):
    study.part("overload", *overload(4.0, kept, 0.8), max_waiting=4)
    found = study.findings()
    assert found["overload"].severity is severity
    assert found["overload"].figures["kept_percent"] == pytest.approx(kept / 4 * 100)
    assert found["overload"].figures["refused_percent"] == pytest.approx(80)
    assert found["refusals"].severity is Severity.GOOD


def test_an_overload_in_which_nothing_was_answered_is_serious_and_failures_are_named(study):
    study.part("overload", *overload(4.0, None, 0.9, failed=5, refusal=2.0), max_waiting=4)
    found = study.findings()
    assert found["overload"].severity is Severity.SERIOUS
    assert found["overload"].figures["goodput_requests_s"] == 0
    assert found["overload_failed"].figures["failed"] == 5
    assert found["refusals"].severity is Severity.WARNING, "two seconds for a refusal"


@pytest.mark.parametrize(
    ("failed", "recovery", "message", "severity"),
    [
        (0, 2.0, "failover", Severity.GOOD),
        (2, 2.0, "failover", Severity.INFO),
        (3, 2.0, "failover", Severity.SERIOUS),
        (0, 90.0, "failover", Severity.WARNING),
        (0, None, "failover_not_back", Severity.SERIOUS),
    ],
)
def test_only_answers_that_had_begun_may_fail_with_a_replica(study, failed, recovery, message, severity):
    metrics = [
        Metric("failed_requests", failed, "", n=60),
        Metric("retried_requests", 2, "", n=60),
        Metric("restart_s", 1.5, "s"),
    ]
    if recovery is not None:
        metrics.append(Metric("recovery_s", recovery, "s"))
    study.part("failover", *metrics, slots=2)
    assert {name: finding.severity for name, finding in study.findings().items()} == {message: severity}


@pytest.mark.parametrize(("hits", "message"), [(10, "cache"), (9, "cache_missed")])
def test_a_cache_that_misses_a_repeated_question_is_said_to(study, hits, message):
    study.part(
        "cache",
        Metric("cache_hits", hits, ""),
        Metric("repeated_questions", 10, ""),
        Metric("saved_tokens", 900, "tokens"),
        Metric("e2e_s", 2.0, "s", {"stage": "miss", "stat": "p50"}),
        Metric("e2e_s", 0.002, "s", {"stage": "hit", "stat": "p50"}),
    )
    assert set(study.findings()) == {message}


def guard(personal: int, injection: int, harmless: int) -> list[Metric]:
    groups = {"personal": personal, "injection": injection, "harmless": harmless}
    return [
        Metric("guard_share", hits / 20, "", {"group": group, "texts": 20, "hits": hits}, n=20)
        for group, hits in groups.items()
    ]


@pytest.mark.parametrize(
    ("counts", "severity"),
    [
        ((20, 15, 1), Severity.GOOD),
        ((18, 20, 0), Severity.WARNING),
        ((20, 13, 0), Severity.WARNING),
        ((20, 20, 2), Severity.WARNING),
    ],
)
def test_a_guard_must_catch_and_let_through(study, counts, severity):
    study.part("guard", *guard(*counts))
    assert study.findings()["guard"].severity is severity


def test_a_lost_row_is_serious_and_money_is_only_said_with_prices(study):
    used = [
        Metric("ledger_requests", 50, ""),
        Metric("used_prompt_tokens", 2000, "tokens"),
        Metric("used_output_tokens", 400, "tokens"),
    ]
    study.part("cost", Metric("answers_seen", 50, ""), Metric("answers_lost", 0, ""), *used)
    assert {name: f.severity for name, f in study.findings().items()} == {"ledger": Severity.GOOD, "use": Severity.INFO}
    priced = [Metric("cost_krw", 3.0, "KRW"), Metric("cost_usd", 0.002, "USD")]
    study.part("cost", Metric("answers_seen", 50, ""), Metric("answers_lost", 1, ""), *used, *priced)
    found = study.findings()
    assert found["ledger_lost"].severity is Severity.SERIOUS
    assert found["cost"].figures["krw"] == pytest.approx(60)


def test_what_keeps_all_parts_from_being_made_is_said_once_and_only_of_its_phase(study):
    for part in ("gateway", "overload", "cost"):
        outcome = Outcome("skipped", reason="…", message="phase5.no_gateway", figures={"package": "fastapi"}, phase=5)
        study.keep(part, outcome)
    assert set(study.findings()) == {"no_gateway"}
    assert phase1_findings(study.store, study.run.id) == []
