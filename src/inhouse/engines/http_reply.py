"""An HTTP/1.1 answer: status and headers, and a body that is taken as it comes, in either of HTTP's framings.

Knows no socket: it is fed bytes, and tells its line when to wait and when it is done with.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from multidict import CIMultiDict

MAX_HEAD_BYTES = 64 * 1024
_HIGH_WATER_BYTES = 256 * 1024  # received and not yet taken: over this the server has to wait


class BadAnswer(ValueError):
    """The server's bytes are not HTTP."""


class Line(Protocol):
    """The connection that an answer comes over."""

    def pause(self, on: bool) -> None:
        """Lets the server wait, or go on."""
        ...

    def finished(self, *, reusable: bool) -> None:
        """The answer is done with; whether the connection can take another request."""
        ...


class Reply:
    """An answer: its status and headers at once, its body as it comes. `close` it, whatever happens."""

    def __init__(self, connection: Line, status: int, head: bytes) -> None:
        self.status = status
        self._connection: Line | None = connection
        self._head = head
        self._parts: list[bytes] = []
        self._size = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._rest = b""  # of a chunk's size line
        lower = head.lower()
        self._chunked = b"\r\ntransfer-encoding: chunked" in lower or _value(lower, b"transfer-encoding") == b"chunked"
        length = None if self._chunked else _value(lower, b"content-length")
        self._left = -1 if length is None else int(length)  # of the body, or of the chunk; -1: up to the end
        if self._chunked:
            self._left = 0
        self._ended = status in (204, 304) or (not self._chunked and self._left == 0)
        kept = b"close" not in (_value(lower, b"connection") or b"") and head.startswith(b"HTTP/1.1")
        self._reusable = kept and (self._chunked or length is not None)
        self._closing_chunk = False

    @property
    def headers(self) -> CIMultiDict[str]:
        """The headers, by name in any case."""
        lines = (line.partition(b":") for line in self._head.split(b"\r\n")[1:])
        return CIMultiDict((name.decode("latin-1"), value.strip().decode("latin-1")) for name, _, value in lines)

    @property
    def content(self) -> Reply:
        """The body."""
        return self

    def at_eof(self) -> bool:
        """Whether the whole body has been taken."""
        return self._ended and not self._parts

    async def readany(self) -> bytes:
        """What has come, waited for if that is nothing; b"" at the end."""
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self._size = 0
        if self._paused and self._connection is not None:
            self._paused = False
            self._connection.pause(False)
        return data

    async def read(self) -> bytes:
        """All up to the end."""
        pieces = []
        while piece := await self.readany():
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Gives the connection back if the body has come to its end; else the server sees it close."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finished(reusable=self._ended and self._reusable and self._error is None)

    def set_exception(self, error: Exception) -> None:
        """Whoever waits for the body, or will, gets the error."""
        self._error = error
        self._wake()

    def lost(self, error: Exception | None) -> None:
        """The connection is gone: the end of a body without a length, or a broken answer."""
        if self._ended:
            return
        if self._left == -1 and error is None:
            self._ended = True
            self._wake()
        else:
            self.set_exception(ConnectionResetError(str(error) if error else "the connection was closed"))

    def feed(self, data: bytes) -> None:
        """Takes in bytes of the body, in HTTP's framing."""
        if self._ended or self._error is not None:
            if data:
                self._reusable = False  # more than was announced
            return
        if self._chunked:
            try:
                self._feed_chunks(data)
            except ValueError as error:
                self.set_exception(BadAnswer(f"no size of a chunk: {error}"))
        else:
            self._feed_plain(data)
        if self._parts or self._ended:
            self._wake()
        if self._size > _HIGH_WATER_BYTES and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.pause(True)

    def _feed_plain(self, data: bytes) -> None:
        if self._left >= 0:
            self._reusable = self._reusable and len(data) <= self._left
            data = data[: self._left]
            self._left -= len(data)
            self._ended = self._left == 0
        self._take(data)

    def _feed_chunks(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, end = 0, len(data)
        while at < end:
            if self._left > 0:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self._take(piece)
                self._closing_chunk = self._left == 0
                continue
            line = data.find(b"\r\n", at)
            if line < 0:
                if end - at > MAX_HEAD_BYTES:
                    raise ValueError("too long a line")
                self._rest = data[at:]
                return
            if self._closing_chunk:  # the line end after a chunk's bytes
                if line != at:
                    raise ValueError(repr(data[at:line][:20]))
                self._closing_chunk = False
            elif self._left == -2:  # trailers after the last chunk, up to an empty line
                if line == at:
                    self._ended = True
                    self._reusable = self._reusable and line + 2 == end
                    return
            else:
                size = data[at:line].partition(b";")[0].strip()
                self._left = _hex(size) or -2
            at = line + 2

    def _take(self, piece: bytes) -> None:
        if piece:
            self._parts.append(piece)
            self._size += len(piece)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _hex(digits: bytes) -> int:
    # int() itself would take signs and underscores.
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise ValueError(repr(digits[:20]))
    return int(digits, 16)


def _value(lower_head: bytes, name: bytes) -> bytes | None:
    at = lower_head.find(b"\r\n%b:" % name)
    if at < 0:
        return None
    end = lower_head.find(b"\r\n", at + 2)
    return lower_head[at + len(name) + 3 : end if end >= 0 else None].strip()
