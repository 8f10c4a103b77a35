"""The pieces of a streamed answer as they come in: stalls noticed, bytes cut into events or lines, JSON read.

Knows line framing; nothing of what the lines mean.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

import aiohttp
import orjson

from inhouse.core.errors import EngineProtocolError
from inhouse.engines.http_reply import Reply

MAX_LINE_BYTES = 16 * 1024 * 1024  # a longer line is no event of any protocol we speak


class Incoming:
    """The bytes of a streamed answer. Waiting for more than `stall_s` for the next ones is a TimeoutError."""

    def __init__(self, content: aiohttp.StreamReader | Reply, stall_s: float) -> None:
        self._content = content
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None
        self._timer = self._loop.call_later(stall_s, self._check)

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    async def readany(self) -> bytes:
        """What has arrived, waited for if that is nothing; b"" at the end."""
        self._waiting_since = self._loop.time()
        chunk = await self._content.readany()
        self._waiting_since = None
        return chunk

    @property
    def ended(self) -> bool:
        """Whether all up to the end was read."""
        return self._content.at_eof()

    async def read(self) -> bytes:
        """All up to the end."""
        return await self._content.read()

    def _check(self) -> None:
        now = self._loop.time()
        since = now if self._waiting_since is None else self._waiting_since
        if now - since >= self._stall_s:
            self._content.set_exception(TimeoutError())
        else:
            self._timer = self._loop.call_at(since + self._stall_s, self._check)


class _Readable(Protocol):
    async def readany(self) -> bytes: ...


async def sse(content: _Readable) -> AsyncIterator[tuple[float, list[bytes]]]:
    """Server-sent events: for each arrival of bytes its time (perf_counter) and the data it completed."""
    rest = b""
    fields: list[bytes] = []
    while chunk := await content.readany():
        at = time.perf_counter()
        lines, rest = _lines(rest, chunk)
        if events := _events(lines, fields):
            yield at, events
    # Some servers leave out what closes the last event.
    if events := _events([rest, b""], fields):
        yield time.perf_counter(), events


async def ndjson(content: _Readable) -> AsyncIterator[tuple[float, list[bytes]]]:
    """JSON lines: for each arrival of bytes its time (perf_counter) and the lines it completed."""
    rest = b""
    while chunk := await content.readany():
        at = time.perf_counter()
        lines, rest = _lines(rest, chunk)
        if whole := [line for line in lines if line]:
            yield at, whole
    if rest:
        yield time.perf_counter(), [rest]


def _lines(rest: bytes, chunk: bytes) -> tuple[list[bytes], bytes]:
    """The lines (ended by LF or CRLF) that the chunk completes, and the beginning of the next."""
    lines = (rest + chunk).split(b"\n")
    rest = lines.pop()
    if len(rest) > MAX_LINE_BYTES:
        raise malformed(rest, f"a line of over {MAX_LINE_BYTES} bytes")
    return [line[:-1] if line.endswith(b"\r") else line for line in lines], rest


def _events(lines: list[bytes], fields: list[bytes]) -> list[bytes]:
    """The data of the events that the lines complete; `fields` keeps that of the unfinished one."""
    events = []
    for line in lines:
        if line.startswith(b"data:"):
            fields.append(line[6:] if line.startswith(b" ", 5) else line[5:])
        elif not line:
            if fields:
                events.append(b"\n".join(fields))
                fields.clear()
        elif line.startswith(b"error:"):  # how older llama.cpp servers report a failure in mid-stream
            events.append(line[6:].strip())
        elif not line.startswith((b":", b"event:", b"id:", b"retry:")):
            raise malformed(line, "not a server-sent event")
    return events


def decode(data: bytes) -> dict[str, Any]:
    """One JSON object of a stream."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise malformed(data, str(error)) from None
    if not isinstance(value, dict):
        raise malformed(data, "not a JSON object")
    return value


def malformed(data: bytes, why: str) -> EngineProtocolError:
    """The error for bytes that are not the server's protocol, quoting their beginning."""
    start = data[:80].decode("utf-8", "replace") + ("…" if len(data) > 80 else "")
    return EngineProtocolError(
        f"The server sent what cannot be read: {start!r}",
        why=why,
        do="Check that the address is that of a model server, and its version",
    )
