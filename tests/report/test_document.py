"""What a report stands on: the study's runs, and its findings with what weighs most first."""

import pytest
from kept_study import ENVIRONMENT, build_study

from inhouse.core.errors import RunNotFound, UsageError
from inhouse.core.records import Evidence, Finding, Metric, RunStatus, Severity, Side
from inhouse.report.document import gather, newest_study
from inhouse.report.outline import ended_because
from inhouse.study.phase1_findings import phase1_findings


def test_findings_come_worst_first_and_good_before_notes(document):
    order = [Severity.BLOCKER, Severity.SERIOUS, Severity.WARNING, Severity.GOOD, Severity.INFO]
    ranks = [order.index(finding.severity) for finding in document.findings]
    assert ranks == sorted(ranks)


def test_the_best_news_is_told_unless_the_reasons_tell_it(store, study, document):
    assert document.best is not None
    assert document.best.message == "phase1.ran"
    good = [finding for finding in document.findings if finding.severity is Severity.GOOD]
    store.set_findings(study.id, 1, good)
    assert gather(store, study.id).best is None


def test_a_finding_without_evidence_says_what_was_not_measured(document):
    assert {finding.message for finding in document.not_measured} == {"phase1.no_gpu", "phase1.not_run"}
    assert all(finding.evidence for finding in document.decision.reasons)


def test_runs_are_in_the_order_they_were_made_and_all_there(document):
    assert [record.run.config["name"] for record in document.runs] == [
        "pull", "cold_start", "prompt_length", "concurrency", "memory", "llama2",
    ]  # fmt: skip
    assert document.requests == 4 * 60
    assert document.unfinished == ()


def test_a_run_of_another_study_that_a_finding_stands_on_is_gathered_too(store, study):
    elsewhere = store.create_run("pull", {}, seed=0, environment=ENVIRONMENT, model="m")
    metric = Metric("download_s", 3.0, "s")
    store.set_metrics(elsewhere.id, [metric])
    store.finish_run(elsewhere.id, RunStatus.DONE)
    finding = Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.download", {}, (Evidence(elsewhere.id, metric),))
    store.set_findings(study.id, 1, [finding])
    assert elsewhere.id in {record.run.id for record in gather(store, study.id).runs}


def test_a_run_that_is_removed_takes_the_findings_that_stood_on_it_along(store, study, document):
    gone = next(record.run for record in document.runs if record.run.config["name"] == "concurrency")
    stood = [f.message for f in document.findings if any(item.run_id == gone.id for item in f.evidence)]
    assert len(stood) == 5
    store.delete_run(gone.id)
    left = gather(store, study.id)
    assert sorted(left.withdrawn) == sorted(stood)
    assert {f.message for f in left.findings} == {f.message for f in document.findings} - set(stood)


def test_a_run_that_is_no_study_is_refused(store, document):
    with pytest.raises(UsageError, match="no study"):
        gather(store, document.runs[0].run.id)


def test_an_unknown_study_is_refused(store, study):
    with pytest.raises(RunNotFound):
        gather(store, "zzzzzzzz")


def test_the_newest_study_is_taken_and_an_empty_store_says_what_to_do(empty_store):
    with pytest.raises(UsageError) as caught:
        newest_study(empty_store)
    assert "inhouse study" in caught.value.do
    build_study(empty_store)
    second = build_study(empty_store)
    assert newest_study(empty_store).id == second.id


def test_the_commands_make_the_same_study_again_and_are_safe_to_paste(empty_store):
    study = build_study(empty_store, model="a model; rm -rf $HOME")
    first = gather(empty_store, study.id).commands[0]
    assert first == "inhouse study --model 'a model; rm -rf $HOME' --budget 10m --phases 1 --lang ko"


def test_a_part_that_failed_is_named_with_its_error_in_the_readers_language(empty_store):
    study = empty_store.create_run("study", {"phases": [1]}, seed=0, environment=ENVIRONMENT, model="m")
    run = empty_store.create_run("bench", {"name": "concurrency"}, seed=0, environment=ENVIRONMENT, study_id=study.id)
    empty_store.finish_run(run.id, RunStatus.FAILED, "The engine died")
    outcome = {"status": "failed", "reason": "The engine died", "error": "EngineCrashed", "phase": 1}
    empty_store.set_progress(study.id, {"parts": {"concurrency": outcome}})
    empty_store.set_findings(study.id, 1, phase1_findings(empty_store, study.id))
    empty_store.finish_run(study.id, RunStatus.FAILED, "concurrency failed")
    document = gather(empty_store, study.id)
    assert document.failed_parts == ("concurrency",)
    assert ended_because(document, document.study, "ko") == "실패한 항목: 동시 요청"
    (failed,) = document.unfinished
    assert ended_because(document, failed, "ko").endswith("끊김 (The engine died)")
    assert ended_because(document, failed, "en") == "The engine died"
