"""The framing of answers over plain HTTP/1.1: whatever the pieces in which bytes come, the body is the same."""

from __future__ import annotations

import asyncio

import pytest
from scripted_server import CLOSE, RESET, ScriptedServer, scripted

from inhouse.engines.http_reply import MAX_HEAD_BYTES, BadAnswer, Reply
from inhouse.engines.plain_http import NotReachable, PlainHttp

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = "안녕하세요 🙂\r\n0\r\n\r\nend".encode()  # with what looks like the end of a chunked body


def client(server: ScriptedServer, keep_s: float = 30.0) -> PlainHttp:
    return PlainHttp(server.url, {}, connect_s=5.0, keep_s=keep_s)


async def ask(http: PlainHttp) -> tuple[int, bytes]:
    reply = await http.post("/x", b"{}")
    try:
        return reply.status, await asyncio.wait_for(reply.read(), 5)
    finally:
        reply.close()


async def once(*script: bytes | float | str) -> tuple[int, bytes]:
    async with scripted(script) as server:
        http = client(server)
        try:
            return await asyncio.wait_for(ask(http), 5)
        finally:
            http.close()


def chunks(*sizes: int, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    """BODY in chunks of these sizes and a last one of the rest."""
    framed, at = b"", 0
    for size in (*sizes, len(BODY) - sum(sizes)):
        framed += b"%x%b\r\n%b\r\n" % (size, extension, BODY[at : at + size])
        at += size
    return framed + b"0\r\n" + trailers + b"\r\n"


@pytest.mark.parametrize(
    "framed",
    [
        chunks(),
        chunks(1, 1, 2),
        chunks(3, 10, extension=b";name=value"),
        chunks(5, trailers=b"X-Sum: 1\r\nX-Other: 2\r\n"),
        chunks(5).replace(b"5\r\n", b"0005\r\n", 1),
        chunks(10).replace(b"a\r\n", b"A\r\n", 1),
    ],
    ids=["one", "small", "extensions", "trailers", "zeros", "capitals"],
)
async def test_a_chunked_body_is_the_same_wherever_its_bytes_are_split(framed):
    whole = CHUNKED + framed
    assert await once(whole) == (200, BODY)
    for at in range(len(framed)):
        assert feed(framed, at) == BODY
    assert await once(*(bit for byte in whole for bit in (bytes([byte]), 0.0005))) == (200, BODY)


class _Wire:
    """What a Reply needs of its connection."""

    reusable: bool | None = None

    def finished(self, *, reusable: bool) -> None:
        self.reusable = reusable

    def pause(self, on: bool) -> None:
        pass


def feed(framed: bytes, *splits: int) -> bytes | None:
    """The body of an answer whose bytes come in pieces; None where it has not ended."""
    reply = Reply(_Wire(), 200, CHUNKED.removesuffix(b"\r\n\r\n"))
    at = 0
    for split in (*splits, len(framed)):
        reply.feed(framed[at:split])
        at = split
    if not reply._ended:
        return None
    return b"".join(reply._parts)


def test_every_pair_of_splits_gives_the_same_body():
    framed = chunks(1, 16, trailers=b"T: 1\r\n")
    for first in range(len(framed)):
        for second in range(first, len(framed), 3):
            assert feed(framed, first, second) == BODY


@pytest.mark.parametrize("cut", [1, 3, 10, -1, -3])
def test_a_chunked_body_that_lacks_bytes_has_not_ended(cut):
    assert feed(chunks(5)[:cut]) is None


@pytest.mark.parametrize("size", [b"g", b"-1", b"+5", b"0x5", b"1_0", b"", b" ", "٣".encode()])
async def test_a_chunk_size_that_is_none_is_a_bad_answer(size):
    with pytest.raises(BadAnswer, match="size of a chunk"):
        await once(CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n")


async def test_a_chunk_longer_than_it_said_is_a_bad_answer():
    with pytest.raises(BadAnswer):
        await once(CHUNKED + b"3\r\nhello\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 \r\n\r\n",
        b"\x00\x01\x02",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MAX_HEAD_BYTES // 5),
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    ],
    ids=["ssh", "http2", "letters", "nothing", "binary", "endless", "length"],
)
async def test_what_is_no_http_is_a_bad_answer(head):
    with pytest.raises(BadAnswer):
        await once(head, 0.5)


async def test_interim_answers_come_before_the_one():
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    assert await once(early + HEAD + b"Content-Length: 2\r\n\r\nok") == (200, b"ok")
    assert await once(early[:30], 0.02, early[30:], 0.02, HEAD + b"Content-Length: 2\r\n\r\nok") == (200, b"ok")


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 503 X\r\ncontent-LENGTH:5\r\n\r\nhello", 503, b"hello"),
        (b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, b"hello"),
    ],
)
async def test_bodies_of_a_known_length(answer, status, body):
    assert await once(answer) == (status, body)


async def test_a_body_without_a_length_goes_on_until_the_server_closes():
    assert await once(HEAD + b"\r\nhello", 0.02, b" there", CLOSE) == (200, b"hello there")


@pytest.mark.parametrize(
    "sent", [CHUNKED + b"5\r\nhel", HEAD + b"Content-Length: 10\r\n\r\nhello", HEAD + b"Content-Le"]
)
@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_a_connection_that_ends_too_early_is_an_error_and_no_short_body(sent, end):
    with pytest.raises(OSError, match=r".+"):
        await once(sent, 0.02, end)


# --- connections that are kept --------------------------------------------------------------------------

OK = HEAD + b"Content-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("answer", [OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n"])
async def test_a_connection_is_used_again_after_a_whole_answer(answer):
    async with scripted([answer]) as server:
        http = client(server)
        assert [await ask(http) for _ in range(5)] == [(200, b"ok")] * 5
        assert server.connections == 1
        http.close()


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"more than was announced",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
    ],
    ids=["close", "1.0", "more", "more after the last chunk"],
)
async def test_a_connection_is_not_used_again_after_what_it_cannot_be_trusted_after(answer):
    async with scripted([answer]) as server:
        http = client(server)
        assert [await ask(http) for _ in range(3)] == [(200, b"ok")] * 3
        assert server.connections == 3
        http.close()


async def test_a_kept_connection_that_the_server_has_closed_costs_no_request():
    async with scripted([OK, CLOSE]) as server:
        http = client(server)
        for _ in range(3):
            assert await ask(http) == (200, b"ok")
            await asyncio.sleep(0.02)
        assert server.connections == 3
        http.close()


async def test_a_kept_connection_that_dies_when_it_is_asked_is_replaced_and_one_that_had_begun_is_not():
    async with scripted([OK], [RESET], [OK]) as server:
        http = client(server)
        assert await ask(http) == (200, b"ok")
        assert await ask(http) == (200, b"ok")
        assert (server.connections, len(server.requests)) == (2, 3)
        http.close()
    async with scripted([OK], [HEAD, RESET], [OK]) as server:
        http = client(server)
        await ask(http)
        with pytest.raises(OSError, match=r".+"):
            await ask(http)
        assert len(server.requests) == 2  # its answer had begun: the server may have done what was asked
        http.close()


async def test_an_answer_that_is_given_up_closes_its_connection():
    async with scripted([CHUNKED + b"2\r\nok\r\n", 30.0]) as server:
        http = client(server)
        reply = await http.post("/x", b"{}")
        assert await reply.readany() == b"ok"
        reply.close()
        await asyncio.wait_for(server.closed_by_client.wait(), 5)


async def test_a_server_that_is_not_there_is_not_reachable():
    with pytest.raises(NotReachable):
        await ask(PlainHttp("http://127.0.0.1:9", {}, connect_s=2.0, keep_s=1.0))


async def test_a_server_that_sends_faster_than_is_read_has_to_wait():
    size = 4 * 1024 * 1024
    async with scripted([HEAD + b"Content-Length: %d\r\n\r\n" % size + b"x" * size]) as server:
        http = client(server)
        reply = await http.post("/x", b"{}")
        await asyncio.sleep(0.2)
        assert reply._size < 1024 * 1024
        assert len(await reply.read()) == size
        reply.close()
        http.close()
