"""Lines and events come out the same wherever the network cuts the bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.core.errors import EngineProtocolError
from inhouse.engines import streams
from inhouse.engines.streams import ndjson, sse

EVENTS = (
    ": ping\r\n\r\n"
    'data: {"a":"안녕 🙂"}\r\n\r\n'
    "event: message\ndata: first\ndata: second\nid: 7\n\n"
    "data:no space\n\n"
    "retry: 10\n\n"
    ": another\n"
    "data: [DONE]\n\n"
).encode()
EXPECTED = ['{"a":"안녕 🙂"}'.encode(), b"first\nsecond", b"no space", b"[DONE]"]


class _Transport(asyncio.Transport):
    """Takes the reader's flow control; there is no network to slow down."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def read(
    reader_of: Callable[[aiohttp.StreamReader], AsyncIterator[tuple[float, list[bytes]]]], pieces: list[bytes]
) -> list[tuple[float, list[bytes]]]:
    """What the reader makes of bytes that arrive in these pieces, one an arrival."""
    loop = asyncio.get_running_loop()
    protocol = aiohttp.base_protocol.BaseProtocol(loop)
    protocol.transport = _Transport()
    stream = aiohttp.StreamReader(protocol, 2**16, loop=loop)

    async def feed() -> None:
        for piece in pieces:
            stream.feed_data(piece)
            for _ in range(3):  # so that each piece is an arrival of its own
                await asyncio.sleep(0)
        stream.feed_eof()

    feeding = asyncio.create_task(feed())
    found = [arrival async for arrival in reader_of(stream)]
    await feeding
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(st.integers(0, 10_000), max_size=40))
def test_events_are_the_same_wherever_the_bytes_are_cut(places):
    found = asyncio.run(read(sse, cut(EVENTS, places)))

    assert [data for _, events in found for data in events] == EXPECTED


@given(st.lists(st.integers(0, 10_000), max_size=40), st.booleans())
def test_json_lines_are_the_same_wherever_the_bytes_are_cut(places, closed):
    lines = ['{"response":"안녕"}', '{"response":" 🙂"}', '{"done":true}']
    data = ("\n".join(lines) + ("\n" if closed else "")).encode()
    found = asyncio.run(read(ndjson, cut(data, places)))

    assert [line.decode() for _, arrived in found for line in arrived] == lines


async def test_events_of_one_arrival_share_its_time_and_later_ones_are_later():
    begin = time.perf_counter()
    found = await read(sse, [b"data: 1\n\ndata: 2\n\n", b"data: 3\n\n"])

    assert [events for _, events in found] == [[b"1", b"2"], [b"3"]]
    assert begin <= found[0][0] < found[1][0] <= time.perf_counter()


async def test_a_last_event_without_its_blank_line_is_not_lost():
    found = await read(sse, [b"data: 1\n\ndata: [DO", b"NE]"])

    assert [data for _, events in found for data in events] == [b"1", b"[DONE]"]


async def test_a_line_without_end_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 1000)
    with pytest.raises(EngineProtocolError) as caught:
        await read(sse, [b"data: " + b"x" * 600, b"x" * 600])
    assert "1000 bytes" in caught.value.why
