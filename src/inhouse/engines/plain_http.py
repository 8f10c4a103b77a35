"""POSTs over plain HTTP/1.1 and streams the answer, at a third of what aiohttp's full client costs.

For http:// servers that are reached without a proxy: what a gateway's every request goes through. Knows sockets and
an answer's head (its body: http_reply); raises OSErrors, NotReachable and BadAnswer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

from inhouse.engines.http_reply import MAX_HEAD_BYTES, BadAnswer, Reply

_NO_HEADERS: Mapping[str, str] = {}


class NotReachable(OSError):
    """No connection could be made."""


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
