"""LangChain's tools work in our agent, ours in LangChain's."""

from __future__ import annotations

import pytest
from scripted_model import ScriptedModel, Talk, call
from tool_calls_made import context

pytest.importorskip("langchain", reason="the package langchain is not installed")

from langchain.agents import create_agent
from langchain_core.tools import ToolException
from langchain_core.tools import tool as langchain_tool

from inhouse.agent.langchain import EngineChatModel, from_langchain, to_langchain
from inhouse.agent.policy import EffectPolicy
from inhouse.agent.records import CallStatus, Status
from inhouse.agent.tools.registry import tools
from inhouse.core.settings import Settings


@langchain_tool
def divide(a: int, b: int) -> float:
    """Divides a by b."""
    if b == 0:
        raise ToolException("b is zero")
    return a / b


async def test_their_tool_runs_in_our_agent_and_its_failure_is_told():
    model = ScriptedModel(call("divide", '{"a": 6, "b": 3}'), call("divide", '{"a": 6, "b": 0}'), "Done.")
    talk = Talk(model, tools={"divide": from_langchain(divide, effect="none")})
    await talk.say("6 / 3?")
    ended = [one for step in talk.journal.steps for one in step.calls]

    assert [(one.status, one.content) for one in ended] == [
        (CallStatus.DONE, "2.0"),
        (CallStatus.FAILED, "Error: b is zero"),
    ]
    assert ended[0].tainted


async def test_their_tool_counts_as_having_an_effect_unless_it_is_said_otherwise():
    talk = Talk(
        ScriptedModel(call("divide", '{"a": 6, "b": 3}')),
        tools={"divide": from_langchain(divide)},
        options={"policy": EffectPolicy()},
    )
    assert (await talk.say("6 / 3?")).status is Status.WAITING


async def test_our_tool_runs_in_their_agent_on_our_engine():
    calculator = to_langchain(tools(["calculator"], Settings())["calculator"], context)
    model = ScriptedModel(
        call("calculator", '{"expression": "15% of 240"}'),
        call("calculator", '{"expression": "1/0"}'),
        lambda request: f"It is {request.messages[-3].content}; {request.messages[-1].content}",
    )
    agent = create_agent(EngineChatModel(engine=model, model="scripted"), [calculator])
    done = await agent.ainvoke({"messages": [("user", "15% of 240?")]})

    assert done["messages"][-1].content == "It is 36; That divides by zero"
    assert model.requests[0].tools[0].parameters["required"] == ["expression"]
