"""What goes to which kind of server, and what is read from its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scripted_server import LAST_CHUNK, STREAM_HEAD, ScriptedServer, Step, answer, chunk, scripted

from inhouse.core.errors import EngineProtocolError, UnsupportedFeature
from inhouse.engines.base import (
    ChatRequest,
    DoneEvent,
    Message,
    ModelInfo,
    ToolCall,
    ToolCallEvent,
    ToolSpec,
    UsageEvent,
)
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.engines.openai_wire import OPENAI_CLOUD, AnswerReader, chat_body

TOOL = ToolSpec("add", "Adds", {"type": "object", "properties": {"a": {"type": "integer"}}})
HI = (Message("user", "hi"),)


def listing(owner: str, **more: object) -> list[Step]:
    return [answer(json.dumps({"object": "list", "data": [{"id": "m", "owned_by": owner, **more}]}).encode())]


def stream(*chunks: dict[str, Any]) -> list[Step]:
    data = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"
    return [STREAM_HEAD + chunk(data) + LAST_CHUNK]


def delta(finish: str | None = None, **values: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": values, "finish_reason": finish}]}


DONE = stream(delta(content="ok"), delta("stop"))


def sent(server: ScriptedServer, number: int = -1) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(server.requests[number][1])
    return body


def route(server: ScriptedServer, number: int = -1) -> str:
    return server.requests[number][0].split()[1]


@pytest.mark.parametrize(
    ("suffix", "path"),
    [("", "/v1/chat/completions"), ("/", "/v1/chat/completions"), ("/v1", "/v1/chat/completions"),
     ("/v1/", "/v1/chat/completions"), ("/team/v1", "/team/v1/chat/completions"),
     ("/v1beta/openai", "/v1beta/openai/chat/completions")],
)  # fmt: skip
async def test_the_address_may_be_given_with_or_without_its_v1(suffix, path):
    async with scripted(DONE) as server:
        engine = OpenAICompatibleEngine(server.url + suffix)
        _ = [event async for event in engine.chat(ChatRequest("m", HI))]
        assert route(server) == path
        await engine.close()


async def test_a_plain_request_sends_nothing_that_openai_does_not_know():
    async with scripted(DONE) as server:
        engine = OpenAICompatibleEngine(server.url)
        _ = [event async for event in engine.chat(ChatRequest("m", HI, max_tokens=5, temperature=0.5, stop=("x",)))]
        assert sent(server) == {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 5,
            "temperature": 0.5,
            "stop": ["x"],
        }
        await engine.close()


@pytest.mark.parametrize(
    ("owner", "extras"),
    [
        ("llamacpp", {"ignore_eos": True, "repeat_penalty": 1.1, "cache_prompt": False, "top_k": 5}),
        ("vllm", {"ignore_eos": True, "repetition_penalty": 1.1, "top_k": 5}),
    ],
)
async def test_what_goes_beyond_openai_is_sent_under_the_server_s_own_names(owner, extras):
    request = ChatRequest("m", HI, ignore_eos=True, repeat_penalty=1.1, cache_prompt=False, top_k=5)
    async with scripted(listing(owner), DONE) as server:
        engine = OpenAICompatibleEngine(server.url)
        _ = [event async for event in engine.chat(request)]
        body = sent(server)
        for name in ("model", "messages", "stream", "stream_options"):
            body.pop(name)
        assert body == extras
        await engine.close()


async def test_a_server_that_cannot_ignore_the_end_is_not_asked_to():
    async with scripted(listing("someone")) as server:
        engine = OpenAICompatibleEngine(server.url)
        with pytest.raises(UnsupportedFeature):
            _ = [event async for event in engine.chat(ChatRequest("m", HI, ignore_eos=True))]
        await engine.close()


def test_the_cloud_s_newer_models_get_the_limit_under_its_new_name():
    body = chat_body(ChatRequest("m", HI, max_tokens=9), OPENAI_CLOUD)

    assert body["max_completion_tokens"] == 9
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    ("owner", "ignore_eos", "prompt_cache", "token_count"),
    [("llamacpp", True, True, True), ("vllm", True, False, True), ("openai", False, False, False)],
)
async def test_capabilities_follow_from_who_the_server_is(owner, ignore_eos, prompt_cache, token_count):
    async with scripted(listing(owner)) as server:
        engine = OpenAICompatibleEngine(server.url)
        await engine.models()
        offered = engine.capabilities
        assert (offered.ignore_eos, offered.prompt_cache, offered.token_count) == (
            ignore_eos,
            prompt_cache,
            token_count,
        )
        await engine.close()


async def test_tool_calls_in_pieces_are_put_together():
    first = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}}
    pieces = [
        delta(tool_calls=[first]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a"'}}]),
        delta(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "add", "arguments": "{}"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        delta("tool_calls"),
    ]
    async with scripted(listing("vllm"), stream(*pieces)) as server:
        engine = OpenAICompatibleEngine(server.url)
        events = [event async for event in engine.chat(ChatRequest("m", HI, tools=(TOOL,), tool_choice="auto"))]
        assert [event.call for event in events if isinstance(event, ToolCallEvent)] == [
            ToolCall("c1", "add", '{"a": 1}'),
            ToolCall("c2", "add", "{}"),
        ]
        assert events[-1].finish_reason == "tool_calls"
        assert sent(server)["tools"][0]["function"]["name"] == "add"
        await engine.close()


async def test_tools_go_into_the_prompt_where_the_template_has_no_place_for_them():
    props = [answer(json.dumps({"chat_template_caps": {"supports_tools": False}}).encode())]
    call = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    async with scripted(listing("llamacpp"), props, stream(delta(content=call), delta("stop"))) as server:
        engine = OpenAICompatibleEngine(server.url)
        events = [event async for event in engine.chat(ChatRequest("m", HI, tools=(TOOL,)))]
        assert [e.call.name for e in events if isinstance(e, ToolCallEvent)] == ["add"]
        assert "tools" not in sent(server)
        assert '"add"' in sent(server)["messages"][0]["content"]
        await engine.close()


async def test_a_closed_props_route_means_that_tools_are_sent_as_they_are():
    async with scripted(listing("llamacpp"), [answer(b"{}", "404 Not Found")], DONE) as server:
        engine = OpenAICompatibleEngine(server.url)
        _ = [event async for event in engine.chat(ChatRequest("m", HI, tools=(TOOL,)))]
        assert sent(server)["tools"]
        await engine.close()


async def test_usage_and_the_server_s_own_timings_are_read():
    usage = {
        "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
        "timings": {"prompt_ms": 120.0, "predicted_ms": 30.0},
    }
    async with scripted(stream(delta(content="a"), delta("length"), usage)) as server:
        engine = OpenAICompatibleEngine(server.url)
        *_, read, done = [event async for event in engine.chat(ChatRequest("m", HI))]
        assert isinstance(read, UsageEvent)
        assert (read.prompt_tokens, read.completion_tokens, read.cached_tokens) == (9, 3, 4)
        assert read.timings == {"prompt_s": 0.12, "decode_s": 0.03}
        assert done.finish_reason == "length"
        await engine.close()


async def test_a_server_without_usage_still_ends_with_a_usage_and_a_done():
    async with scripted(DONE) as server:
        engine = OpenAICompatibleEngine(server.url)
        *_, usage, done = [event async for event in engine.chat(ChatRequest("m", HI))]
        assert (usage.prompt_tokens, usage.completion_tokens) == (None, None)
        assert isinstance(done, DoneEvent)
        await engine.close()


def test_a_first_chunk_with_a_role_and_no_text_is_no_first_token():
    reader = AnswerReader()

    assert reader.read(0.0, json.dumps(delta(role="assistant", content=None)).encode()) is None
    assert reader.read(0.0, json.dumps(delta(role="assistant", content="")).encode()) is None


async def test_models_are_listed_with_what_the_server_tells_of_them():
    meta = {"size": 10, "n_ctx": 512, "ftype": "Q4_1", "n_params": 7}
    async with scripted(listing("llamacpp", meta=meta), listing("vllm", max_model_len=4096)) as server:
        engine = OpenAICompatibleEngine(server.url)
        assert await engine.models() == (ModelInfo("m", 10, 512, "Q4_1", 7),)
        assert await engine.models() == (ModelInfo("m", context=4096),)
        await engine.close()


@pytest.mark.parametrize("body", [b"[]", b'{"data": 3}', b'{"data": [{}]}', b"{", b""])
async def test_a_list_of_models_that_is_none_is_a_protocol_error(body):
    async with scripted([answer(body)]) as server:
        engine = OpenAICompatibleEngine(server.url)
        with pytest.raises(EngineProtocolError):
            await engine.models()
        assert not (await engine.health()).ok
        await engine.close()


async def test_embeddings_are_put_in_the_order_of_their_texts():
    rows = [{"index": 1, "embedding": [2, 3]}, {"index": 0, "embedding": [0, 1]}]
    async with scripted([answer(json.dumps({"data": rows, "usage": {"prompt_tokens": 5}}).encode())]) as server:
        engine = OpenAICompatibleEngine(server.url)
        got = await engine.embed("m", ["a", "b"])
        assert got.vectors == ((0.0, 1.0), (2.0, 3.0))
        assert got.prompt_tokens == 5
        with pytest.raises(EngineProtocolError):
            await engine.embed("m", ["a", "b", "c"])
        await engine.close()


async def test_tokens_are_counted_as_the_server_does_it():
    for owner, body in (("llamacpp", {"tokens": [1, 2, 3]}), ("vllm", {"count": 3, "tokens": [1, 2, 3]})):
        async with scripted(listing(owner), [answer(json.dumps(body).encode())]) as server:
            engine = OpenAICompatibleEngine(server.url + "/v1")
            assert await engine.count_tokens("m", "a b c") == 3
            assert route(server) == "/tokenize"
            await engine.close()


async def test_health_never_raises_and_says_what_is_wrong():
    engine = OpenAICompatibleEngine("http://127.0.0.1:9")
    health = await engine.health()
    assert not health.ok
    assert "127.0.0.1:9" in health.detail
    await engine.close()
    await engine.close()
