"""pydantic-ai's own agents run on our engines, and their calls are read as ours are."""

from __future__ import annotations

import pytest
from scripted_model import ScriptedModel, call

from inhouse.core.errors import EngineUnavailable

pydantic_ai = pytest.importorskip("pydantic_ai")


def agent(*says):
    from inhouse.agent.pydantic_model import EngineModel

    model = ScriptedModel(*says)
    made = pydantic_ai.Agent(EngineModel(model, "scripted"), instructions="Be brief.", retries=2)

    @made.tool_plain
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    return made, model


@pytest.mark.parametrize(
    "says", [call("add", '{"a": 1, "b": 2}'), "add(a=1, b=2)", "{'name': 'add', 'arguments': {'a': 1, 'b': 2}"]
)
async def test_its_agent_calls_a_tool_however_the_model_wrote_the_call(says):
    made, model = agent(says, "3")
    result = await made.run("1 + 2?")

    assert result.output == "3"
    assert model.requests[0].messages[0].content == "Be brief."
    assert model.requests[1].messages[-1].content == "3"
    assert result.usage.input_tokens == 200


async def test_wrong_arguments_are_told_to_the_model():
    made, model = agent(call("add", '{"a": 1}'), call("add", '{"a": 1, "b": 2}'), "3")

    assert (await made.run("1 + 2?")).output == "3"
    assert "Field required" in model.requests[1].messages[-1].content


async def test_an_engine_s_failure_is_its_model_error():
    made, _ = agent(EngineUnavailable("down"))
    with pytest.raises(pydantic_ai.exceptions.ModelAPIError, match="down"):
        await made.run("hi")
