"""What a study took is counted from what is kept of it, and from the processes that were seen."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from kept_study import ENVIRONMENT, build_study

from inhouse.core.records import RunStatus, Sample, SampleError, Severity
from inhouse.core.settings import Settings
from inhouse.report.message import render
from inhouse.store.repository import Store
from inhouse.study.base import Context, StudyConfig, outcomes
from inhouse.study.effort import CLOSING, Watch, touched
from inhouse.study.effort_findings import effort_findings


@pytest.fixture
def store(tmp_path: Path):
    with Store(f"sqlite:///{tmp_path / 'inhouse.db'}") as opened:
        yield opened


async def measure(store: Store, study) -> dict[str, object]:
    config = StudyConfig("m", 60.0, "en")
    run_id = await CLOSING[0].run(
        Context(Settings(), store, study, config, ENVIRONMENT, 0.0, lambda fraction, detail: None)
    )
    progress = store.progress(study.id)
    progress["parts"]["effort"] = {"status": "done", "run": run_id, "phase": 0}
    store.set_progress(study.id, progress)
    return {finding.message: finding for finding in effort_findings(store, study.id)}


async def test_the_first_answer_takes_the_download_and_a_cold_start(store):
    found = await measure(store, build_study(store))
    figures = found["phase0.first_answer"].figures
    assert figures["first_answer_s"] == pytest.approx(78.4 + 4.8)
    assert figures["packages"] > 5
    assert figures["packages_bytes"] > 1e6
    assert found["phase0.first_answer"].severity is Severity.GOOD


async def test_failures_are_counted_but_for_those_that_were_to_fail(store):
    study = build_study(store)
    error = SampleError("crashed", "it ended")
    for name in ("concurrency2", "overload"):
        run = store.create_run("bench", {"name": name}, seed=0, environment=ENVIRONMENT, study_id=study.id)
        store.add_samples(run.id, [Sample(0, 0, 0, 1), Sample(1, 0, 0, 1, error=error)])
        store.finish_run(run.id, RunStatus.DONE)
    progress = store.progress(study.id)
    store.set_progress(study.id, {**progress, "attempts": {"memory": 3, "pull": 1}})
    found = await measure(store, study)
    assert "phase0.no_failures" not in found
    figures = found["phase0.failures"].figures
    assert (figures["requests"], figures["failed"], figures["repeated"]) == (2, 1, 2)
    for lang in ("ko", "en"):
        assert "–" not in render(found["phase0.failures"], lang).text


async def test_a_study_that_goes_on_counts_again_and_keeps_one_run_only(store):
    study = build_study(store)
    await measure(store, study)
    first = outcomes(store, study.id)["effort"].run
    await measure(store, study)
    kept = [run.id for run in store.list_runs(study_id=study.id) if run.kind == "effort"]
    assert kept == [outcomes(store, study.id)["effort"].run]
    assert first not in kept


def test_processes_are_seen_by_what_they_are_and_add_up_over_sessions(store):
    study = build_study(store)
    command = [sys.executable, "-c", "input()"]
    earlier = subprocess.Popen(command, stdin=subprocess.PIPE)  # runs before: none of the study's
    for _ in range(2):
        with Watch() as watch:
            child = subprocess.Popen([sys.executable, "-c", "input()", "inhouse.engines.worker"], stdin=subprocess.PIPE)
            time.sleep(2.5)
            child.communicate(b"\n")
            watch.keep(store, study.id)
    earlier.communicate(b"\n")
    assert store.progress(study.id)["effort"]["processes"] == {"engine": 2}
    assert store.progress(study.id)["parts"], "what was kept before stays"


def test_a_setting_counts_where_it_is_not_the_default_with_all_that_it_states():
    models = '[{"name": "m", "replicas": [{"url": "a", "slots": 2}, {"url": "b", "slots": 2}]}]'
    given = {"INHOUSE_ENGINE": "embedded", "INHOUSE_SLOTS": "4", "INHOUSE_GATEWAY_MODELS": models, "PATH": "/bin"}
    assert touched(given) == {"INHOUSE_SLOTS": 1, "INHOUSE_GATEWAY_MODELS": 5}
