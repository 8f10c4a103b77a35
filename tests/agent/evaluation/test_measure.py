"""Evaluations try tasks both ways, name what was wrong and what was saved, and keep their figures as a run."""

from __future__ import annotations

import asyncio
import json

import pytest
from scripted_model import ScriptedModel, call

from inhouse.agent.config import AgentConfig
from inhouse.agent.evaluation.attempt import attempt
from inhouse.agent.evaluation.measure import evaluate, pass_k
from inhouse.agent.evaluation.rows import as_schema
from inhouse.agent.evaluation.tasks import load_tasks
from inhouse.core.environment import read_environment
from inhouse.core.errors import EngineUnavailable, UsageError
from inhouse.core.records import RunStatus
from inhouse.store.repository import Store

CONFIG = AgentConfig("scripted")


@pytest.fixture
def folder(tmp_path):
    """Two tasks in BFCL's form, one in FunctionChat's."""
    function = {
        "name": "math.area",
        "description": "Area.",
        "parameters": {
            "type": "dict",
            "properties": {"base": {"type": "integer"}, "height": {"type": "float"}},
            "required": ["base"],
        },
    }
    question = [[{"role": "user", "content": "The area of 10 by 5?"}]]
    rows = [{"id": f"s{n}", "question": question, "function": [function]} for n in range(2)]
    (tmp_path / "BFCL_v4_simple_python.json").write_text("\n".join(map(json.dumps, rows)))
    answers = [{"id": row["id"], "ground_truth": [{"math.area": {"base": [10], "height": [5.0, ""]}}]} for row in rows]
    (tmp_path / "possible_answer").mkdir()
    (tmp_path / "possible_answer/BFCL_v4_simple_python.json").write_text("\n".join(map(json.dumps, answers)))
    (tmp_path / "BFCL_v4_irrelevance.json").write_text(json.dumps({**rows[0], "id": "i0"}))
    single = {
        "function_num": 1,
        "query": [{"serial_num": 1, "content": "노원구 날씨"}],
        "ground_truth": [
            {"serial_num": 1, "content": '{"name": "weather", "arguments": "{\\"place\\": \\"노원구\\"}"}'}
        ],
        "acceptable_arguments": [{"serial_num": 1, "content": '{"place": ["노원", "Nowon-gu"]}'}],
        "tools": [{"type": "exact", "content": [{"type": "function", "function": function}]}],
    }
    (tmp_path / "FunctionChat-Singlecall.jsonl").write_text(json.dumps(single, ensure_ascii=False))
    return tmp_path


RIGHT = call("math_area", '{"base": 10, "height": 5}')


async def test_a_call_written_as_text_is_lost_by_plain_tool_calling_and_saved_by_the_agent(folder):
    task = load_tasks("bfcl", folder, ["simple_python"], None, 0)[0]
    written = "```json\n{'name': 'math_area', 'arguments': {'base': '10'}}\n```"
    plain = await attempt(ScriptedModel(written), CONFIG, task, "plain")
    engine = await attempt(ScriptedModel(written), CONFIG, task, "engine")
    agent = await attempt(ScriptedModel(written), CONFIG, task, "agent")

    assert (plain.fault, engine.fault, agent.fault) == ("no call", "no call", "")
    assert agent.saved == ("form fence", "mended quotes", "mended type")


async def test_a_wrong_call_is_repaired_and_counted_as_such(folder):
    task = load_tasks("bfcl", folder, ["simple_python"], None, 0)[0]
    done = await attempt(ScriptedModel(call("math_area"), RIGHT), CONFIG, task, "agent")

    assert (done.passed, done.saved, done.problems, done.requests) == (True, ("repair",), ("invalid arguments",), 2)
    assert done.usage.tokens == 220


async def test_an_engine_that_fails_is_a_failure_and_no_crash(folder):
    task = load_tasks("bfcl", folder, ["simple_python"], None, 0)[0]
    done = await attempt(ScriptedModel(EngineUnavailable("down")), CONFIG, task, "plain")

    assert done.fault == "engine: unavailable"


async def test_a_needless_call_is_a_failure(folder):
    (task,) = load_tasks("bfcl", folder, ["irrelevance"], None, 0)
    assert (await attempt(ScriptedModel(RIGHT), CONFIG, task, "agent")).fault == "needless call"
    assert (await attempt(ScriptedModel("I cannot tell."), CONFIG, task, "agent")).passed


@pytest.mark.parametrize(
    ("place", "fault"),
    [("노원구", ""), ("노 원구", ""), ("nowon-gu", ""), ("강남구", "wrong value"), (None, "missing argument")],
)
async def test_functionchat_accepts_its_ground_truth_and_what_its_authors_accept(folder, place, fault):
    (task,) = load_tasks("functionchat", folder, ["exact"], None, 0)
    assert task.check([("weather", {} if place is None else {"place": place})]) == fault


async def test_a_run_keeps_every_try_and_its_figures(folder, tmp_path):
    tasks = load_tasks("bfcl", folder, ["simple_python"], None, 0)
    model = ScriptedModel(RIGHT, RIGHT, RIGHT, "I do not know.")
    with Store(f"sqlite:///{tmp_path / 's.db'}") as store:
        run = await evaluate(model, store, tasks, CONFIG, suite="bfcl", trials=2, environment=read_environment())
        found = {
            (m.name, m.labels.get("category"), m.labels.get("k"), m.labels.get("failure")): m
            for m in store.metrics(run.id)
        }
        samples = store.samples(run.id)

    assert found["accuracy", "all", None, None].value == 0.75
    assert found["pass_k", "all", 2, None].value == 0.5
    assert found["failures", "all", None, "no call"].value == 1
    assert found["tokens_per_solved", "all", None, None].value == pytest.approx(440 / 3)
    assert [sample.tags["passed"] for sample in samples] == [True, True, True, False]


def test_pass_k_counts_the_draws_that_all_passed():
    assert [pass_k(3, 4, k) for k in (1, 2, 3, 4)] == [0.75, 0.5, 0.25, 0.0]


def test_bfcls_types_become_json_schemas():
    assert as_schema({"type": "tuple", "items": {"type": "float"}}) == {"type": "array", "items": {"type": "number"}}


def test_a_suite_or_folder_that_is_not_there_is_named(tmp_path):
    for suite, categories in (("other", []), ("bfcl", ["other"]), ("bfcl", ["simple_python"])):
        with pytest.raises(UsageError):
            load_tasks(suite, tmp_path, categories, None, 0)


async def test_an_evaluation_that_is_interrupted_keeps_the_tries_that_there_are(folder, tmp_path):
    def interrupted(request):
        raise asyncio.CancelledError

    tasks = load_tasks("bfcl", folder, ["simple_python"], None, 0)
    with Store(f"sqlite:///{tmp_path / 's.db'}") as store:
        with pytest.raises(asyncio.CancelledError):
            await evaluate(
                ScriptedModel(RIGHT, interrupted), store, tasks, CONFIG, suite="bfcl", environment=read_environment()
            )
        [run] = store.list_runs()
        [sample] = store.samples(run.id)
        accuracy = next(metric for metric in store.metrics(run.id) if metric.name == "accuracy")

    assert (run.status, sample.tags["passed"], accuracy.n) == (RunStatus.INTERRUPTED, True, 1)
