"""Tables bring together the figures that belong together, each cell with its run; and no others."""

from kept_study import ENVIRONMENT

from inhouse.core.records import Metric, RunStatus
from inhouse.report.document import gather
from inhouse.report.tables import concurrency, heading, key_figures, pivot, prompt_length, tables


def names(table):
    return [column.id for column in table.columns]


def add_bench(store, study, metrics, *, name="more", model=None):
    run = store.create_run(
        "bench", {"name": name}, seed=0, environment=ENVIRONMENT, model=model or study.model, study_id=study.id
    )
    store.set_metrics(run.id, metrics)
    store.finish_run(run.id, RunStatus.DONE)
    return run


def test_a_study_gives_a_table_for_each_thing_measured(document):
    assert set(tables(document)) == {"concurrency", "prompt_length", "memory", "cold_start", "download"}


def test_concurrency_is_by_streams_and_from_the_run_that_varied_them(document):
    table = tables(document)["concurrency"]
    assert [row.key for row in table.rows] == [(1,), (2,), (4,), (8,)]
    assert len(table.run_ids) == 1
    assert [cell.metric.value for _, cell in table.points("output_tokens_s")] == [22.0, 31.4, 40.1, 41.2]


def test_prompt_length_takes_no_point_from_the_concurrency_run(document):
    table = tables(document)["prompt_length"]
    assert [row.key for row in table.rows] == [(64,), (256,), (1024,), (2048,)]
    assert len(table.run_ids) == 1


def test_the_tail_is_p95_where_every_row_has_it_and_p90_otherwise(store, study, document):
    assert "ttft_s.p95" in names(concurrency(document))
    assert "ttft_s.p90" not in names(concurrency(document))
    few = [
        Metric("ttft_s", 1.0 + length / 100, "s", {"streams": 1, "prompt_tokens": length, "stat": stat})
        for length in (10, 20, 30, 40, 50)
        for stat in ("p50", "p90", "p95")
        if (length, stat) != (50, "p95")  # the longest had too few requests for a p95
    ]
    add_bench(store, study, few)
    assert names(prompt_length(gather(store, study.id))) == ["ttft_s.p50", "ttft_s.p90"]


def test_a_prediction_for_another_model_is_not_among_the_measured_memory(document):
    table = tables(document)["memory"]
    assert len(table.rows) == 5
    assert all(row.cells[0] is not None for row in table.rows)
    assert {cell.metric.labels.get("model") for _, cell in table.points("memory_estimate_bytes")} == {None}


def test_a_warm_start_stands_before_a_cold_one(document):
    assert [row.key for row in tables(document)["cold_start"].rows] == [("warm",), ("cold",)]


def test_what_was_not_measured_leaves_a_gap_and_no_zero(store, study):
    add_bench(
        store,
        study,
        [Metric("output_tokens_s", n * 10, "1/s", {"streams": n}) for n in (1, 2, 4, 8, 16)]
        + [Metric("error_rate", 0.5, "", {"streams": 16})],
    )
    table = concurrency(gather(store, study.id))
    assert [row.cells[names(table).index("error_rate")] for row in table.rows][:4] == [None] * 4


def test_one_point_is_no_sweep(empty_store):
    study = empty_store.create_run("study", {}, seed=0, environment=ENVIRONMENT, model="m")
    add_bench(empty_store, study, [Metric("output_tokens_s", 10, "1/s", {"streams": 1})])
    assert tables(gather(empty_store, study.id)) == {}


def test_a_heading_says_the_unit_and_whether_its_figures_are_predictions(document):
    table = tables(document)["memory"]
    measured, estimate = heading(table, 0, "ko"), heading(table, 1, "ko")
    assert (measured.name, measured.unit, measured.predicted) == ("메모리 실측치", "GB", False)
    assert estimate.predicted


def test_the_key_figures_are_those_a_reader_asks_for_first(document):
    found = {key.name: key for key in key_figures(tables(document))}
    assert list(found) == ["ttft", "decode", "throughput", "memory", "cold_start"]
    assert found["ttft"].evidence.metric.labels["streams"] == 1
    assert found["throughput"].figures["streams"] == 8
    assert found["memory"].figures == {"context": 4096, "slots": 4}
    assert found["cold_start"].evidence.metric.value == 1.62


def test_a_runs_statistics_come_together_and_nothing_is_lost(document):
    for record in document.runs:
        table = pivot(record)
        shown = [metric for _, stats in table.spread for metric in stats.values()] + list(table.single)
        assert sorted(map(id, shown)) == sorted(map(id, record.metrics))
