"""Ollama's own client and LangChain's work with the gateway as they do with Ollama."""

from __future__ import annotations

import json

import httpx
import ollama
import pytest
from langchain_core.messages import HumanMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings
from pydantic import BaseModel

from inhouse.core.errors import EngineCrashed

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
async def client(running):
    return ollama.AsyncClient(host=running.url)


def say(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


async def test_a_chat_at_once_with_counts_and_nanoseconds(client):
    answer = await client.chat("parrot", say("안녕 world"))
    assert answer.message.content == "안녕 world"
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (2, 2)
    assert (answer.load_duration, answer.prompt_eval_duration, answer.eval_duration) == (5e8, 2.5e8, 1.25e8)
    assert 0 < answer.total_duration < 60e9


async def test_a_chat_streams(client):
    parts = [part async for part in await client.chat("parrot", say("one two three"), stream=True)]
    assert [part.message.content for part in parts] == ["one", " two", " three", ""]
    assert [part.done for part in parts] == [False, False, False, True]
    assert parts[-1].eval_count == 3


async def test_the_api_streams_unless_told_not_to(running):
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{running.url}/api/chat", json={"model": "parrot", "messages": say("a b")})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["done"] for line in answer.text.splitlines()] == [False, False, True]


async def test_options_reach_the_engine(client, running):
    options = {
        "num_ctx": 2048,
        "num_predict": 1,
        "temperature": 0.1,
        "top_k": 5,
        "top_p": 0.5,
        "seed": 3,
        "stop": ["x"],
        "repeat_penalty": 1.2,
        "mirostat": 1,
    }
    answer = await client.chat("parrot", say("one two"), options=options, keep_alive="5m")
    assert answer.done_reason == "length"
    sent = running.engine.requests[-1]
    assert (sent.context, sent.max_tokens, sent.temperature, sent.top_k) == (2048, 1, 0.1, 5)
    assert (sent.top_p, sent.seed, sent.stop, sent.repeat_penalty) == (0.5, 3, ("x",), 1.2)
    await client.chat("parrot", say("one two"), options={"num_predict": -1})
    assert running.engine.requests[-1].max_tokens is None


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls(client, running, stream):
    if stream:
        parts = [part async for part in await client.chat("parrot", say("Seoul"), tools=[TOOL], stream=True)]
        calls = [call for part in parts for call in part.message.tool_calls or ()]
    else:
        calls = (await client.chat("parrot", say("Seoul"), tools=[TOOL])).message.tool_calls
    assert [(call.function.name, call.function.arguments) for call in calls] == [("weather", {"city": "Seoul"})]
    history = [
        *say("Seoul"),
        {"role": "assistant", "content": "", "tool_calls": [call.model_dump() for call in calls]},
        {"role": "tool", "content": "sunny", "tool_name": "weather"},
    ]
    assert (await client.chat("parrot", history, tools=[TOOL])).message.content == "sunny"
    assert json.loads(running.engine.requests[-1].messages[1].tool_calls[0].arguments) == {"city": "Seoul"}


async def test_a_call_with_an_integer_beyond_64_bits_reaches_the_model_as_it_was(client, running):
    call = {"function": {"name": "pay", "arguments": {"amount": 10**20}}}
    await client.chat("parrot", [*say("Pay"), {"role": "assistant", "content": "", "tool_calls": [call]}])
    assert json.loads(running.engine.requests[-1].messages[1].tool_calls[0].arguments) == {"amount": 10**20}


async def test_answers_by_schema(client, running):
    class Said(BaseModel):
        said: str

    answer = await client.chat("parrot", say("x"), format=Said.model_json_schema())
    assert Said.model_validate_json(answer.message.content) == Said(said="x")
    await client.chat("parrot", say("x"), format="json")
    assert running.engine.requests[-1].json_schema == {"type": "object"}


async def test_log_probabilities(client):
    answer = await client.chat("parrot", say("one two"), logprobs=True, top_logprobs=2)
    assert [one.token for one in answer.logprobs] == ["one", " two"]
    assert [top.token for top in answer.logprobs[1].top_logprobs] == [" two", "x"]


@pytest.mark.parametrize("stream", [False, True])
async def test_generate(client, running, stream):
    asked = {"model": "parrot", "prompt": "one two", "system": "Be brief."}
    if stream:
        text = "".join([part.response async for part in await client.generate(**asked, stream=True)])
    else:
        text = (await client.generate(**asked)).response
    assert text == "one two"
    sent = running.engine.requests[-1].messages
    assert [(message.role, message.content) for message in sent] == [("system", "Be brief."), ("user", "one two")]


async def test_loading_a_model_asks_the_engine_nothing(client, running):
    assert (await client.generate("parrot")).done_reason == "load"
    assert (await client.chat("parrot", [])).done_reason == "load"
    assert running.engine.requests == []


async def test_embeddings(client):
    answer = await client.embed("parrot", ["a b", "four"])
    assert [list(one) for one in answer.embeddings] == [[3.0, 0.5, -1.0], [4.0, 0.5, -1.0]]
    assert answer.prompt_eval_count == 3
    assert list((await client.embeddings("parrot", "four")).embedding) == [4.0, 0.5, -1.0]


async def test_what_there_is(client, running):
    (model,) = (await client.list()).models
    assert (model.model, model.size, model.details.quantization_level) == ("parrot", 1000, "Q4_0")
    shown = await client.show("parrot")
    assert shown.modelinfo["general.parameter_count"] == 135_000_000
    assert "completion" in shown.capabilities
    (loaded,) = (await client.ps()).models
    assert (loaded.model, loaded.size, loaded.context_length) == ("parrot", 2000, 4096)
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{running.url}/api/version")).json()["version"]
        assert (await http.head(running.url)).status_code == 200


async def test_no_tag_means_latest(start):
    from talking_engine import TalkingEngine

    running = await start(TalkingEngine("bird:latest", "fish"))
    client = ollama.AsyncClient(host=running.url)
    assert (await client.chat("bird", say("x"))).message.content == "x"
    assert (await client.chat("fish:latest", say("x"))).message.content == "x"
    with pytest.raises(ollama.ResponseError):
        await client.chat("bird:small", say("x"))


async def test_errors_are_those_that_the_client_knows(client, running):
    with pytest.raises(ollama.ResponseError) as missing:
        await client.chat("other", say("x"))
    assert missing.value.status_code == 404
    assert "not found" in missing.value.error
    with pytest.raises(ollama.ResponseError) as managed:
        await client.pull("other")
    assert managed.value.status_code == 403
    running.engine.breaks = EngineCrashed("The engine ended")
    with pytest.raises(ollama.ResponseError, match="The engine ended"):
        async for _ in await client.chat("parrot", say("one two three"), stream=True):
            pass


async def test_langchain(running):
    model = ChatOllama(model="parrot", base_url=running.url)
    answer = await model.ainvoke([HumanMessage("one two")])
    assert answer.content == "one two"
    assert answer.usage_metadata["total_tokens"] == 4
    assert "".join([chunk.content async for chunk in model.astream("a b c")]) == "a b c"
    called = await model.bind_tools([TOOL]).ainvoke("Busan")
    assert called.tool_calls[0]["args"] == {"city": "Busan"}

    class Said(BaseModel):
        said: str

    assert await model.with_structured_output(Said).ainvoke("hello") == Said(said="hello")
    embeddings = OllamaEmbeddings(model="parrot", base_url=running.url)
    assert await embeddings.aembed_query("four") == [4.0, 0.5, -1.0]
