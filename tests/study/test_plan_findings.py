"""The findings on cost stand on the plan's kept run, and go with it."""

from datetime import UTC, datetime

import pytest

from inhouse.core.environment import read_environment
from inhouse.core.records import Severity
from inhouse.plan.assumptions import given, load_assumptions
from inhouse.plan.comparison import compare, keep
from inhouse.plan.solved import Solved
from inhouse.report.language import LANGUAGES
from inhouse.report.message import render
from inhouse.store.repository import Store
from inhouse.study.plan import PLAN
from inhouse.study.plan_findings import plan_findings

AT = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    with Store(f"sqlite:///{tmp_path / 'inhouse.db'}") as opened:
        yield opened


def kept_plan(store: Store, users: int | None = None) -> tuple[str, str]:
    """A study with a plan made for so many users: the study's id and the run's."""
    assumptions = load_assumptions()
    if users is not None:
        key = "demand.users"
        assumptions = assumptions.replaced({key: given(key, assumptions.amounts[key], users)})
    study = store.create_run("study", {}, seed=0, environment=read_environment())
    solved = [Solved("01abc", "smollm2:135m", "office", 40, 0.5, 900.0)]
    made = compare(assumptions, AT, draws=200, solved=solved)
    run = keep(store, made, read_environment(), study.id, name="ownership")
    outcome = {"status": "done", "run": run.id, "phase": PLAN}
    store.set_progress(study.id, {"parts": {"ownership": outcome}})
    return study.id, run.id


def test_every_figure_of_a_finding_is_evidence_of_the_plans_run(store):
    study_id, run_id = kept_plan(store)
    findings = plan_findings(store, study_id)
    assert {one.message.removeprefix("phase6.") for one in findings} >= {
        "cost", "people", "dearer", "sensitivity", "solved", "break_even_users",
    }  # fmt: skip
    kept = store.metrics(run_id)
    for finding in findings:
        assert finding.evidence
        assert all(one.run_id == run_id and one.metric in kept and one.metric.predicted for one in finding.evidence)
        values = {one.metric.value for one in finding.evidence}
        if finding.message == "phase6.cost":
            assert finding.figures["year_won"] in values


def test_without_the_run_there_is_no_sentence(store):
    study_id, run_id = kept_plan(store)
    store.set_progress(study_id, {"parts": {}})
    store.delete_run(run_id)
    assert plan_findings(store, study_id) == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_place_stays_open_in_the_words(store, lang: str):
    study_id, _ = kept_plan(store)
    for finding in plan_findings(store, study_id):
        said = render(finding, lang)
        for text in (said.title, said.text, said.do):
            assert text, finding.message
            assert "{" not in text, text
            assert "–" not in text, text
            assert "assumption." not in text, text


def test_more_than_half_again_as_dear_is_serious_and_the_people_are_named(store):
    by_message = {one.message: one for one in plan_findings(store, kept_plan(store)[0])}
    assert by_message["phase6.dearer"].severity is Severity.SERIOUS
    assert by_message["phase6.people"].figures["people_percent"] > 50


def test_against_seats_the_answer_depends_on_how_many_use_it(store):
    found = {one.message: one for one in plan_findings(store, kept_plan(store)[0])}
    assert 100 < found["phase6.break_even_users"].figures["from"] < 1000
