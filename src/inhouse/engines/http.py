"""The one HTTP client of all engines: JSON calls, streamed answers, and every failure as an EngineError.

Knows status codes, sockets and line framing; nothing of any server's routes or answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from inhouse.core.errors import (
    EngineCrashed,
    EngineError,
    EngineProtocolError,
    EngineStalled,
    EngineUnavailable,
    UsageError,
)
from inhouse.engines.refusal import refusal

READ_BUFFER_BYTES = 64 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024  # a longer line is no event of any protocol we speak

# Below the 5 s after which llama.cpp's server drops an idle connection, so that we are the first to let go.
_KEEPALIVE_S = 4.0

# What a broken connection looks like. (Failures to connect are of these classes too, and are sorted out before.)
_BROKEN = (aiohttp.ClientConnectionError, ConnectionError)


class HttpClient:
    """Talks JSON with one server, over kept-alive connections without a limit on their number.

    `stall_s` bounds each wait for bytes, `connect_s` the connecting; a whole answer may take as long as it
    likes. `describe` turns a refusal (status, headers, body) into the error that suits the server.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        stall_s: float = 120.0,
        connect_s: float = 10.0,
        describe: Callable[[int, Mapping[str, str], bytes], EngineError] = refusal,
    ) -> None:
        self.base_url = checked_url(base_url)
        self.stall_s = stall_s
        self._connect_s = connect_s
        self._headers = {"Accept-Encoding": "identity", **(headers or {})}
        self._describe = describe
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def json(self, method: str, path: str, body: Any = None, *, timeout_s: float | None = None) -> Any:
        """One call whose answer is one JSON document. `timeout_s` bounds the whole of it."""
        with self._failures(timeout_s):
            async with asyncio.timeout(timeout_s), self._send(method, path, body) as response:
                content = await response.read()
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise malformed(content, str(error)) from None

    @asynccontextmanager
    async def stream(self, path: str, body: Any) -> AsyncIterator[aiohttp.StreamReader]:
        """POSTs and hands over the answer's bytes as they come. Leaving early closes the connection."""
        with self._failures():
            async with self._send("POST", path, body) as response:
                yield response.content

    async def close(self) -> None:
        """Closes all connections. Idempotent; the client opens anew if it is used again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def _send(self, method: str, path: str, body: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        data = None if body is None else encode(body)
        headers = {} if data is None else {"Content-Type": "application/json"}
        response = await self._first_bytes(method, self.base_url + path, data, headers)
        try:
            if response.status >= 400:
                raise self._describe(response.status, response.headers, await response.read())
            yield response
        finally:
            # Reading to the end gave the connection back already; otherwise the server must see it close.
            response.close()

    async def _first_bytes(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """Sends; once more if a kept-alive connection turned out to be closed before it brought a byte."""
        reused: list[bool] = []
        session = self._open()
        try:
            return await session.request(method, url, data=data, headers=headers, trace_request_ctx=reused)
        except _BROKEN as first:
            # Only a kept-alive connection may have been closed before it brought its first byte without harm.
            if not reused or isinstance(first, aiohttp.ServerTimeoutError):
                raise
            try:
                return await session.request(method, url, data=data, headers=headers, trace_request_ctx=reused)
            except aiohttp.ClientConnectorError:
                raise first from None  # there was a server a moment ago: it died, it was not absent

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            self._loop = loop
            self._session = aiohttp.ClientSession(
                # No cap on connections: one that makes requests wait here would look like the server's latency.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s, sock_read=self.stall_s),
                headers=self._headers,
                read_bufsize=READ_BUFFER_BYTES,
                trace_configs=[trace],
                # A company's proxy is for the world outside, never for a server on this machine.
                trust_env=not is_loopback(self.base_url),
            )
        return self._session

    @contextmanager
    def _failures(self, timeout_s: float | None = None) -> Iterator[None]:
        """Turns what aiohttp and the socket raise into the tree of engine errors."""
        try:
            yield
        except EngineError:
            raise
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise EngineUnavailable(
                f"No server answers at {self.base_url}", why=_reason(error), do="Start it, or correct the address"
            ) from error
        except (aiohttp.ServerTimeoutError, TimeoutError) as error:
            raise EngineStalled(
                f"{self.base_url} is connected but did not answer within {timeout_s or self.stall_s:g} s",
                do="Look at the server's log and load, or raise INHOUSE_STALL_S",
            ) from error
        except (*_BROKEN, aiohttp.ClientPayloadError) as error:
            raise EngineCrashed(
                f"{self.base_url} broke off in the middle of an answer",
                why=_reason(error),
                do="Look at the server's log for why it ended",
            ) from error
        except aiohttp.ClientError as error:
            raise EngineProtocolError(
                f"{self.base_url} does not answer as an HTTP server should",
                why=_reason(error),
                do="Check that the address is that of a model server",
            ) from error


async def sse(content: aiohttp.StreamReader) -> AsyncIterator[tuple[float, list[bytes]]]:
    """Server-sent events: for each arrival of bytes its time (perf_counter) and the data it completed."""
    fields: list[bytes] = []
    async for at, lines in _lines(content):
        events = []
        for line in lines:
            if not line:
                if fields:
                    events.append(fields[0] if len(fields) == 1 else b"\n".join(fields))
                    fields = []
            elif line.startswith(b"data:"):
                fields.append(line[6:] if line.startswith(b" ", 5) else line[5:])
            elif line.startswith(b"error:"):  # how older llama.cpp servers report a failure in mid-stream
                events.append(line[6:].strip())
            elif not line.startswith((b":", b"event:", b"id:", b"retry:")):
                raise malformed(line, "not a server-sent event")
        if events:
            yield at, events
    if fields:  # some servers leave out the last blank line
        yield time.perf_counter(), [b"\n".join(fields)]


async def ndjson(content: aiohttp.StreamReader) -> AsyncIterator[tuple[float, list[bytes]]]:
    """JSON lines: for each arrival of bytes its time (perf_counter) and the lines it completed."""
    async for at, lines in _lines(content):
        if whole := [line for line in lines if line]:
            yield at, whole


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[tuple[float, list[bytes]]]:
    """Splits bytes into lines (LF or CRLF) wherever the network cut them; an unfinished last line counts too."""
    rest = b""
    while chunk := await content.readany():
        at = time.perf_counter()
        lines = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        rest = lines.pop()
        if len(rest) > MAX_LINE_BYTES:
            raise malformed(rest, f"a line of over {MAX_LINE_BYTES} bytes")
        if lines:
            yield at, [line[:-1] if line.endswith(b"\r") else line for line in lines]
    if rest:
        yield time.perf_counter(), [rest]


def decode(data: bytes) -> dict[str, Any]:
    """One JSON object of a stream."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise malformed(data, str(error)) from None
    if not isinstance(value, dict):
        raise malformed(data, "not a JSON object")
    return value


def encode(body: Any) -> bytes:
    """A request's body as JSON bytes; text that is no valid Unicode is the caller's mistake."""
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise UsageError("The request cannot be sent", why=str(error), do="Send valid UTF-8 text") from None


def malformed(data: bytes, why: str) -> EngineProtocolError:
    """The error for bytes that are not the server's protocol, quoting their beginning."""
    start = data[:80].decode("utf-8", "replace") + ("…" if len(data) > 80 else "")
    return EngineProtocolError(
        f"The server sent what cannot be read: {start!r}",
        why=why,
        do="Check that the address is that of a model server, and its version",
    )


def checked_url(url: str) -> str:
    """The URL without a trailing slash; UsageError where it is none that a server can be reached at."""
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{url!r} is no address of a server", do="Give it as http://host:port or https://host/path")
    return url.strip().rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether the URL names this machine itself."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


async def _note_reuse(_session: Any, request: Any, _params: Any) -> None:
    request.trace_request_ctx.append(True)
