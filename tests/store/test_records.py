"""What is kept comes back as it was, on each database."""

import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inhouse.core.errors import RunNotFound, StoreError, UsageError
from inhouse.core.records import Evidence, Finding, Metric, RunStatus, Sample, Series, Severity, Side
from inhouse.store.repository import SampleCount, Store


def test_a_run_comes_back_as_it_was_made(store, environment):
    config = {"stages": [{"name": "one", "streams": 1}], "text": "한국어", "limit": None, "share": 0.25}
    made = store.create_run("bench", config, seed=2**62, environment=environment, model="m:1", engine="embedded")
    assert made.status is RunStatus.RUNNING
    assert store.get_run(made.id) == made
    assert made.created_at.utcoffset() == timedelta(0)


def test_a_finished_run_says_how_and_when_it_ended(store, make_run):
    done, failed = make_run(), make_run()
    assert store.finish_run(done, RunStatus.DONE).ended_at is not None
    ended = store.finish_run(failed, RunStatus.FAILED, error="the engine is down")
    assert (ended.status, ended.error) == (RunStatus.FAILED, "the engine is down")
    assert store.get_run(failed) == ended


def test_the_environment_can_be_completed_later(store, make_run, environment):
    run_id = make_run()
    measured = replace(environment, memory_bandwidth_bytes_s=19.0e9, gpus=())
    store.set_environment(run_id, measured)
    assert store.get_run(run_id).environment == measured


def test_progress_is_replaced_as_a_whole(store, make_run):
    run_id = make_run()
    assert store.progress(run_id) == {}
    store.set_progress(run_id, {"done_stages": ["a"], "knee": {"rate": 2.5}})
    store.set_progress(run_id, {"done_stages": ["a", "b"]})
    assert store.progress(run_id) == {"done_stages": ["a", "b"]}


def test_samples_come_back_exactly_and_in_order(store, make_run, ok_sample, failed_sample):
    run_id = make_run()
    store.add_samples(run_id, [ok_sample, failed_sample])
    store.add_samples(run_id, (replace(ok_sample, index=i) for i in (9, 5)))
    store.add_samples(run_id, [])
    assert store.samples(run_id) == [
        ok_sample,
        failed_sample,
        replace(ok_sample, index=9),
        replace(ok_sample, index=5),
    ]


def test_samples_are_found_counted_and_removed_by_stage(store, make_run, ok_sample, failed_sample):
    run_id, other = make_run(), make_run()
    later = replace(ok_sample, tags={"stage": "streams-4"})
    store.add_samples(run_id, [ok_sample, ok_sample, failed_sample, later])
    store.add_samples(other, [ok_sample])
    assert store.samples(run_id, stage="streams-4") == [later]
    assert store.sample_counts(run_id) == [
        SampleCount("streams-2", None, 2),
        SampleCount("streams-2", "crashed", 1),
        SampleCount("streams-4", None, 1),
    ]
    assert store.delete_samples(run_id, stage="streams-2") == 3
    assert store.samples(run_id) == [later]
    assert len(store.samples(other)) == 1


def test_an_answer_with_characters_that_no_database_takes_is_kept_without_them(store, make_run, ok_sample):
    run_id = make_run()
    store.add_samples(run_id, [replace(ok_sample, answer="a\0b\ud800c", tags={"text": "\udfff\0", "big": 2**70})])
    (kept,) = store.samples(run_id)
    assert kept.answer == "a\N{REPLACEMENT CHARACTER}b?c"
    assert kept.tags["text"] == "?\0"


def test_metrics_are_replaced_by_set_and_extended_by_add(store, make_run):
    run_id = make_run()
    ttft = Metric("ttft_s", 0.25, "s", {"streams": 4, "stat": "p95"}, 0.2, 0.3, 40, "bootstrap p95")
    predicted = Metric("decode_tokens_s", 8.0, "tokens/s", method="predicted: bandwidth roofline", predicted=True)
    store.set_metrics(run_id, [predicted])
    store.set_metrics(run_id, [ttft])
    store.add_metrics(run_id, [predicted])
    assert store.metrics(run_id) == [ttft, predicted]


def test_series_come_back_exactly(store, make_run):
    run_id = make_run()
    rss = Series("rss_bytes", "bytes", (0.0, 0.1, 0.2), (1e9, 1.5e9, 2**40 + 0.5), {"process": "worker"})
    empty = Series("gpu_percent", "%", (), ())
    store.add_series(run_id, [rss, empty])
    assert store.series(run_id) == [rss, empty]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_refused(store, make_run, value):
    run_id = make_run()
    with pytest.raises(StoreError, match="ttft_s"):
        store.add_metrics(run_id, [Metric("ttft_s", value, "s")])
    with pytest.raises(StoreError, match="rss_bytes"):
        store.add_series(run_id, [Series("rss_bytes", "bytes", (0.0,), (value,))])
    with pytest.raises(StoreError, match="rss_bytes"):
        store.add_series(run_id, [Series("rss_bytes", "bytes", (0.0, 1.0), (1.0,))])


def test_findings_are_replaced_a_phase_at_a_time(store, make_run):
    study, bench = make_run("study"), make_run()
    evidence = Evidence(bench, Metric("ttft_s", 0.25, "s", {"streams": 4}, 0.2, 0.3, 40))
    slow = Finding(1, Side.OPERATIONAL, Severity.SERIOUS, "phase1.ttft", {"ratio": 3.5, "ok": False}, (evidence,))
    missing = Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.no_gpu", {"why": None})
    judged = Finding(2, Side.BUSINESS, Severity.BLOCKER, "phase2.wrong", {})
    store.set_findings(study, 2, [judged])
    store.set_findings(study, 1, [missing])
    store.set_findings(study, 1, [slow, missing])
    assert store.findings(study) == [slow, missing, judged]


def test_nothing_is_kept_under_a_run_that_does_not_exist(store, ok_sample):
    missing = "0" * 26
    for keep in (
        lambda: store.add_samples(missing, [ok_sample]),
        lambda: store.set_metrics(missing, []),
        lambda: store.set_progress(missing, {}),
        lambda: store.progress(missing),
        lambda: store.finish_run(missing, RunStatus.DONE),
        lambda: store.claim_run(missing),
        lambda: store.delete_run(missing),
        lambda: store.set_findings(missing, 1, []),
    ):
        with pytest.raises(RunNotFound):
            keep()


def test_a_batch_of_samples_is_kept_whole_or_not_at_all(store, make_run, ok_sample):
    run_id = make_run()
    with pytest.raises(StoreError):
        store.add_samples(run_id, [ok_sample, replace(ok_sample, start_s=None)])  # type: ignore[arg-type]
    assert store.samples(run_id) == []


def test_a_seed_beyond_the_database_is_a_clear_error(store, environment):
    with pytest.raises(StoreError):
        store.create_run("bench", {}, seed=2**70, environment=environment)


def test_runs_are_listed_newest_first_and_by_each_filter(store, environment):
    def begin(kind, model, engine):
        return store.create_run(kind, {}, seed=0, environment=environment, model=model, engine=engine)

    first, second, third = begin("bench", "a", "embedded"), begin("pull", "a", None), begin("bench", "b", "ollama")
    store.finish_run(third.id, RunStatus.DONE)
    ids = [run.id for run in store.list_runs()]
    assert ids == [third.id, second.id, first.id]
    assert [run.id for run in store.list_runs(kind="bench")] == [third.id, first.id]
    assert [run.id for run in store.list_runs(model="a", kind="pull")] == [second.id]
    assert [run.id for run in store.list_runs(engine="ollama")] == [third.id]
    assert [run.id for run in store.list_runs(status=RunStatus.RUNNING)] == [second.id, first.id]
    assert [run.id for run in store.list_runs(limit=1)] == [third.id]
    assert store.list_runs(kind="study") == []


def test_a_run_is_found_by_prefix_and_as_the_last(store, make_run):
    study = make_run("study")
    bench = make_run()
    assert store.get_run(bench[:10].upper()).id == bench
    assert store.get_run("last").id == bench
    assert store.get_run("last", kind="study").id == study
    with pytest.raises(UsageError, match="fits several"):
        store.get_run(bench[:3])
    for wrong in ("%", "_", "zzz", bench + "0"):
        with pytest.raises(RunNotFound):
            store.get_run(wrong)
    with pytest.raises(UsageError):
        store.get_run(" ")


def test_an_empty_store_has_no_last_run(store):
    with pytest.raises(RunNotFound, match="no study yet"):
        store.get_run("last", kind="study")


def test_ids_stay_in_order_within_a_millisecond_and_when_the_clock_goes_back(database_url, environment):
    now = datetime(2030, 1, 1, tzinfo=UTC)
    times = iter([now, now, now - timedelta(hours=1), now + timedelta(seconds=1)])
    with Store(database_url, clock=lambda: next(times)) as store:
        ids = [store.create_run("bench", {}, seed=0, environment=environment).id for _ in range(4)]
    assert ids == sorted(ids)
    assert len({run_id[:10] for run_id in ids}) == 4


def test_removing_a_study_removes_its_runs_and_all_their_records(store, make_run, ok_sample):
    study = make_run("study")
    part, other = make_run(study_id=study), make_run()
    for run_id in (part, other):
        store.add_samples(run_id, [ok_sample])
        store.set_metrics(run_id, [Metric("requests", 1, "")])
        store.add_series(run_id, [Series("rss_bytes", "bytes", (0.0,), (1.0,))])
    store.set_findings(study, 1, [Finding(1, Side.TECHNICAL, Severity.INFO, "m", {})])
    for run_id in (study, part):
        store.finish_run(run_id, RunStatus.DONE)
    assert [run.id for run in store.list_runs(study_id=study)] == [part]
    store.delete_run(study)
    assert [run.id for run in store.list_runs()] == [other]
    assert store.samples(part) == store.metrics(part) == store.series(part) == store.findings(study) == []
    assert len(store.samples(other)) == len(store.metrics(other)) == len(store.series(other)) == 1


def test_a_part_needs_its_study(store, environment):
    with pytest.raises(RunNotFound):
        store.create_run("bench", {}, seed=0, environment=environment, study_id="0" * 26)


def test_ten_thousand_samples_are_kept_and_read_within_seconds(store, make_run, ok_sample):
    run_id = make_run()
    token_times = tuple(i / 50 for i in range(100))
    many = [replace(ok_sample, index=i, token_times_s=token_times) for i in range(10_000)]
    began = time.perf_counter()
    store.add_samples(run_id, many)
    assert store.samples(run_id) == many
    # About 1 s on one quiet core; the bar only catches a row a round trip.
    assert time.perf_counter() - began < 15


@pytest.fixture(scope="module")
def shared_store():
    with Store("sqlite://") as opened:
        yield opened


numbers = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | numbers | st.text()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(numbers, max_size=20).map(tuple),
    tags=st.dictionaries(st.text(), scalars, max_size=4),
    timings=st.dictionaries(st.text(), numbers, max_size=3),
    answer=st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    tokens=st.none() | st.integers(0, 2**31 - 1),
)
def test_any_sample_survives(shared_store, environment, times, tags, timings, answer, tokens):
    run = shared_store.create_run("bench", {}, seed=0, environment=environment)
    first = times[0] if times else None
    sample = Sample(
        index=3, intended_start_s=0.0, start_s=sys.float_info.min, end_s=1.0, first_token_s=first,
        token_times_s=times, completion_tokens=tokens, tags=tags, engine_timings=timings, answer=answer,
    )  # fmt: skip
    shared_store.add_samples(run.id, [sample])
    assert shared_store.samples(run.id) == [sample]
