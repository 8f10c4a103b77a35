"""POSTs over plain HTTP/1.1 and streams the answer, at a third of what aiohttp's full client costs.

For http:// servers that are reached without a proxy: what a gateway's every request goes through. Knows sockets
and HTTP's framing; raises OSErrors, NotReachable and BadAnswer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

from multidict import CIMultiDict

MAX_HEAD_BYTES = 64 * 1024
_HIGH_WATER_BYTES = 256 * 1024  # received and not yet taken: over this the server has to wait

_NO_HEADERS: Mapping[str, str] = {}


class NotReachable(OSError):
    """No connection could be made."""


class BadAnswer(ValueError):
    """The server's bytes are not HTTP."""


class PlainHttp:
    """Connections to one server, kept alive for `keep_s`, without a limit on their number."""

    def __init__(self, base_url: str, headers: Mapping[str, str], *, connect_s: float, keep_s: float) -> None:
        parts = urlsplit(base_url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._path = parts.path
        lines = {"Host": parts.netloc.rpartition("@")[2], "Content-Type": "application/json", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("latin-1")
        self._connect_s = connect_s
        self._keep_s = keep_s
        self._idle: deque[_Connection] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] = _NO_HEADERS) -> Reply:
        """Sends, with `headers` beside those of all requests, and returns when the answer's head has come.

        Again as long as a kept-alive connection turns out to be closed before it brought a byte: a server that
        drops idle connections drops all of them at once.
        """
        own = "".join(f"{name}: {value}\r\n" for name, value in headers.items()) if headers else ""
        head = f"POST {self._path}{path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n{own}".encode("latin-1")
        data = b"%b%b\r\n%b" % (head, self._head, body)
        died: OSError | None = None
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # connections live and die with their event loop
            self._loop = loop
            self._idle.clear()
        while True:
            connection = self._kept()
            reused = connection is not None
            if connection is None:
                try:
                    connection = await self._connect()
                except NotReachable as error:
                    raise died or error from None  # was there a server a moment ago, it died and was not absent
            try:
                return await connection.ask(data)
            except OSError as error:
                if not reused or connection.began:
                    raise
                died = died or error
            except BaseException:
                connection.abort()
                raise

    def close(self) -> None:
        """Closes the idle connections; the others when their answers end."""
        self._keep_s = 0.0
        while self._idle:
            self._idle.pop().abort()

    def _kept(self) -> _Connection | None:
        """The connection that was used last, so that the others may grow old and go."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive and time.monotonic() - connection.idle_since < self._keep_s:
                while self._idle and time.monotonic() - self._idle[0].idle_since >= self._keep_s:
                    self._idle.popleft().abort()
                return connection
            connection.abort()
        return None

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self._idle, self._keep_s), self._host, self._port
                )
        except TimeoutError:
            raise NotReachable(f"no connection within {self._connect_s:g} s") from None
        except OSError as error:
            raise NotReachable(error.strerror or str(error)) from None
        return connection


class _Connection(asyncio.Protocol):
    """One connection and the answer that comes over it."""

    def __init__(self, idle: deque[_Connection], keep_s: float) -> None:
        self.alive = False
        self.began = False
        self.idle_since = 0.0
        self._idle = idle
        self._keeps = keep_s > 0
        self._reply: Reply | None = None
        self._head: asyncio.Future[Reply] | None = None
        self._buffer = b""

    async def ask(self, data: bytes) -> Reply:
        """Sends a request and waits for the head of its answer."""
        if not self.alive:
            raise ConnectionResetError("the connection was closed")
        self.began = False
        self._buffer = b""
        self._reply = None
        self._head = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._head

    def finished(self, *, reusable: bool) -> None:
        """The answer is done with."""
        self._reply = None
        if reusable and self.alive and self._keeps:
            self.idle_since = time.monotonic()
            self._idle.append(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Closes at once: the server sees it and stops."""
        self.alive = False
        self._transport.abort()

    def pause(self, on: bool) -> None:
        """Lets the server wait, or go on."""
        if self.alive:
            self._transport.pause_reading() if on else self._transport.resume_reading()

    # --- what the event loop calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.alive = True

    def data_received(self, data: bytes) -> None:
        if self._reply is not None:
            self._reply.feed(data)
            return
        self._buffer += data
        if self._head is None or self._head.done():  # nothing was asked: the server says goodbye in its own way
            self.abort()
            return
        self.began = True
        try:
            self._read_head(self._head)
        except (ValueError, IndexError) as error:
            self._head.set_exception(BadAnswer(f"{error}: {self._buffer[:80]!r}"))
            self.abort()

    def _read_head(self, waiting: asyncio.Future[Reply]) -> None:
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, rest = self._buffer[:end], self._buffer[end + 4 :]
            if not head.startswith(b"HTTP/1."):
                raise ValueError("no HTTP")
            status = int(head[9:12])
            if status < 200:  # 100 Continue and the like come before the answer
                self._buffer = rest
                continue
            self._reply = Reply(self, status, head)
            waiting.set_result(self._reply)
            if rest or self._reply.at_eof():
                self._reply.feed(rest)
            return
        if len(self._buffer) > MAX_HEAD_BYTES or not self._buffer.startswith(b"HTTP/1."[: len(self._buffer)]):
            raise ValueError("no HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.lost(exc)
        elif self._head is not None and not self._head.done():
            self._head.set_exception(ConnectionResetError(str(exc) if exc else "the connection was closed"))


class Reply:
    """An answer: its status and headers at once, its body as it comes. `close` it, whatever happens."""

    def __init__(self, connection: _Connection, status: int, head: bytes) -> None:
        self.status = status
        self._connection: _Connection | None = connection
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
