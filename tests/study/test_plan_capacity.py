"""The study's capacity: planned from its own benches, and said with their figures in both languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulated_samples import samples_of, step_by_step

from inhouse.core.environment import read_environment
from inhouse.core.errors import PartSkipped
from inhouse.core.records import RunStatus, Severity
from inhouse.core.settings import get_settings
from inhouse.plan.service import ServiceModel
from inhouse.plan.simulate import Workload
from inhouse.report.language import LANGUAGES
from inhouse.report.message import render
from inhouse.store.repository import Store
from inhouse.study.base import Context, StudyConfig
from inhouse.study.plan import PLAN_PARTS
from inhouse.study.plan_findings import plan_findings

FAST = ServiceModel(slots=4, decode_s=((1, 0.011), (2, 0.016), (4, 0.027)), prompt_s=3e-4, request_s=0.004)
SLOW = ServiceModel(slots=4, decode_s=((1, 0.3), (2, 0.5), (4, 0.9)), prompt_s=2e-2, request_s=0.004)
PARTS = {part.name: part for part in PLAN_PARTS}


@pytest.fixture
def store(tmp_path: Path):
    with Store(f"sqlite:///{tmp_path / 'kept.db'}") as opened:
        yield opened


def studied(store: Store, model: ServiceModel | None) -> Context:
    """A study whose concurrency was measured on a machine of such a model (None: not at all)."""
    config = StudyConfig("smollm2:135m", 60, "en")
    study = store.create_run("study", config.to_dict(), seed=0, environment=read_environment(), model=config.model)
    if model is not None:
        run = store.create_run(
            "bench", {"slots": 4}, seed=0, environment=read_environment(), model=config.model, engine="embedded",
            study_id=study.id,
        )  # fmt: skip
        for streams in (1, 2, 4):
            count = 6 * streams
            work = Workload(
                np.arange(count) * 1e-3, np.full(count, 128) + np.arange(count) % 40, np.full(count, 48), users=streams
            )
            store.add_samples(run.id, samples_of(step_by_step(model, work), f"{streams} streams", streams))
        store.finish_run(run.id, RunStatus.DONE)
        store.set_progress(study.id, {"parts": {"concurrency": {"status": "done", "run": run.id, "phase": 1}}})
    return Context(get_settings(), store, study, config, read_environment(), 10, lambda *_: None)


async def made(context: Context, name: str) -> str:
    run = await PARTS[name].run(context)
    parts = context.store.progress(context.study.id).get("parts", {})
    outcome = {"status": "done", "run": run, "phase": PARTS[name].phase}
    context.store.set_progress(context.study.id, {"parts": {**parts, name: outcome}})
    return run


async def test_a_fast_machine_is_enough_and_the_sentence_stands_on_the_capacity_run(store: Store) -> None:
    context = studied(store, FAST)
    run = await made(context, "capacity")
    found = {one.message: one for one in plan_findings(store, context.study.id)}
    said = found["phase6.capacity"]
    assert said.severity is Severity.GOOD
    assert said.figures["machines"] == 1
    assert {item.run_id for item in said.evidence} == {run}
    assert all(item.metric.predicted for item in said.evidence)
    assert store.get_run(run).config["runs"] == [store.progress(context.study.id)["parts"]["concurrency"]["run"]]


async def test_what_is_kept_at_which_load_and_in_a_rush_is_said_with_its_figures(store: Store) -> None:
    context = studied(store, FAST)
    await made(context, "capacity")
    found = {one.message: one for one in plan_findings(store, context.study.id)}
    at_load = found["phase6.capacity_objective"].figures
    assert at_load["half_ttft_s"] < at_load["high_ttft_s"]
    rush = found["phase6.capacity_rush"].figures
    assert rush["cold_start_s"] == 60
    assert rush["rush_ratio"] == 3
    assert 0 <= rush["rush_percent"] <= 100


async def test_a_slow_machine_keeps_the_objectives_in_no_number(store: Store) -> None:
    context = studied(store, SLOW)
    await made(context, "capacity")
    found = {one.message: one for one in plan_findings(store, context.study.id)}
    assert found["phase6.capacity_none"].severity is Severity.SERIOUS


async def test_without_a_bench_it_is_left_out_and_said_so(store: Store) -> None:
    with pytest.raises(PartSkipped) as caught:
        await PARTS["capacity"].run(studied(store, None))
    assert caught.value.message == "phase6.no_bench"


async def test_the_machine_to_buy_is_predicted_without_any_bench(store: Store) -> None:
    context = studied(store, None)
    await made(context, "gpu_capacity")
    found = {one.message: one for one in plan_findings(store, context.study.id)}
    assert "L40S" in str(found["phase6.gpu_capacity"].figures["machine"])


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("model", [FAST, SLOW], ids=["fast", "slow"])
async def test_no_place_stays_open_in_the_words(store: Store, model: ServiceModel, lang: str) -> None:
    context = studied(store, model)
    await made(context, "capacity")
    if model is FAST:
        await made(context, "gpu_capacity")
    for finding in plan_findings(store, context.study.id):
        said = render(finding, lang)
        for text in (said.title, said.text, said.do):
            assert text, finding.message
            assert "{" not in text, text
            assert "–" not in text, text
