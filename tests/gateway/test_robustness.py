"""What bad clients and bad moments do to the gateway: nothing that others notice."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter

import httpx
import pytest
from talking_engine import TalkingEngine

URL = "/v1/chat/completions"
BODY = {"model": "parrot", "messages": [{"role": "user", "content": "one two three"}]}


async def still_serves(running) -> None:
    async with httpx.AsyncClient(base_url=running.url, timeout=5) as http:
        answer = await http.post(URL, json=BODY)
    assert answer.json()["choices"][0]["message"]["content"] == "one two three"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"model": "parrot"}',
        b'{"model": "parrot", "messages": []}',
        b'{"model": "parrot", "messages": "hi"}',
        b'{"model": "parrot", "messages": [{"role": "king", "content": "x"}]}',
        b'{"model": "parrot", "messages": [{"role": "user"}]}',
        b'{"model": "parrot", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
        b'{"model": "parrot", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}',
        b'{"model": "parrot", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1e99}',
        b'{"model": "parrot", "messages": [{"role": "user", "content": "x"}], "seed": 99999999999999999999}',
        b'{"model": "parrot", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"model": "parrot", "messages": [{"role": "user", "content": "x"}], "stop": [1]}',
        b'{"model": "parrot", "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "text/xml"}}',
        b"[" * 100_000,
        b'{"model": "parrot", "messages": [{"role": "user", "content": "x"}], "metadata": ' + b"[" * 50_000,
    ],
)
async def test_a_body_that_is_no_request_gets_a_400_that_says_why(running, sent):
    async with httpx.AsyncClient(base_url=running.url) as http:
        for path in (URL, "/api/chat"):
            answer = await http.post(path, content=sent)
            if answer.status_code == 200:  # Ollama's API takes no messages for a request to load the model
                assert path == "/api/chat"
                continue
            assert answer.status_code == 400
            error = answer.json()["error"]
            assert error["message"] if path == URL else error
    assert not [line for line in running.logged() if line["event"] == "defect"]


async def test_letters_that_are_no_unicode_are_no_defect(running):
    async with httpx.AsyncClient(base_url=running.url) as http:
        answer = await http.post(URL, content=json.dumps({**BODY, "messages": [{"role": "user", "content": "\ud800"}]}))
    assert answer.status_code in (200, 400)
    assert not [line for line in running.logged() if line["event"] == "defect"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused_without_reading_it(start, announced):
    running = await start(settings={"max_body_bytes": 100_000})
    sent = 0

    async def endless():
        nonlocal sent
        for _ in range(1000):
            sent += 100_000
            yield b" " * 100_000

    async with httpx.AsyncClient(base_url=running.url) as http:
        try:
            if announced:
                answer = await http.post(URL, content=b" " * 200_000)
            else:
                answer = await http.post(URL, content=endless())
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            assert sent < 50_000_000  # it hung up on us in the middle, before we had read the answer
        else:
            assert answer.status_code == 413
            assert answer.json()["error"]["code"] == "request_too_large"
    await still_serves(running)


async def test_a_client_that_sends_its_headers_or_body_letter_by_letter_is_dropped(start):
    running = await start(settings={"head_timeout_s": 0.3, "body_timeout_s": 0.3})
    connections = []
    for begin in (b"POST " + URL.encode() + b" HTTP/1.1\r\nHost: g\r\nX: ", b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(begin)
        connections.append((reader, writer))
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(f"POST {URL} HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n{{".encode())
    connections.append((reader, writer))
    began = time.perf_counter()
    ends = [await asyncio.wait_for(reader.read(), 5) for reader, _ in connections[:2]]
    assert ends == [b"", b""]
    late = await asyncio.wait_for(reader.readuntil(b"}}"), 5)
    assert late.startswith(b"HTTP/1.1 400")
    assert time.perf_counter() - began < 3
    for _, writer in connections:
        writer.close()
    await still_serves(running)


async def test_a_thousand_idle_connections_are_no_burden(running):
    connections = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", running.port) for _ in range(1000)))
    await still_serves(running)
    for _, writer in connections:
        writer.close()


async def test_clients_that_leave_in_mid_stream_stop_the_engine(running):
    running.engine.word_s = 0.02
    body = json.dumps({**BODY, "stream": True, "messages": [{"role": "user", "content": "word " * 500}]})
    request = f"POST {URL} HTTP/1.1\r\nHost: g\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request)
        await reader.readuntil(b"word")
        writer.transport.abort()
    for _ in range(100):
        if not running.engine.under_way:
            break
        await asyncio.sleep(0.02)
    assert running.engine.under_way == 0
    assert running.gateway.running == 0
    assert running.engine.left_early == 20
    await asyncio.sleep(0.1)
    assert {row["status"] for row in running.rows()} == {499}
    running.engine.word_s = 0
    await still_serves(running)


async def test_a_client_that_does_not_read_holds_up_nobody(running):
    body = json.dumps({**BODY, "stream": True, "messages": [{"role": "user", "content": "word " * 60_000}]})
    request = f"POST {URL} HTTP/1.1\r\nHost: g\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(request)
    await asyncio.sleep(0.3)
    await still_serves(running)
    writer.transport.abort()


async def test_bytes_that_are_no_http_get_a_400(running):
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    await still_serves(running)


async def test_shutting_down_lets_streams_finish_and_refuses_new_requests(start):
    engine = TalkingEngine()
    running = await start(engine)
    engine.word_s = 0.1
    async with httpx.AsyncClient(base_url=running.url) as http:
        async with http.stream("POST", URL, json={**BODY, "stream": True}) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            running.server.stop()
            refused = await http.post(URL, json=BODY)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "draining"
            assert refused.headers["retry-after"]
            assert (await http.get("/readyz")).status_code == 503
            assert (await http.get("/livez")).status_code == 200
            rest = [line async for line in lines]
        assert rest[-2:] == ["data: [DONE]", ""]
        await asyncio.wait_for(running.task, 5)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", running.port)
    assert [row["status"] for row in running.rows() if row["status"] == 200] == [200]


async def test_a_stream_that_outlasts_the_drain_is_cut_and_billed(start):
    engine = TalkingEngine()
    running = await start(engine, settings={"drain_s": 0.2})
    engine.word_s = 0.1
    long = {**BODY, "messages": [{"role": "user", "content": "w " * 100}], "stream": True}
    lines = []
    async with httpx.AsyncClient(base_url=running.url) as http:  # noqa: SIM117
        async with http.stream("POST", URL, json=long) as stream:
            async for line in stream.aiter_lines():
                lines.append(line)
                if not running.gateway.draining:
                    running.server.stop()
    assert "draining" in lines[-2]
    await asyncio.wait_for(running.task, 5)
    await running.gateway.ledger.close()
    (row,) = running.rows()
    assert row["error"] == "draining"
    assert row["completion_tokens"] > 0


async def test_a_deadline_that_is_no_number_is_refused(running):
    async with httpx.AsyncClient(base_url=running.url) as http:
        for value in ("soon", "-1", "nan", "inf"):
            answer = await http.post(URL, json=BODY, headers={"X-Deadline-Seconds": value})
            assert answer.status_code == 400


async def test_a_client_that_closes_its_half_is_taken_to_have_left(running):
    """A closed and a half-closed connection look alike, so that the engine must not go on for either."""
    running.engine.word_s = 0.02
    body = json.dumps({**BODY, "stream": True, "messages": [{"role": "user", "content": "word " * 500}]})
    request = f"POST {URL} HTTP/1.1\r\nHost: g\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    writers = []
    for _ in range(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request)
        await reader.readuntil(b"word")
        writer.write_eof()
        writers.append(writer)
    for _ in range(100):
        if not running.engine.under_way:
            break
        await asyncio.sleep(0.02)
    assert running.engine.under_way == running.gateway.running == 0
    for writer in writers:
        writer.close()
    running.engine.word_s = 0
    await still_serves(running)


async def test_a_client_that_closes_its_half_in_mid_request_is_dropped(running):
    for sent in (b"POST /v1/cha", f"POST {URL} HTTP/1.1\r\nHost: g\r\nContent-Length: 90\r\n\r\n{{".encode()):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(sent)
        writer.write_eof()
        assert b" 200 " not in await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert running.gateway.running == 0
    await still_serves(running)


async def test_many_slow_clients_hold_up_nobody(start):
    running = await start(settings={"head_timeout_s": 1.0, "body_timeout_s": 1.0})
    head = f"POST {URL} HTTP/1.1\r\nHost: g\r\n".encode()
    slow = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(200)]
    for number, (_, writer) in enumerate(slow):
        writer.write(head if number % 2 else head + b"Content-Length: 100\r\n\r\n")
    for turn in range(4):
        for _, writer in slow:
            if not writer.is_closing():
                writer.write(b"X")
        begin = time.perf_counter()
        await still_serves(running)
        assert time.perf_counter() - begin < 2, turn
        await asyncio.sleep(0.1)
    ends = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in slow), return_exceptions=True), 10)
    assert not [end for end in ends if isinstance(end, bytes) and b" 200 " in end]
    for _, writer in slow:
        writer.close()


async def test_bodies_that_were_changed_at_random_are_answered_or_refused_and_never_a_defect(running):
    moment = random.Random(4)
    whole = json.dumps(
        {
            **BODY,
            "stream": False,
            "max_tokens": 5,
            "stop": ["x"],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
            "logprobs": True,
            "top_logprobs": 2,
        }
    ).encode()
    codes: Counter[int] = Counter()
    async with httpx.AsyncClient(base_url=running.url, timeout=5) as http:
        for _ in range(400):
            body = bytearray(whole)
            for _ in range(moment.randint(1, 4)):
                at = moment.randrange(len(body))
                match moment.randrange(4):
                    case 0:
                        body[at] = moment.randrange(256)
                    case 1:
                        del body[at : at + moment.randint(1, 20)]
                    case 2:
                        body[at:at] = moment.choice(
                            [b"null", b'"', b"{}", b"[1]", b"-1", b"1e400", b"\\ud800", b"\x00"]
                        )
                    case _:
                        body[at:at] = body[: moment.randint(1, 40)]
                if not body:
                    break
            path = moment.choice([URL, "/api/chat", "/v1/completions", "/api/generate", "/v1/embeddings", "/api/embed"])
            codes[(await http.post(path, content=bytes(body))).status_code] += 1
    assert set(codes) <= {200, 400, 404}, codes
    assert codes[400] > 100
    assert not [line for line in running.logged() if line["event"] == "defect"]
    await still_serves(running)
