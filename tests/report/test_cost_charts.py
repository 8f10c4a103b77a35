"""The charts of cost are drawn from the plan's kept run, and only from it."""

from datetime import UTC, datetime

import pytest

from inhouse.core.environment import read_environment
from inhouse.plan.assumptions import load_assumptions
from inhouse.plan.comparison import compare, keep
from inhouse.report.cost_charts import cost_charts
from inhouse.report.document import gather
from inhouse.report.language import LANGUAGES, word


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_charts_name_ways_and_assumptions_and_point_to_the_run(empty_store, lang: str):
    study = empty_store.create_run("study", {}, seed=0, environment=read_environment())
    assert cost_charts(gather(empty_store, study.id), lang) == {}
    made = compare(load_assumptions(), datetime(2026, 11, 25, tzinfo=UTC), draws=50)
    run = keep(empty_store, made, read_environment(), study.id, name="ownership")
    charts = cost_charts(gather(empty_store, study.id), lang)
    assert set(charts) == {"cost_bills", "cost_by_users", "cost_swings"}
    for name, chart in charts.items():
        assert chart.run_ids == (run.id,)
        assert chart.predicted
        assert word(lang, f"chart.{name}") in chart.svg
    assert word(lang, "way.own") in charts["cost_bills"].svg
    assert word(lang, "assumption.share.ml") in charts["cost_swings"].svg
