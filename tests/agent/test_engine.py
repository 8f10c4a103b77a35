"""An agent is served as a model: it uses its tools, knows what was said before, and has no effects."""

from __future__ import annotations

import pytest
from scripted_model import NOON, TOOLS, ScriptedModel, call

from inhouse.agent.config import AgentConfig
from inhouse.agent.engine import AgentEngine
from inhouse.core.errors import EngineFailed, EngineRefused, EngineUnavailable, UnsupportedFeature, UsageError
from inhouse.core.settings import Settings
from inhouse.engines.base import ChatRequest, DoneEvent, Message, TextEvent, UsageEvent
from inhouse.gateway.offers import served_agents
from inhouse.gateway.settings import AgentSettings, GatewaySettings

HELLO = (Message("user", "I am Kim."), Message("assistant", "Hello Kim."), Message("user", "1 + 2?"))


async def ask(model: ScriptedModel, *messages: Message, **options):
    engine = AgentEngine(model, AgentConfig("scripted"), TOOLS, clock=lambda: NOON)  # type: ignore[arg-type]
    return [event async for event in engine.chat(ChatRequest("agent", messages, **options))]


async def test_it_answers_in_the_end_with_the_tokens_of_all_its_requests():
    model = ScriptedModel(call("add", '{"a": 1, "b": 2}'), "3, Kim.")
    text, usage, done = await ask(model, *HELLO)

    assert isinstance(text, TextEvent)
    assert isinstance(usage, UsageEvent)
    assert (text.text, usage.prompt_tokens, done.finish_reason) == ("3, Kim.", 200, "stop")
    assert [m.content for m in model.requests[0].messages[1:]] == ["I am Kim.", "Hello Kim.", "1 + 2?"]


async def test_an_effect_is_refused_since_nobody_can_approve_it():
    model = ScriptedModel(call("pay"), "Not paid.")
    text, *_ = await ask(model, Message("user", "pay"))

    assert text.text == "Not paid."
    assert "nobody is here to approve" in model.requests[1].messages[-1].content


async def test_a_model_that_fails_is_the_agent_s_failure():
    with pytest.raises(EngineFailed, match="model failed"):
        await ask(ScriptedModel(*[EngineUnavailable("down")] * 3), Message("user", "hi"))


async def test_a_turn_that_is_stopped_says_so():
    text, _, done = await ask(ScriptedModel(*[call("add", '{"a": 1, "b": 2}')] * 3), Message("user", "loop"))

    assert "a loop" in text.text
    assert isinstance(done, DoneEvent)
    assert done.finish_reason == "length"


async def test_what_an_agent_cannot_take_is_refused():
    with pytest.raises(UnsupportedFeature):
        await ask(ScriptedModel(), Message("user", "hi"), tools=(TOOLS["add"].spec,))
    with pytest.raises(EngineRefused):
        await ask(ScriptedModel(), Message("assistant", "hi"))


def test_the_gateway_s_agents_think_with_its_models():
    agents = served_agents(Settings(), GatewaySettings(agents=[AgentSettings(name="clerk", tools=["clock"])]), ["m"])
    assert agents["agent/clerk"].config.model == "m"
    assert set(agents["agent/clerk"].tools) == {"clock", "read_more"}

    with pytest.raises(UsageError, match="no model of this gateway"):
        served_agents(Settings(), GatewaySettings(agents=[AgentSettings(name="a", model="x")]), ["m"])
