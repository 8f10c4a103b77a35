"""A turn of a conversation as its page drives it: through the gateway's own pipeline, kept, stopped, approved."""

from __future__ import annotations

import asyncio

import pytest
from talking_engine import TalkingEngine

from inhouse.agent.config import AgentConfig
from inhouse.agent.records import CallStatus, Status, StepKind
from inhouse.agent.replay import journal_bytes, replay
from inhouse.agent.tools.base import Tool, ToolResult
from inhouse.core.errors import ConversationNotFound, Forbidden, ModelNotServed, RateLimited
from inhouse.gateway.identity import Caller, KeyLimits
from inhouse.gateway.offers import ServedAgent
from inhouse.gateway.web.talk import API, Parameters, Piece, Talks

ME = Caller("me", "me")


async def begin(talks, caller=ME, model="parrot", **chosen):
    config = await talks.config(caller, Parameters(model, **chosen))
    return talks.conversations.create(config, title="t", person=f"key:{caller.key_id}")


async def told(talks, conversation, text, caller=ME, decisions=None):
    return [one async for one in talks.tell(caller, conversation, text, decisions)]


async def settled(talks, conversation, *, steps):
    """The conversation once its driver has let go of it, with so many steps."""
    for _ in range(400):
        found = talks.conversations.get(conversation.id)
        kept = talks.conversations.steps(conversation.id)
        if found.status is not Status.RUNNING and len(kept) == steps:
            return found, kept
        await asyncio.sleep(0.01)
    raise AssertionError(f"{found.status}, {[(s.kind, s.text) for s in kept]}")


async def test_an_answer_comes_in_pieces_is_kept_and_stands_in_the_ledger(start):
    running = await start()
    talks = Talks(running.gateway)
    conversation = await begin(talks, system="Be kind.", temperature=0.25, top_p=0.5, max_tokens=50)
    events = await told(talks, conversation, "one two three")
    assert [one.text for one in events if isinstance(one, Piece)] == ["one", " two", " three"]
    found, (said, answer) = await settled(talks, conversation, steps=2)
    assert (said.text, answer.text, found.status) == ("one two three", "one two three", Status.IDLE)
    (row,) = running.rows()
    assert (row["id"], row["api"], row["key_id"]) == (answer.data["about"]["request"], API, "me")
    assert (row["completion_tokens"], row["status"]) == (3, 200)
    (request,) = running.engine.requests
    assert [(m.role, m.content) for m in request.messages] == [("system", "Be kind."), ("user", "one two three")]
    assert (request.temperature, request.top_p, request.max_tokens) == (0.25, 0.5, 50)


async def test_without_a_system_prompt_none_is_sent_and_what_was_said_before_is(start):
    running = await start()
    talks = Talks(running.gateway)
    conversation = await begin(talks)
    await told(talks, conversation, "first")
    await told(talks, conversation, "second")
    assert [m.role for m in running.engine.requests[-1].messages] == ["user", "assistant", "user"]


async def test_a_stopped_answer_keeps_what_has_come_and_the_conversation_goes_on(start):
    running = await start()
    running.engine.word_s = 0.05
    talks = Talks(running.gateway)
    conversation = await begin(talks)
    stream = talks.tell(ME, conversation, " ".join(map(str, range(100))))
    async for one in stream:
        if isinstance(one, Piece) and "3" in one.text:
            break
    await stream.aclose()
    found, (_, answer) = await settled(talks, conversation, steps=2)
    assert answer.text.startswith("0 1 2 3")
    assert len(answer.text.split()) < 20
    assert found.status is Status.IDLE
    assert running.engine.left_early == 1, "the engine does not write for nobody"
    for _ in range(100):
        if running.rows():
            break
        await asyncio.sleep(0.02)
    assert running.rows()[0]["status"] == 499
    running.engine.word_s = 0
    await told(talks, found, "go on")
    assert running.engine.requests[-1].messages[1].content == answer.text
    recorded = talks.conversations.steps(conversation.id)
    assert journal_bytes(await replay(found, recorded)) == journal_bytes(recorded)


async def test_an_answer_stopped_before_its_first_word_says_so_and_can_be_asked_for_again(start):
    running = await start()
    talks = Talks(running.gateway)
    conversation = await begin(talks)
    running.engine.fails = None
    running.engine.word_s = 5.0
    stream = talks.tell(ME, conversation, "hello")
    await anext(stream)  # what was said is kept
    await asyncio.sleep(0.05)
    await stream.aclose()
    found, kept = await settled(talks, conversation, steps=2)
    assert [step.kind for step in kept] == [StepKind.INPUT, StepKind.STOP]
    assert (kept[-1].data["stopped"], found.status) == (True, Status.STOPPED)
    running.engine.word_s = 0
    await told(talks, found, None)
    _, kept = await settled(talks, conversation, steps=3)
    assert kept[-1].text == "hello"


async def test_limits_hold_and_are_told_and_kept(start):
    running = await start()
    talks = Talks(running.gateway)
    slow = Caller("slow", "slow", limits=KeyLimits(requests_per_minute=1))
    conversation = await begin(talks, slow)
    await told(talks, conversation, "one", slow)
    *_, last = await told(talks, conversation, "two", slow)
    assert last.kind is StepKind.STOP
    assert "requests" in last.text
    for _ in range(200):  # a refusal's row is written with the next batch
        if 429 in (statuses := [row["status"] for row in running.rows()]):
            break
        await asyncio.sleep(0.02)
    assert statuses == [200, 429]
    assert RateLimited.http_status == 429


async def test_a_model_outside_the_keys_scope_is_refused(start):
    running = await start(TalkingEngine("parrot", "crow"))
    talks = Talks(running.gateway)
    narrow = Caller("narrow", "narrow", models=("parrot",))
    with pytest.raises(Forbidden):
        await begin(talks, narrow, "crow")
    with pytest.raises(ModelNotServed):
        await begin(talks, narrow, "owl")
    conversation = await begin(talks, ME, "crow")
    with pytest.raises(Forbidden):
        await told(talks, conversation, "hello", narrow)


async def test_a_conversation_is_nobody_elses(start):
    talks = Talks((await start()).gateway)
    mine = await begin(talks)
    assert talks.of(ME, mine.id).id == mine.id
    admin = Caller("boss", "boss", role="admin")
    for caller, wanted in ((admin, mine.id), (ME, mine.id[:8]), (ME, "last"), (ME, "")):
        with pytest.raises(ConversationNotFound):
            talks.of(caller, wanted)


def ticketing(done):
    async def run(arguments, context):
        done.append((dict(arguments), context.person))
        return ToolResult("opened")

    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return Tool("ticket", "Opens a ticket.", schema, run, effect="effect")


async def agents(start, done):
    agent = ServedAgent(AgentConfig("parrot", tools=("ticket",)), {"ticket": ticketing(done)})
    engine = TalkingEngine("parrot", "agent/desk")
    return Talks((running := await start(engine, agents={"agent/desk": agent})).gateway), running


async def test_a_tool_with_an_effect_waits_for_its_approval_and_runs_once_it_is_given(start):
    done = []
    talks, running = await agents(start, done)
    caller = Caller("me", "me", models=("agent/desk",))
    conversation = await begin(talks, caller, "agent/desk")
    *_, step = await told(talks, conversation, "Seoul", caller)
    (call,) = step.calls
    assert (call.status, call.name, dict(call.arguments), done) == (CallStatus.WAITING, "ticket", {"city": "Seoul"}, [])
    waiting, _ = await settled(talks, conversation, steps=2)
    assert waiting.status is Status.WAITING
    await told(talks, waiting, None, caller, {(call.step, call.index): True})
    found, kept = await settled(talks, conversation, steps=3)
    assert done == [({"city": "Seoul"}, "key:me")]
    assert (kept[1].calls[0].status, kept[2].text, found.status) == (CallStatus.DONE, "opened", Status.IDLE)
    assert {(row["api"], row["model"]) for row in running.rows()} == {(API, "parrot")}


async def test_a_refused_call_is_not_made(start):
    done = []
    talks, _ = await agents(start, done)
    conversation = await begin(talks, ME, "agent/desk")
    await told(talks, conversation, "Seoul")
    waiting, _ = await settled(talks, conversation, steps=2)
    await told(talks, waiting, None, ME, {(1, 0): False})
    _, kept = await settled(talks, conversation, steps=3)
    assert (done, kept[1].calls[0].status) == ([], CallStatus.REFUSED)


async def test_a_key_without_the_agents_model_cannot_ask_that_by_itself(start):
    talks, _ = await agents(start, [])
    with pytest.raises(Forbidden):
        await begin(talks, Caller("me", "me", models=("agent/desk",)), "parrot")
