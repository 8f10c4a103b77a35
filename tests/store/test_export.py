"""Exported runs come back whole; CSV has a row a sample; bad files are refused."""

import csv
import io
import math
from dataclasses import replace

import orjson
import pytest

from inhouse.core.errors import StoreError, UsageError
from inhouse.core.records import Evidence, Finding, Metric, RunStatus, Series, Severity, Side
from inhouse.quality.answers import Answer, Answers, Label
from inhouse.quality.scorers import Response, Score
from inhouse.store.export import import_json, runs_to_json, samples_to_csv
from inhouse.store.repository import Store


@pytest.fixture
def study(store, make_run, ok_sample, failed_sample) -> str:
    """A finished study with a bench as its part, something of everything in it."""
    study_id = make_run("study")
    bench = make_run(study_id=study_id, model="m", engine="embedded")
    metric = Metric("ttft_s", 0.25, "s", {"streams": 4, "stat": "p95"}, 0.2, 0.3, 40, "bootstrap p95")
    store.add_samples(bench, [ok_sample, failed_sample])
    store.set_metrics(bench, [metric, Metric("decode_tokens_s", 8, "tokens/s", predicted=True)])
    store.add_series(bench, [Series("rss_bytes", "bytes", (0.0, 0.1), (1e9, 1.1e9), {"process": "worker"})])
    store.set_progress(bench, {"done_stages": ["a"]})
    store.finish_run(bench, RunStatus.FAILED, error="half of it")
    evidence = (Evidence(bench, metric),)
    store.set_findings(study_id, 1, [Finding(1, Side.TECHNICAL, Severity.WARNING, "m", {"a": 1.5}, evidence)])
    store.finish_run(study_id, RunStatus.DONE)
    return study_id


def test_an_exported_study_comes_back_whole_in_another_store(store, study, tmp_path):
    text = runs_to_json(store, study)
    with Store(f"sqlite:///{tmp_path / 'other.db'}") as other:
        imported = import_json(other, text.encode())
        assert [run.id for run in imported] == [run.id for run in reversed(store.list_runs())]
        for run in imported:
            assert other.kept_run(run.id) == store.kept_run(run.id)
        assert runs_to_json(other, study) == text


def test_a_part_comes_back_without_its_study(store, study, tmp_path):
    (bench,) = store.list_runs(study_id=study)
    with Store(f"sqlite:///{tmp_path / 'other.db'}") as other:
        import_json(other, runs_to_json(store, bench.id).encode())
        assert other.get_run(bench.id) == replace(bench, study_id=None)


def test_a_run_that_was_running_comes_back_as_interrupted(store, make_run):
    run_id = make_run()
    text = runs_to_json(store, run_id).encode()
    store.delete_run(run_id, force=True)
    import_json(store, text)
    assert store.get_run(run_id).status is RunStatus.INTERRUPTED


def test_what_is_kept_already_is_not_imported_again_not_even_in_part(store, study):
    text = runs_to_json(store, study)
    (bench,) = store.list_runs(study_id=study)
    store.delete_run(study)
    document = orjson.loads(text)
    document["runs"].append(document["runs"][1])
    with pytest.raises(StoreError, match="kept already"):
        import_json(store, orjson.dumps(document))
    assert store.list_runs() == []
    import_json(store, text.encode())
    assert store.get_run(bench.id) == bench


def test_a_csv_has_a_row_a_sample_with_tags_and_engine_timings(store, study, ok_sample):
    read = list(csv.DictReader(io.StringIO(samples_to_csv(store, study))))
    assert [row["error_kind"] for row in read] == ["", "crashed"]
    first = read[0]
    assert first["run_id"] == store.list_runs(study_id=study)[0].id
    assert float(first["ttft_s"]) == ok_sample.ttft_s
    assert float(first["tpot_s"]) == ok_sample.tpot_s
    assert first["stage"] == "streams-2"
    assert first["tag_streams"] == "2"
    assert float(first["engine_prompt_s"]) == 0.5
    assert first["answer"] == ok_sample.answer
    assert read[1]["ttft_s"] == ""


def test_a_run_without_samples_is_a_csv_with_a_heading_only(store, make_run):
    assert samples_to_csv(store, make_run()).count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"runs": []}',
        b'{"format": "inhouse.runs/99", "runs": []}',
        b'{"format": "inhouse.runs/1"}',
        b'{"format": "inhouse.runs/1", "runs": []}',
        b'{"format": "inhouse.runs/1", "runs": [{"run": {"id": "x"}}]}',
    ],
)
def test_a_file_that_is_no_exported_run_is_refused(text):
    with Store("sqlite://") as store, pytest.raises(UsageError):
        import_json(store, text)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("run", "id"), "'; DROP TABLE runs; --"),
        (("run", "status"), "flying"),
        (("run", "created_at"), "yesterday"),
        (("samples",), [{"index": "one"}]),
        (("metrics",), [{"name": "x", "value": "fast", "unit": "s"}]),
    ],
)
def test_a_document_with_a_wrong_value_is_refused_whole(environment, path, value):
    store = Store("sqlite://")
    run_id = store.create_run("bench", {}, seed=0, environment=environment).id
    document = orjson.loads(runs_to_json(store, run_id))
    store.delete_run(run_id, force=True)
    target = document["runs"][0]
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(UsageError, match="cannot be read"):
        import_json(store, orjson.dumps(document))
    assert store.list_runs() == []


def test_an_evaluation_comes_back_with_its_answers_scores_and_labels(store, make_run, tmp_path):
    run_id = make_run("eval")
    kept = Answers(store.database)
    score = Score(0.5, "서울", {"found": 1, "reason": "half"})
    response = Response("서울입니다", "stop", letters=(-0.1, -math.inf))
    one = Answer(
        "s", "1", "p", 0, "d" * 64, "수도는?", response, 3, 7, 2, 0.25, scores={"contains": score}, cluster="k"
    )
    kept.add(run_id, [one, replace(one, item="2", error="it ended", scores={})])
    kept.label(Label(kept.of_run(run_id)[0].id, "mina", 1.0, "fine"))
    store.finish_run(run_id, RunStatus.DONE)
    text = runs_to_json(store, run_id)
    with Store(f"sqlite:///{tmp_path / 'other.db'}") as other:
        import_json(other, text.encode())
        there = Answers(other.database)
        ours, theirs = ([replace(a, id=None) for a in where.of_run(run_id)] for where in (kept, there))
        assert theirs == ours
        assert [(label.person, label.value, label.note) for label in there.labels(run_id)] == [("mina", 1.0, "fine")]
        assert runs_to_json(other, run_id) == text


def test_a_run_exported_before_evaluations_had_answers_is_still_read(store, make_run):
    run_id = make_run()
    document = orjson.loads(runs_to_json(store, run_id))
    del document["runs"][0]["answers"]
    store.delete_run(run_id, force=True)
    assert [run.id for run in import_json(store, orjson.dumps(document))] == [run_id]
