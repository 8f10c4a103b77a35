"""Agents behind the gateway: answered as models, with a conversation that is kept for the key that began it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime

import httpx
import openai
import pytest
from scripted_model import TOOLS, ScriptedModel, call

from inhouse.agent.config import AgentConfig
from inhouse.agent.conversations import Conversations
from inhouse.agent.records import CallRecord, CallStatus, Status, Step, StepKind
from inhouse.agent.replay import journal_bytes, replay
from inhouse.core.errors import EngineRefused
from inhouse.engines.base import ChatRequest, Health, Message
from inhouse.gateway.agents import AgentsUpstream
from inhouse.gateway.base import Route
from inhouse.gateway.cache import AnswerCache
from inhouse.gateway.cache_store import MemoryStore
from inhouse.gateway.failover import Router
from inhouse.gateway.guard.guard import Guard
from inhouse.gateway.guard.policy import parse_policy
from inhouse.gateway.identity import LOCAL_CALLER
from inhouse.gateway.offers import ServedAgent
from inhouse.gateway.pool import Offer
from inhouse.gateway.replica import Replica
from inhouse.store.database import Database

ADD = call("add", '{"a": 1, "b": 2}')


class Model(ScriptedModel):
    """A whole engine as the router wants one."""

    async def models(self):
        return ()

    async def health(self):
        return Health(True)

    async def loaded(self):
        return ()

    async def close(self):
        pass


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def kept(store_url):
    database = Database(store_url)
    yield Conversations(database)
    database.close()


@pytest.fixture
def serve(start, model, kept):
    """Starts a gateway with the agent clerk on the scripted model."""

    async def begin(tools=("add",), **parts):
        router = Router({"m": Offer((Replica("scripted", model, "m", 4),))})
        agents = {
            "agent/clerk": ServedAgent(AgentConfig("m", tools=tuple(tools)), {name: TOOLS[name] for name in tools})
        }
        parts = {"cache": AnswerCache(MemoryStore(), scope="all"), **parts}
        return await start(upstream=AgentsUpstream(router, router, agents, kept), agents=agents, **parts)

    return begin


async def ask(running, text, conversation=None, *, key="any", status=200, **body):
    headers = {"Authorization": f"Bearer {key}"} | ({"X-Conversation-Id": conversation} if conversation else {})
    body = {"model": "agent/clerk", "temperature": 0, "messages": [{"role": "user", "content": text}], **body}
    async with httpx.AsyncClient(headers=headers, base_url=running.url) as http:
        answer = await http.post("/v1/chat/completions", json=body)
    assert answer.status_code == status, answer.text
    return answer


async def test_a_conversation_is_gone_on_with_by_its_id_alone(serve, model, kept):
    running = await serve()
    model.says += [ADD, "3.", "You asked for 1 + 2."]
    first = await ask(running, "1 + 2?", "new")
    talk = first.headers["x-conversation-id"]
    second = await ask(running, "What did I ask?", talk)

    assert first.json()["choices"][0]["message"]["content"] == "3."
    assert second.headers["x-conversation-id"] == talk
    said = [(m.role, m.content) for m in model.requests[-1].messages[1:]]
    assert said == [("user", "1 + 2?"), ("assistant", ""), ("tool", "3"), ("assistant", "3."),
                    ("user", "What did I ask?")]  # fmt: skip
    steps = kept.steps(kept.get(talk).id)
    assert [step.kind for step in steps] == ["input", "model", "model", "input", "model"]
    assert kept.get(talk).status is Status.IDLE
    assert journal_bytes(await replay(kept.get(talk), steps)) == journal_bytes(steps)
    assert [(row["model"], row["prompt_tokens"]) for row in running.rows()] == [("m", 200), ("m", 100)]


async def test_openais_client_streams_and_goes_on(serve, model):
    running = await serve()
    model.says += ["Hello Kim.", "Kim."]
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as client:
        begun = await client.chat.completions.with_raw_response.create(
            model="agent/clerk", messages=[{"role": "user", "content": "I am Kim."}],
            extra_headers={"X-Conversation-Id": "new"},
        )  # fmt: skip
        talk = {"X-Conversation-Id": begun.headers["x-conversation-id"]}
        stream = await client.chat.completions.create(
            model="agent/clerk", messages=[{"role": "user", "content": "Who am I?"}], stream=True, extra_headers=talk
        )
        text = "".join([piece.choices[0].delta.content or "" async for piece in stream if piece.choices])
        models = [one.id async for one in client.models.list()]
    assert text == "Kim."
    assert [m.content for m in model.requests[-1].messages[1:]] == ["I am Kim.", "Hello Kim.", "Who am I?"]
    assert models == ["m", "agent/clerk"]


async def test_without_an_id_the_messages_given_are_the_conversation_and_none_is_kept(serve, model, kept):
    running = await serve()
    model.says += ["a", "b"]
    for _ in range(2):  # nor is the answer cached: what tools say changes
        answer = await ask(running, "hi")
        assert "x-conversation-id" not in answer.headers
    assert len(model.requests) == 2
    assert kept.listed() == []


async def test_another_key_s_conversation_is_not_there(serve, model, kept):
    running = await serve(open_to_all=False)
    _, mine = running.keys.create("mine", role="user")
    _, other = running.keys.create("other", role="user")
    await asyncio.to_thread(running.gateway.keys.refresh)
    model.says += ["hello", "still here"]
    talk = (await ask(running, "hi", "new", key=mine)).headers["x-conversation-id"]

    refused = await ask(running, "hi", talk, key=other, status=404)
    assert refused.json()["error"]["code"] == "conversation_not_found"
    await ask(running, "hi", talk[:8], key=mine, status=404)  # nor is the beginning of an id one
    await ask(running, "there?", talk, key=mine)
    assert len(kept.listed()) == 1


async def test_two_turns_at_once_are_refused(serve, model, kept):
    running = await serve()
    model.says += ["hello", "hello again"]
    talk = (await ask(running, "hi", "new")).headers["x-conversation-id"]
    journal = kept.drive(talk)
    refused = await ask(running, "hi", talk, status=409)
    assert refused.json()["error"]["code"] == "conversation_busy"
    journal.release(Status.IDLE)
    await ask(running, "hi", talk)


async def test_a_turn_that_was_cut_off_is_ended_before_the_next(serve, model, kept):
    running = await serve()
    model.says += ["hello", "It was 3.", "You are welcome."]
    talk = (await ask(running, "hi", "new")).headers["x-conversation-id"]
    journal = kept.drive(talk)
    at = datetime.now(UTC)
    data = {"facts": [], "pinned_tokens": 10, "tools": []}
    await journal.append(Step(2, StepKind.INPUT, "1 + 2?", at, data=data))
    planned = CallRecord(3, 0, "add", '{"a": 1, "b": 2}', {"a": 1, "b": 2}, "native", CallStatus.PLANNED)
    await journal.append(Step(3, StepKind.MODEL, "", at, calls=(planned,)))
    journal.release(Status.STOPPED)

    await ask(running, "Thanks.", talk)
    assert [step.text for step in kept.steps(talk)][2:] == ["1 + 2?", "", "It was 3.", "Thanks.", "You are welcome."]


async def test_a_turn_whose_model_fails_leaves_a_conversation_that_goes_on(serve, model, kept):
    running = await serve()
    model.says += [EngineRefused("no")]
    await ask(running, "hi", "new", status=502)
    (talk,) = kept.listed()
    assert talk.status is Status.STOPPED
    model.says += ["Here I am."]
    answer = await ask(running, "Are you there?", talk.id)
    assert answer.json()["choices"][0]["message"]["content"] == "Here I am."


async def test_a_client_that_leaves_gives_the_conversation_back(serve, model, kept):
    running = await serve()

    async def never(request):
        model.requests.append(request)
        await asyncio.sleep(60)
        yield

    model.chat = never
    with pytest.raises(httpx.ReadTimeout):
        async with httpx.AsyncClient(timeout=0.5) as http:
            await http.post(
                f"{running.url}/v1/chat/completions", headers={"X-Conversation-Id": "new"},
                json={"model": "agent/clerk", "messages": [{"role": "user", "content": "hi"}]},
            )  # fmt: skip
    async with asyncio.timeout(5):
        while kept.listed()[0].status is Status.RUNNING:
            await asyncio.sleep(0.02)
    assert kept.listed()[0].status is Status.STOPPED


async def test_an_agent_that_lost_a_tool_does_not_go_on_with_it(serve, model):
    before = await serve(tools=("add", "pay"))
    model.says += ["hello"]
    talk = (await ask(before, "hi", "new")).headers["x-conversation-id"]
    after = await serve(tools=("add",))
    refused = await ask(after, "hi", talk, status=400)
    assert "Begin a new one" in refused.json()["error"]["message"]


async def test_only_agents_keep_conversations(serve):
    running = await serve()
    refused = await ask(running, "hi", "new", status=400, model="m")
    assert "m keeps no conversation" in refused.json()["error"]["message"]


async def test_a_kept_conversation_takes_no_message_that_is_masked(serve, model):
    running = await serve(guard=Guard(parse_policy("", "test")))
    refused = await ask(running, "제 번호는 010-1234-5678 입니다", "new", status=400)
    assert "personal data" in refused.json()["error"]["message"]
    model.says += ["fine"]
    await ask(running, "제 번호는 010-1234-5678 입니다")
    assert model.requests[-1].messages[-1].content == "제 번호는 [PHONE_1] 입니다"


async def test_an_effect_is_refused_since_nobody_can_approve_it(serve, model, kept):
    running = await serve(tools=("pay",))
    model.says += [call("pay"), "Not paid."]
    talk = (await ask(running, "pay", "new")).headers["x-conversation-id"]
    (made,) = kept.steps(talk)[1].calls
    assert made.status is CallStatus.REFUSED


async def test_an_abandoned_answer_is_closed_in_order(serve, model, kept):
    running = await serve()
    model.says += ["hello"]
    route = Route("agent/clerk", conversation="new")
    request = ChatRequest("agent/clerk", (Message("user", "hi"),))
    async with aclosing(running.gateway.upstream.chat(request, LOCAL_CALLER, route)) as events:
        async for _ in events:
            break
    assert kept.get(route.conversation).status is Status.STOPPED
