"""OpenAI's own client and LangChain's work with the gateway as they do with OpenAI."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from inhouse.core.errors import ContextExceeded, EngineCrashed

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
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def say(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


async def test_an_answer_comes_at_once_with_its_usage(client):
    answer = await client.chat.completions.create(model="parrot", messages=say("안녕 world"))
    assert answer.choices[0].message.content == "안녕 world"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 2, 4)
    assert answer.model == "parrot"
    assert answer._request_id


async def test_an_answer_streams_in_the_pieces_that_the_engine_gives(client):
    stream = await client.chat.completions.create(
        model="parrot", messages=say("one two three"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in chunks[1:-2]] == ["one", " two", " three"]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 3
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stream_has_no_usage_unless_asked_for(client):
    stream = await client.chat.completions.create(model="parrot", messages=say("one"), stream=True)
    assert all([chunk.usage is None and chunk.choices async for chunk in stream])


async def test_the_clients_stream_helper_puts_the_answer_together(client):
    async with client.chat.completions.stream(model="parrot", messages=say("one two")) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "one two"


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls(client, running, stream):
    asked = {"model": "parrot", "messages": say("Seoul"), "tools": [TOOL]}
    if stream:
        async with client.chat.completions.stream(**asked) as events:
            answer = await events.get_final_completion()
    else:
        answer = await client.chat.completions.create(**asked)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.name == "weather"
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Seoul"}
    assert not choice.message.content
    # The result goes back as the client has it.
    call = choice.message.tool_calls[0]
    history = [
        *say("Seoul"),
        choice.message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    answer = await client.chat.completions.create(model="parrot", messages=history, tools=[TOOL])
    assert answer.choices[0].message.content == "sunny"
    sent = running.engine.requests[-1]
    assert sent.messages[1].tool_calls[0].name == "weather"
    assert sent.messages[2].tool_call_id == call.id
    assert sent.tools[0].parameters["required"] == ["city"]


async def test_tool_choice_can_forbid_require_and_name(client, running):
    async def choose(choice):
        await client.chat.completions.create(
            model="parrot", messages=say("x"), tools=[TOOL, {**TOOL, "function": {"name": "b"}}], tool_choice=choice
        )
        return running.engine.requests[-1]

    assert (await choose("none")).tool_choice == "none"
    assert (await choose("required")).tool_choice == "required"
    named = await choose({"type": "function", "function": {"name": "b"}})
    assert named.tool_choice == "required"
    assert [tool.name for tool in named.tools] == ["b"]


async def test_an_answer_by_schema_is_parsed_by_the_client(client, running):
    class Said(BaseModel):
        said: str

    answer = await client.chat.completions.parse(model="parrot", messages=say("하나 two"), response_format=Said)
    assert answer.choices[0].message.parsed == Said(said="하나 two")
    assert running.engine.requests[-1].json_schema["properties"]["said"]["type"] == "string"
    await client.chat.completions.create(model="parrot", messages=say("x"), response_format={"type": "json_object"})
    assert running.engine.requests[-1].json_schema == {"type": "object"}


@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities(client, stream):
    asked = {"model": "parrot", "messages": say("one two"), "logprobs": True, "top_logprobs": 2}
    if stream:
        found = []
        async for chunk in await client.chat.completions.create(**asked, stream=True):
            if chunk.choices[0].logprobs:
                found += chunk.choices[0].logprobs.content
    else:
        found = (await client.chat.completions.create(**asked)).choices[0].logprobs.content
    assert [one.token for one in found] == ["one", " two"]
    assert found[0].logprob == -0.5
    assert [(top.token, top.logprob) for top in found[1].top_logprobs] == [(" two", -0.5), ("x", -2.0)]
    assert bytes(found[0].bytes) == b"one"


async def test_how_to_answer_reaches_the_engine(client, running):
    await client.chat.completions.create(
        model="parrot",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]},
        ],
        max_completion_tokens=1,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        stop=["END"],
        presence_penalty=0.25,
        frequency_penalty=-0.5,
        extra_body={"top_k": 40, "repetition_penalty": 1.1},
    )
    sent = running.engine.requests[-1]
    assert [(message.role, message.content) for message in sent.messages] == [("system", "Be brief."), ("user", "a b")]
    assert (sent.max_tokens, sent.temperature, sent.top_p, sent.seed, sent.stop) == (1, 0.5, 0.9, 7, ("END",))
    assert (sent.presence_penalty, sent.frequency_penalty) == (0.25, -0.5)
    assert (sent.top_k, sent.repeat_penalty) == (40, 1.1)


async def test_fields_that_nobody_knows_are_ignored(client):
    answer = await client.chat.completions.create(
        model="parrot", messages=say("one"), user="u", store=False, metadata={"a": "b"}, extra_body={"foo": {"bar": 1}}
    )
    assert answer.choices[0].message.content == "one"


async def test_what_would_change_the_answer_and_cannot_be_served_is_refused(client):
    for field in ({"n": 2}, {"logit_bias": {"5": 1}}):
        with pytest.raises(openai.BadRequestError) as error:
            await client.chat.completions.create(model="parrot", messages=say("x"), **field)
        assert error.value.param == next(iter(field))


@pytest.mark.parametrize("stream", [False, True])
async def test_the_older_completions(client, stream):
    asked = {"model": "parrot", "prompt": "one two", "max_tokens": 5, "logprobs": 1}
    if stream:
        chunks = [chunk async for chunk in await client.completions.create(**asked, stream=True)]
        assert "".join(chunk.choices[0].text for chunk in chunks) == "one two"
        assert chunks[-1].choices[0].finish_reason == "stop"
    else:
        answer = await client.completions.create(**asked)
        assert answer.choices[0].text == "one two"
        assert answer.choices[0].logprobs.tokens == ["one", " two"]
        assert answer.choices[0].logprobs.text_offset == [0, 3]
        assert answer.usage.total_tokens == 4


@pytest.mark.parametrize("form", ["float", "base64", None])
async def test_embeddings(client, form):
    asked = {} if form is None else {"encoding_format": form}
    answer = await client.embeddings.create(model="parrot", input=["a b", "four"], **asked)
    if form == "base64":
        assert isinstance(answer.data[0].embedding, str)
    else:
        assert [one.embedding for one in answer.data] == [[3.0, 0.5, -1.0], [4.0, 0.5, -1.0]]
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.usage.total_tokens == 3


async def test_the_models(client):
    assert [model.id for model in (await client.models.list()).data] == ["parrot"]
    assert (await client.models.retrieve("parrot")).id == "parrot"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("other/one")


async def test_errors_are_those_that_the_client_knows(client, running):
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="other", messages=say("x"))
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(model="parrot", messages=say("x"), temperature=9)
    assert bad.value.param == "temperature"
    assert "2" in bad.value.message
    running.engine.fails = ContextExceeded("The prompt is too long")
    with pytest.raises(openai.BadRequestError) as long:
        await client.chat.completions.create(model="parrot", messages=say("x"))
    assert long.value.code == "context_length_exceeded"


async def test_a_stream_that_breaks_says_so(client, running):
    running.engine.breaks = EngineCrashed("The engine ended")
    stream = await client.chat.completions.create(model="parrot", messages=say("one two three"), stream=True)
    assert [(await anext(stream)).choices[0].delta.content for _ in range(3)] == ["", "one", " two"]
    with pytest.raises(openai.APIError, match="The engine ended"):
        await anext(stream)
    await asyncio.sleep(0.1)
    row = running.rows()[-1]
    assert (row["status"], row["error"]) == (502, "engine_crashed")
    assert (row["completion_tokens"], bool(row["tokens_estimated"])) == (2, True)


async def test_langchain(running):
    model = ChatOpenAI(model="parrot", base_url=f"{running.url}/v1", api_key="any")
    answer = await model.ainvoke([HumanMessage("one two")])
    assert answer.content == "one two"
    assert answer.usage_metadata["total_tokens"] == 4
    assert "".join([chunk.content async for chunk in model.astream("a b c")]) == "a b c"
    called = await model.bind_tools([TOOL]).ainvoke("Busan")
    assert called.tool_calls[0]["args"] == {"city": "Busan"}

    class Said(BaseModel):
        said: str

    assert await model.with_structured_output(Said).ainvoke("hello") == Said(said="hello")


async def test_langchains_embeddings(running):
    embeddings = OpenAIEmbeddings(
        model="parrot", base_url=f"{running.url}/v1", api_key="any", check_embedding_ctx_length=False
    )
    assert await embeddings.aembed_query("four") == [4.0, 0.5, -1.0]
