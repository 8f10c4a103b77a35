"""LangChain's agent as the other side: the same tasks, tools and engine, measured in the same place."""

from __future__ import annotations

from functools import partial

import pytest
from scripted_model import NUMBERS, ScriptedModel, call

pytest.importorskip("langchain", reason="the package langchain is not installed")

from inhouse.agent.config import AgentConfig, Limits
from inhouse.agent.evaluation.attempt import attempts
from inhouse.agent.evaluation.dialogue import Dialogue
from inhouse.agent.evaluation.measure import figures
from inhouse.agent.evaluation.sides import try_dialogue
from inhouse.agent.evaluation.tasks import Task
from inhouse.agent.tools.base import Tool, ToolResult
from inhouse.core.errors import EngineUnavailable
from inhouse.engines.base import Message, ToolSpec

CONFIG = AgentConfig("scripted", limits=Limits(steps=4))
SIDES = ("agent", "langchain")


def right(calls) -> str:
    return "" if calls == [("add", {"a": 1, "b": 2})] or calls == (("add", {"a": 1, "b": 2}),) else "wrong value"


TASK = Task("t", "sums", (Message("user", "1 + 2?"),), (ToolSpec("add", "Adds.", NUMBERS),), right)


class Sums:
    """A world of one number (see `dialogue.Course`), to which the person has two numbers added, one in each turn."""

    system = "Add for the customer."

    def __init__(self, engine, config):
        self.sum, self.turn, self.calls, self.seconds = 0, 0, [], 0.0
        self.tools = {"add": Tool("add", "Adds.", NUMBERS, self._add, "effect")}

    async def _add(self, arguments, context):
        self.calls.append(("add", dict(arguments)))
        self.sum += arguments["a"] + arguments["b"]
        return ToolResult(str(self.sum))

    async def say(self, answer):
        self.turn += 1
        return [None, "Add 1 and 2.", "Add 3 and 4.", None][self.turn]

    async def fault(self):
        return "" if self.sum == 10 else "wrong state"


DIALOGUE = Dialogue("d", "sums", "Add 1 and 2.", Sums)


async def test_a_call_on_offer_ends_a_single_try_and_is_not_made():
    for way in SIDES:
        [done] = await attempts(ScriptedModel(call("add", '{"a": 1, "b": 2}')), CONFIG, TASK, (way,))
        assert (done.fault, done.requests, done.usage.tokens) == ("", 1, 110), way
        assert done.framework_s > 0


async def test_each_side_is_told_of_a_tool_that_is_not_there_and_asks_again():
    for way in SIDES:
        model = ScriptedModel(call("plus", '{"a": 1, "b": 2}'), call("add", '{"a": 1, "b": 2}'))
        [done] = await attempts(model, CONFIG, TASK, (way,))
        assert (done.fault, done.requests) == ("", 2), way
        assert model.requests[1].messages[-1].role == "tool"


async def test_both_hold_a_conversation_and_keep_what_was_said():
    for way in SIDES:
        model = ScriptedModel(
            call("add", '{"a": 1, "b": 2}'), "That is 3.", call("add", '{"a": 3, "b": 4}'), "That is 10."
        )
        [done] = await try_dialogue(model, CONFIG, DIALOGUE, (way,))
        assert (done.fault, done.requests, len(done.calls), done.text) == ("", 4, 2, "That is 10."), way
        assert "That is 3." in [message.content for message in model.requests[2].messages]
        assert "Add for the customer." in model.requests[0].messages[0].content
        assert done.framework_s > 0


async def test_endless_calls_and_a_failing_engine_fail_the_task_on_both_sides():
    for way in SIDES:
        calls = [call("add", f'{{"a": 0, "b": {number}}}') for number in range(9)]
        [endless] = await try_dialogue(ScriptedModel(*calls), CONFIG, DIALOGUE, (way,))
        assert (endless.fault, endless.requests) == ("stopped", 4), way
    [down] = await try_dialogue(ScriptedModel(EngineUnavailable("gone")), CONFIG, DIALOGUE, ("langchain",))
    assert down.fault == "engine: unavailable"


async def test_the_figures_hold_success_calls_tokens_and_the_framework_of_each_side():
    answers = partial(ScriptedModel, *[call("add", '{"a": 1, "b": 2}')] * 2)
    found = figures(await attempts(answers(), CONFIG, TASK, SIDES), "sums", 0)
    named = {(one.name, one.labels["way"]) for one in found if one.labels["category"] == "all"}

    for way in SIDES:
        wanted = ("accuracy", "calls_per_try", "tokens_per_try", "requests_per_try", "framework_per_request")
        assert {(name, way) for name in wanted} <= named
