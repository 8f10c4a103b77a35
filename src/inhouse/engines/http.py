"""The one HTTP client of all engines: JSON calls, streamed answers, and every failure as an EngineError.

Knows status codes and sockets; nothing of any server's routes or answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

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
from inhouse.engines.http_reply import BadAnswer, Reply
from inhouse.engines.plain_http import NotReachable, PlainHttp
from inhouse.engines.refusal import refusal
from inhouse.engines.streams import Incoming, malformed
from inhouse.engines.trace_context import outgoing

READ_BUFFER_BYTES = 64 * 1024

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
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=stall_s)
        # A stream watches for its stalls itself: aiohttp would set a new timer for each piece that arrives.
        self._stream_timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
        self._headers = {"Accept-Encoding": "identity", **(headers or {})}
        self._describe = describe
        self._connect_s = connect_s
        self._plain = self._plain_client()
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def json(self, method: str, path: str, body: Any = None, *, timeout_s: float | None = None) -> Any:
        """One call whose answer is one JSON document. `timeout_s` bounds the whole of it."""
        with self._failures(timeout_s):
            async with asyncio.timeout(timeout_s), self._send(method, path, body, self._timeout) as response:
                content = await response.read()
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise malformed(content, str(error)) from None

    @asynccontextmanager
    async def stream(
        self, path: str, body: Any, *, busy: Callable[[], Awaitable[bool]] | None = None
    ) -> AsyncIterator[Incoming]:
        """POSTs and hands over the answer's bytes as they come. Leaving early closes the connection.

        A server that says nothing before it has begun to answer may have queued the request: as long as `busy`
        finds that it is at work, waiting for the answer's beginning is no stall.
        """
        data = encode(body)
        with self._failures():
            async with self._patience(busy):
                plain = self._plain
                response: aiohttp.ClientResponse | Reply = (
                    await plain.post(path, data, outgoing())
                    if plain is not None
                    else await self._first_bytes("POST", path, data, self._stream_timeout)
                )
            try:
                if response.status >= 400:
                    raise self._describe(response.status, response.headers, await response.read())
                with Incoming(response.content, self.stall_s) as incoming:
                    yield incoming
            finally:
                # Reading to the end gave the connection back already; otherwise the server must see it close.
                response.close()

    async def close(self) -> None:
        """Closes all connections. Idempotent; the client opens anew if it is used again."""
        if self._plain is not None:
            self._plain.close()
            self._plain = self._plain_client()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _plain_client(self) -> PlainHttp | None:
        """The quick client for streams, where there is neither encryption nor a proxy on the way."""
        url = self.base_url
        proxied = not is_loopback(url) and getproxies_environment()
        if proxied or not url.startswith("http://") or "@" in url:
            return None
        return PlainHttp(url, self._headers, connect_s=self._connect_s, keep_s=_KEEPALIVE_S)

    @asynccontextmanager
    async def _patience(self, busy: Callable[[], Awaitable[bool]] | None) -> AsyncIterator[None]:
        async with asyncio.timeout(self.stall_s) as limit:
            extending = asyncio.create_task(self._extend(limit, busy)) if busy else None
            try:
                yield
            finally:
                if extending is not None:
                    extending.cancel()

    async def _extend(self, limit: asyncio.Timeout, busy: Callable[[], Awaitable[bool]]) -> None:
        while True:
            await asyncio.sleep(self.stall_s / 2)
            if await busy() and not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time() + self.stall_s)

    @asynccontextmanager
    async def _send(
        self, method: str, path: str, body: Any, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        response = await self._first_bytes(method, path, None if body is None else encode(body), timeout)
        try:
            if response.status >= 400:
                raise self._describe(response.status, response.headers, await response.read())
            yield response
        finally:
            # Reading to the end gave the connection back already; otherwise the server must see it close.
            response.close()

    async def _first_bytes(
        self, method: str, path: str, data: bytes | None, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """Sends; again as long as a kept-alive connection turns out to be closed before it brought a byte.

        Several may: a server that drops idle connections drops all of them at once.
        """
        reused: list[bool] = []
        headers = {**outgoing()} if data is None else {"Content-Type": "application/json", **outgoing()}
        send = partial(
            self._open().request,
            method,
            self.base_url + path,
            data=data,
            headers=headers,
            timeout=timeout,
            trace_request_ctx=reused,
        )
        first: Exception | None = None
        while True:
            reused.clear()
            try:
                return await send()
            except aiohttp.ClientConnectorError as error:
                raise first or error from None  # was there a server a moment ago, it died and was not absent
            except _BROKEN as error:
                # Only a kept-alive connection may have been closed before it brought its first byte without harm.
                if not reused or isinstance(error, aiohttp.ServerTimeoutError):
                    raise
                first = first or error

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            self._loop = loop
            self._session = aiohttp.ClientSession(
                # No cap on connections: one that makes requests wait here would look like the server's latency.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
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
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError, NotReachable) as error:
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
        except (aiohttp.ClientError, BadAnswer) as error:
            raise EngineProtocolError(
                f"{self.base_url} does not answer as an HTTP server should",
                why=_reason(error),
                do="Check that the address is that of a model server",
            ) from error


def encode(body: Any) -> bytes:
    """A request's body as JSON bytes; text that is no valid Unicode is the caller's mistake."""
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise UsageError("The request cannot be sent", why=str(error), do="Send valid UTF-8 text") from None


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
