"""What a client of a failing server is told: one error of the right kind, with a cause and a next step."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from scripted_server import CLOSE, LAST_CHUNK, RESET, STREAM_HEAD, answer, chunk, scripted

from inhouse.core.errors import (
    ContextExceeded,
    EngineCrashed,
    EngineError,
    EngineFailed,
    EngineModelMissing,
    EngineOverloaded,
    EngineProtocolError,
    EngineRefused,
    EngineStalled,
    EngineUnauthorised,
    EngineUnavailable,
    UnsupportedFeature,
    UsageError,
)
from inhouse.engines.base import ChatRequest, DoneEvent, Message, TextEvent
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.engines.openai_wire import LLAMA_CPP

REQUEST = ChatRequest("m", (Message("user", "hi"),))


def piece(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
WHOLE = STREAM_HEAD + chunk(piece("Hello") + END) + LAST_CHUNK


async def ask(url: str, *, stall_s: float = 5.0, connect_s: float = 5.0) -> list[object]:
    engine = OpenAICompatibleEngine(url, api_key="secret", stall_s=stall_s, connect_s=connect_s)
    try:
        return [event async for event in engine.chat(REQUEST)]
    finally:
        await engine.close()


async def failure(*script: bytes | float | str, **limits: float) -> EngineError:
    async with scripted(script) as server:
        with pytest.raises(EngineError) as caught:
            await ask(server.url, **limits)
    return caught.value


async def test_a_server_that_is_down_is_unavailable():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(EngineUnavailable) as caught:
            await ask(url)
    assert url in caught.value.what
    assert caught.value.do


async def test_a_name_that_does_not_resolve_is_unavailable():
    with pytest.raises(EngineUnavailable):
        await ask("http://no-such-host.invalid:8000")


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://host:99999", "http://[bad"])
def test_an_address_that_is_none_is_a_usage_error(url):
    with pytest.raises(UsageError) as caught:
        OpenAICompatibleEngine(url)
    assert "http://" in caught.value.do


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("401 Unauthorized", {"error": {"message": "Invalid API Key", "code": 401}}, EngineUnauthorised),
        ("403 Forbidden", {"detail": "no"}, EngineUnauthorised),
        (
            "400 Bad Request",
            {"error": {"code": 400, "message": "request (8031 tokens) exceeds the available context size (2048 tokens)",
                       "type": "exceed_context_size_error"}},
            ContextExceeded,
        ),
        (
            "400 Bad Request",
            {"error": {"message": "This model's maximum context length is 8192 tokens.",
                       "code": "context_length_exceeded"}},
            ContextExceeded,
        ),
        ("404 Not Found", {"error": {"message": "No `m` here.", "code": "model_not_found"}}, EngineModelMissing),
        ("404 Not Found", {"object": "error", "message": "The model `m` does not exist."}, EngineModelMissing),
        ("404 Not Found", {"detail": "Not Found"}, EngineRefused),
        ("422 Unprocessable", {"error": "temperature must not be negative"}, EngineRefused),
        ("429 Too Many Requests", {"error": {"message": "slow down"}}, EngineOverloaded),
        ("503 Service Unavailable", {"error": {"message": "Loading model"}}, EngineOverloaded),
        ("500 Internal Server Error", {"error": {"message": "out of memory"}}, EngineFailed),
        ("501 Not Implemented", {"error": {"message": "no embeddings"}}, UnsupportedFeature),
        ("502 Bad Gateway", {}, EngineUnavailable),
    ],
)  # fmt: skip
async def test_a_refusal_is_told_by_its_status_and_the_servers_words(status, body, kind):
    error = await failure(answer(json.dumps(body).encode(), status))

    assert type(error) is kind
    said = body.get("error", body)
    said = said.get("message") if isinstance(said, dict) else said
    if said:
        assert said in str(error)


async def test_a_refusal_with_a_page_instead_of_json_is_still_told():
    error = await failure(answer(b"<html>nginx</html>", "500 Oops", content_type="text/html"))

    assert type(error) is EngineFailed


@pytest.mark.parametrize(("header", "seconds"), [("Retry-After: 7", 7.0), ("Retry-After: soon", None)])
async def test_an_overloaded_server_says_when_to_come_back(header, seconds):
    error = await failure(answer(b"{}", "429 Too Many Requests", header))

    assert isinstance(error, EngineOverloaded)
    assert error.retry_after_s == seconds


@pytest.mark.parametrize(
    "garbage",
    [b"\x00\xff\xfe not http at all\r\n\r\n", STREAM_HEAD + b"zz\r\nnot a chunk size\r\n"],
    ids=["status line", "chunk size"],
)
async def test_bytes_that_are_not_http_are_a_protocol_error_or_a_broken_answer(garbage):
    assert isinstance(await failure(garbage, CLOSE), EngineProtocolError | EngineCrashed)


@pytest.mark.parametrize(
    "data",
    [
        b"data: {not json\n\n",
        b"data: [1, 2]\n\n",
        b'data: {"choices": "many"}\n\n',
        b'data: {"unknown": 1}\n\n',
        b"data: \xff\xfe\n\n",
        b"<html>a proxy's page</html>\n",
        b'data: {"choices":[{"delta":{"content":"x"},"logprobs":{"content":[{}]}}]}\n\n',
    ],
)
async def test_malformed_events_are_a_protocol_error_that_quotes_them(data):
    error = await failure(STREAM_HEAD, chunk(piece("ok") + data), LAST_CHUNK)

    assert type(error) is EngineProtocolError
    assert error.why


async def test_an_answer_without_its_end_is_a_protocol_error():
    error = await failure(STREAM_HEAD, chunk(piece("Hello")), LAST_CHUNK)

    assert type(error) is EngineProtocolError
    assert "cut off" in error.what


@pytest.mark.parametrize("ending", [CLOSE, RESET])
async def test_a_connection_that_breaks_in_mid_answer_is_a_crash(ending):
    error = await failure(STREAM_HEAD, chunk(piece("Hello")), 0.05, ending)

    assert type(error) is EngineCrashed


async def test_an_error_in_mid_stream_is_the_error_it_names():
    event = b'data: {"error":{"code":400,"message":"the context size was exceeded","type":"x"}}\n\n'
    error = await failure(STREAM_HEAD, chunk(piece("Hello") + event), LAST_CHUNK)

    assert type(error) is ContextExceeded


async def test_what_gateways_pass_on_about_a_long_prompt_is_said_once():
    inner = ContextExceeded(
        "The prompt does not fit the model's context window",
        why="request (615 tokens) exceeds it",
        do="Shorten it, or start the model with a larger context (INHOUSE_CONTEXT)",
    )
    outer = ContextExceeded(inner.what, why=str(inner), do=inner.do)
    body = json.dumps({"error": {"message": str(outer), "code": "context_length_exceeded"}}).encode()
    error = await failure(answer(body, "400 Bad Request"))

    assert str(error) == str(inner)


async def test_silence_before_the_answer_is_a_stall():
    error = await failure(10.0, stall_s=0.2)

    assert type(error) is EngineStalled


async def test_silence_in_mid_answer_is_a_stall_and_what_came_before_was_delivered():
    async with scripted([STREAM_HEAD, chunk(piece("Hello")), 10.0]) as server:
        engine = OpenAICompatibleEngine(server.url, stall_s=0.2)
        stream = engine.chat(REQUEST)
        first = await anext(stream)
        assert isinstance(first, TextEvent)
        assert first.text == "Hello"
        with pytest.raises(EngineStalled):
            await anext(stream)
        await engine.close()


async def test_a_llama_cpp_server_that_queues_in_silence_is_waited_for_while_it_answers_health():
    async with scripted([1.0, WHOLE], [answer(b'{"status": "ok"}')]) as server:
        engine = OpenAICompatibleEngine(server.url, stall_s=0.3, dialect=LLAMA_CPP)
        events = [event async for event in engine.chat(REQUEST)]
        assert isinstance(events[-1], DoneEvent)
        await engine.close()


async def test_a_llama_cpp_server_that_does_not_answer_health_either_is_a_stall():
    async with scripted([10.0]) as server:
        engine = OpenAICompatibleEngine(server.url, stall_s=0.3, dialect=LLAMA_CPP)
        with pytest.raises(EngineStalled):
            _ = [event async for event in engine.chat(REQUEST)]
        await engine.close()


async def test_comments_keep_a_slow_answer_from_being_a_stall():
    pings = [step for _ in range(4) for step in (0.15, chunk(b": ping\n\n"))]
    async with scripted([STREAM_HEAD, *pings, chunk(piece("Hello") + END), LAST_CHUNK]) as server:
        events = await ask(server.url, stall_s=0.4)
    assert isinstance(events[-1], DoneEvent)


async def test_a_kept_alive_connection_that_was_closed_is_tried_again_once():
    async with scripted([WHOLE], [RESET], [WHOLE]) as server:
        engine = OpenAICompatibleEngine(server.url)
        for _ in range(2):
            events = [event async for event in engine.chat(REQUEST)]
            assert isinstance(events[-1], DoneEvent)
        assert len(server.requests) == 3
        await engine.close()


async def test_a_request_that_kills_the_connection_is_not_sent_again_on_a_fresh_one():
    async with scripted([RESET], [WHOLE]) as server:
        with pytest.raises(EngineCrashed):
            await ask(server.url)
        assert len(server.requests) == 1


async def test_a_request_is_sent_twice_at_most():
    async with scripted([WHOLE], [RESET]) as server:
        engine = OpenAICompatibleEngine(server.url)
        _ = [event async for event in engine.chat(REQUEST)]
        with pytest.raises(EngineCrashed):
            _ = [event async for event in engine.chat(REQUEST)]
        assert len(server.requests) == 3
        await engine.close()


async def test_nothing_is_sent_again_once_a_byte_has_come():
    async with scripted([WHOLE], [STREAM_HEAD, RESET], [WHOLE]) as server:
        engine = OpenAICompatibleEngine(server.url)
        _ = [event async for event in engine.chat(REQUEST)]
        with pytest.raises(EngineCrashed):
            _ = [event async for event in engine.chat(REQUEST)]
        assert len(server.requests) == 2
        await engine.close()


async def test_answers_that_end_share_one_connection():
    async with scripted([WHOLE]) as server:
        engine = OpenAICompatibleEngine(server.url)
        for _ in range(5):
            _ = [event async for event in engine.chat(REQUEST)]
        assert server.connections == 1
        await engine.close()


async def test_closing_an_answer_early_closes_its_connection():
    async with scripted([STREAM_HEAD, chunk(piece("Hello")), 10.0]) as server:
        engine = OpenAICompatibleEngine(server.url)
        stream = engine.chat(REQUEST)
        assert isinstance(await anext(stream), TextEvent)
        await stream.aclose()
        await asyncio.wait_for(server.closed_by_client.wait(), 1.0)
        await engine.close()


async def test_a_server_that_never_closes_a_finished_answer_holds_nobody_up():
    async with scripted([STREAM_HEAD, chunk(piece("Hello") + END), 30.0]) as server:
        events = await asyncio.wait_for(ask(server.url, stall_s=20.0), 5.0)
    assert isinstance(events[-1], DoneEvent)


async def test_hundreds_of_requests_at_once_all_get_through():
    async with scripted([0.3, WHOLE]) as server:
        engine = OpenAICompatibleEngine(server.url)

        async def one() -> object:
            return [event async for event in engine.chat(REQUEST)][-1]

        loop = asyncio.get_running_loop()
        begin = loop.time()
        done = await asyncio.gather(*(one() for _ in range(300)))
        assert all(isinstance(event, DoneEvent) for event in done)
        assert server.connections == 300
        assert loop.time() - begin < 5.0
        await engine.close()


async def test_the_key_goes_with_each_request_and_never_into_an_error():
    async with scripted([answer(b"{}", "401 Unauthorized")]) as server:
        with pytest.raises(EngineUnauthorised) as caught:
            await ask(server.url)
        assert "Bearer secret" in server.requests[0][0]
    assert "secret" not in str(caught.value)


async def test_a_server_that_dropped_all_idle_connections_is_asked_on_a_new_one():
    body = b'{"data":[{"index":0,"embedding":[1.0]}]}'

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers a connection's first request, and closes at the second without a word."""
        for answers in (True, False):
            length = 0
            while line := (await reader.readline()).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            await reader.read(length)
            if answers:
                await asyncio.sleep(0.05)  # so that requests at the same time need a connection each
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    engine = OpenAICompatibleEngine(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        await asyncio.gather(*(engine.embed("m", ["text"]) for _ in range(4)))
        assert (await engine.embed("m", ["text"])).vectors == ((1.0,),)
    finally:
        await engine.close()
        server.close()
