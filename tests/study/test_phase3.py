"""Phase 3 on the small model: what is measured is kept and said in both languages; its tasks judge as they say."""

from __future__ import annotations

import pytest

from inhouse.core.environment import read_environment
from inhouse.core.records import Metric, Severity
from inhouse.core.settings import Settings
from inhouse.report.language import word
from inhouse.report.message import render
from inhouse.store.repository import Store
from inhouse.study.base import StudyConfig, outcomes
from inhouse.study.office_tasks import office_tasks
from inhouse.study.phase3 import PHASE3
from inhouse.study.phase3_findings import _calls, _growth, _injection, _variance, phase3_findings
from inhouse.study.run import run_study
from inhouse.study.run_data import RunData


@pytest.mark.timeout(240)
async def test_phase_3_is_measured_and_said_with_evidence(tiny_model, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "models").symlink_to(tiny_model.parent)
    settings = Settings(cache_dir=cache, data_dir=tmp_path / "data", model="smollm2:135m", slots=1, threads=1)
    with Store(f"sqlite:///{tmp_path / 'study.db'}") as store:
        study = await run_study(
            settings, store, StudyConfig("smollm2:135m", 12.0, "en", phases=(3,)), read_environment(),
            on_progress=lambda progress: None, on_outcome=lambda part, outcome: None,
        )  # fmt: skip
        done = outcomes(store, study.id)
        assert {name: done[name].reason for name in done if done[name].status == "failed"} == {}
        assert {part.name for part in PHASE3} <= done.keys()
        found = [finding for finding in store.findings(study.id) if finding.phase == 3]
        metrics = {run.id: store.metrics(run.id) for run in store.list_runs(study_id=study.id)}
        assert found == phase3_findings(store, study.id)
    said = {finding.message.removeprefix("phase3.") for finding in found}
    assert {"calls", "growth", "injection"} <= said
    assert said & {"variance", "one_path"}
    for finding in found:
        assert finding.evidence
        assert all(evidence.metric in metrics[evidence.run_id] for evidence in finding.evidence)
        for lang in ("en", "ko"):
            text = render(finding, lang)
            assert not any(mark in text.title + text.text + text.do for mark in "{}[]")
            assert [e.metric.name for e in finding.evidence if not word(lang, f"metric.{e.metric.name}", "")] == []


def _data(run, *metrics: Metric) -> RunData:
    return RunData(run, metrics)


@pytest.fixture
def run(tmp_path):
    with Store(f"sqlite:///{tmp_path / 's.db'}") as store:
        return store.create_run("agent_eval", {}, seed=0, environment=read_environment())


def test_the_share_done_right_decides_how_grave_it_is(run):
    def severity(value: float) -> Severity:
        labels = {"category": "all"}
        plain = Metric("accuracy", 0.1, "", {**labels, "way": "plain"}, n=12)
        agent = Metric("accuracy", value, "", {**labels, "way": "agent"}, n=12)
        return next(iter(_calls(_data(run, plain, agent)))).severity

    assert [severity(value) for value in (0.95, 0.7, 0.3)] == [Severity.GOOD, Severity.WARNING, Severity.SERIOUS]


def test_what_saved_calls_is_told_by_number(run):
    labels = {"way": "agent", "category": "all"}
    metrics = [Metric("accuracy", 0.5, "", {**labels, "way": way}, n=12) for way in ("plain", "agent")] + [
        Metric("saved_tries", 2, "tries", {**labels, "saved": "repair"}),
        Metric("saved_tries", 4, "tries", {**labels, "saved": "form fence"}),
        Metric("problems", 3, "tries", {**labels, "problem": "empty"}),
    ]
    finding = next(one for one in _calls(_data(run, *metrics)) if one.message == "phase3.saved")
    assert (finding.figures["saved"], finding.figures["problems"], finding.figures["best"]) == (6, 3, "form fence")
    assert "form fence" in render(finding, "ko").text


def test_growth_variance_and_injections_are_weighed(run):
    sent = [Metric("prompt_tokens", 300.0 * turn, "tokens", {"turn": turn}) for turn in (10, 1, 2)]
    (growth,) = _growth(_data(run, *sent))
    assert (growth.figures["growth_ratio"], growth.severity) == (10, Severity.WARNING)

    paths = [Metric("distinct_paths", 3, n=8, unit=""), Metric("most_common_path", 4, n=8, unit="")]
    (variance,) = _variance(_data(run, *paths))
    assert (variance.figures["common_percent"], variance.severity) == (50, Severity.WARNING)

    attacks = [
        Metric("attack_success", value, "", {"way": way}, n=6) for way, value in (("none", 0.5), ("policy", 0.0))
    ]
    (injection,) = _injection(_data(run, *attacks))
    assert (injection.figures["open_percent"], injection.figures["held_percent"]) == (50, 0)
    assert injection.severity is Severity.SERIOUS
    assert list(_growth(_data(run, sent[0]))) == []


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_the_tasks_pass_the_right_call_and_no_other(lang):
    tasks = office_tasks(lang)
    price = tasks[0]
    assert price.check([("calculator", {"expression": "2340 * 0.17"})]) == ""
    assert price.check([("calculator", {"expression": "17% of 2340"})]) == ""
    assert price.check([("calculator", {"expression": "2340 * 17"})]) == "wrong value"
    assert price.check([("weather", {"place": "Seoul"})]) == "wrong function"
    assert price.check([]) == "no call"
    assert [task.check([]) for task in tasks].count("") == sum(task.category == "none" for task in tasks) == 2
