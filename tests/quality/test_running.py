"""Runs that are kept, taken over from the cache, gone on with, compared and held against bars."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from talking_engine import TalkingEngine

from inhouse.core.environment import read_environment
from inhouse.core.errors import EngineFailed, QualityError
from inhouse.core.records import RunStatus
from inhouse.quality.answers import Answers, Label
from inhouse.quality.compare import compare_evals
from inhouse.quality.gate import check_bars, headlines, junit
from inhouse.quality.judge import judged
from inhouse.quality.runner import EvalPlan, evaluate
from inhouse.quality.session import Session
from inhouse.quality.suite import Item, Prompt, Sampling, ScorerUse, Suite, cases_of
from inhouse.store.repository import Store


def suite(n=40, right=lambda i: i % 4 != 0, **changes):
    """Items whose question the engine says back: right where the target stands in it."""
    items = tuple(
        Item(str(i), {"q": f"word{i}"}, (f"word{i}" if right(i) else "other",), cluster=str(i)) for i in range(n)
    )
    return Suite(
        "echo", {"en": "Echo"}, "en", "Apache-2.0", "made here", "text", (Prompt("p", "{q}"),),
        (ScorerUse("contains"),), items, sampling=Sampling(max_tokens=8), **changes,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    with Store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


async def run(store, engine, suites, plan=EvalPlan(("echo",), concurrency=4), **more):
    return await evaluate(engine, store, suites, plan, model="parrot", environment=read_environment(), **more)


async def test_every_answer_is_kept_with_its_score_and_the_figure_has_an_interval(store):
    done = await run(store, TalkingEngine(), [suite()])
    answers = Answers(store.database).of_run(done.id)
    assert len(answers) == 40
    assert all(one.question in one.response.text for one in answers)
    figure = headlines(store.metrics(done.id), {"echo": "contains"})["echo"]
    assert (figure.value, figure.n) == (0.75, 40)
    assert figure.low < 0.75 < figure.high
    assert len(store.samples(done.id)) == 40


async def test_what_was_answered_before_is_not_asked_again_unless_told(store):
    engine = TalkingEngine()
    first = await run(store, engine, [suite()])
    second = await run(store, engine, [suite()])
    assert len(engine.requests) == 40
    assert {one.cached_from for one in Answers(store.database).of_run(second.id)} == {first.id}
    await run(store, engine, [suite()], EvalPlan(("echo",), fresh=True))
    assert len(engine.requests) == 80


async def test_a_stopped_run_goes_on_with_what_is_left(store):
    engine = TalkingEngine()
    engine.word_s = 0.05
    task = asyncio.create_task(run(store, engine, [suite()]))
    await asyncio.sleep(0.4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stopped = store.list_runs(kind="eval")[0]
    kept = len(Answers(store.database).of_run(stopped.id))
    assert stopped.status is RunStatus.INTERRUPTED
    assert 0 < kept < 40
    engine.word_s, engine.requests = 0.0, []
    done = await run(store, engine, [suite()], run_id=stopped.id)
    assert done.status is RunStatus.DONE
    assert len(engine.requests) == 40 - kept
    assert len(Answers(store.database).of_run(done.id)) == 40


async def test_an_end_while_answers_are_being_written_keeps_each_once(store):
    begun = store.create_run("eval", {}, seed=0, environment=read_environment(), model="parrot")
    case = cases_of(suite())[0]
    with ThreadPoolExecutor(1) as other:
        async with Session(TalkingEngine(), store, begun, model="parrot") as session:
            await session.answer(case, {}, frozenset({"text"}))
            holding = other.submit(hold_the_database, store, 1.8)
            await asyncio.sleep(1.3)  # the write that comes every second has begun and waits
        holding.result()
    assert len(Answers(store.database).of_run(begun.id)) == 1


def hold_the_database(store, seconds):
    with store.database.write():
        time.sleep(seconds)


async def test_a_run_does_not_go_on_with_suites_that_changed(store):
    engine = TalkingEngine()
    engine.fails = EngineFailed("down")
    with pytest.raises(EngineFailed):
        await run(store, engine, [suite()])
    failed = store.list_runs(kind="eval")[0]
    assert failed.status is RunStatus.FAILED
    with pytest.raises(QualityError, match="changed since"):
        await run(store, engine, [suite(n=41)], run_id=failed.id)


async def test_a_run_ends_early_once_its_interval_is_narrow_enough(store):
    plan = EvalPlan(("echo",), half_width=0.1, concurrency=2)
    done = await run(store, TalkingEngine(), [suite(n=1500)], plan)
    figure = headlines(store.metrics(done.id), {"echo": "contains"})["echo"]
    assert figure.n < 600
    assert figure.method == "confidence sequence"
    assert figure.high - figure.low <= 0.2
    assert figure.low < 0.75 < figure.high


async def test_a_run_ends_when_its_time_is_up(store):
    engine = TalkingEngine()
    engine.word_s = 0.02
    done = await run(store, engine, [suite(n=500)], EvalPlan(("echo",), budget_s=0.5))
    assert 1 <= len(Answers(store.database).of_run(done.id)) < 100


async def test_a_comparison_tells_a_real_difference_from_noise(store):
    engine = TalkingEngine()
    before = await run(store, engine, [suite(n=120)])
    same = await run(store, engine, [suite(n=120, right=lambda i: i % 4 != 1)])
    worse = await run(store, engine, [suite(n=120, right=lambda i: i % 4 == 1)])
    assert compare_evals(store, before.id, same.id).rows[0].verdict == "within noise"
    assert compare_evals(store, before.id, worse.id).rows[0].verdict == "worse"


async def test_a_bar_fails_a_run_beyond_noise_only(store):
    done = await run(store, TalkingEngine(), [suite()])
    figures = headlines(store.metrics(done.id), {"echo": "contains"})
    assert check_bars(figures, {"echo": 0.8})[0].passed
    failed = check_bars(figures, {"echo": 0.95})
    assert not failed[0].passed
    assert "n = 40" in junit(failed, figures, seconds=1.0)
    assert 'failures="1"' in junit(failed, figures, seconds=1.0)


async def test_peoples_labels_measure_a_scorer(store):
    done = await run(store, TalkingEngine(), [suite()])
    kept = Answers(store.database)
    for place, one in enumerate(kept.of_run(done.id)):
        value = one.scores["contains"].value
        kept.label(Label(one.id, "mina", 1 - value if place < 4 else value))
    found = judged(kept.of_run(done.id), kept.labels(done.id), "contains")
    assert found.agreement.value == 0.9
    assert found.kappa.low < found.kappa.value < 1


async def test_clusters_and_repeats_widen_the_interval(store):
    base = suite(n=40)
    alike = replace(base, items=tuple(replace(item, cluster=str(int(item.id) // 8)) for item in base.items))
    narrow = await run(store, TalkingEngine(), [base])
    wide = await run(store, TalkingEngine(), [replace(alike, sampling=Sampling(samples=2, max_tokens=8))])
    a, b = (headlines(store.metrics(one.id), {"echo": "contains"})["echo"] for one in (narrow, wide))
    assert (b.n, b.method) == (80, "Wilson, clustered")
    assert a.method == "Wilson"
