"""One HTTP exchange over ASGI: its headers and body, its answer at once or in pieces, and whether the client is there.

Knows nothing of what is asked or answered.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from inhouse.core.errors import InvalidRequest, RequestTooLarge
from inhouse.gateway.identity import Caller

Scope = MutableMapping[str, Any]
ASGIMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[ASGIMessage]]
Send = Callable[[ASGIMessage], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

# A client's leaving is watched for only in answers that take so long: the watch costs more than a quick answer.
_WATCH_AFTER_S = 0.02


class Exchange:
    """A request and the answer to it. `headers` are the request's, by lower-case name.

    `caller` is who asks, where that is known without a key (a page whose reader has signed in).
    """

    __slots__ = (
        "_body_late",
        "_receive",
        "_send",
        "_timer",
        "_watch",
        "caller",
        "client_left",
        "headers",
        "request_id",
        "scope",
        "started",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, caller: Caller | None = None
    ) -> None:
        self.scope = scope
        self.caller = caller
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.request_id = request_id
        self.started = False
        self.client_left = False
        self._body_late = False
        self._receive = receive
        self._send = send
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    def key(self) -> str | None:
        """The key that came with the request, in the header of OpenAI's, Anthropic's or Azure's clients."""
        header = self.headers.get(b"authorization")
        if header is not None:
            scheme, _, value = header.partition(b" ")
            if scheme.lower() == b"bearer" and value.strip():
                return value.strip().decode("latin-1")
        header = self.headers.get(b"x-api-key") or self.headers.get(b"api-key")
        return None if header is None else header.decode("latin-1")

    async def body(self, limit_bytes: int, timeout_s: float) -> bytes:
        """The whole body; RequestTooLarge over the limit, InvalidRequest where it does not come."""
        announced = self.headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > limit_bytes:
            raise _too_large(limit_bytes)
        # A timer that cancels the task: asyncio.timeout would cost more than all else here.
        timer = asyncio.get_running_loop().call_later(timeout_s, self._give_up_body, _this_task())
        try:
            message = await self._receive()
            if not message.get("more_body") and message["type"] == "http.request":
                return self._within(limit_bytes, message.get("body", b""))
            return await self._pieces(message, limit_bytes)
        except asyncio.CancelledError:
            if not self._body_late:
                raise
            _this_task().uncancel()
            late = InvalidRequest(f"The body did not come within {timeout_s:g} s", do="Send it faster")
            late.headers = ((b"connection", b"close"),)  # or it could go on holding the connection
            raise late from None
        finally:
            timer.cancel()

    async def _pieces(self, message: ASGIMessage, limit_bytes: int) -> bytes:
        """A body that comes in pieces, of which `message` is the first."""
        pieces: list[bytes] = []
        size = 0
        while message["type"] != "http.disconnect":
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            if not message.get("more_body"):
                return b"".join(pieces)
            message = await self._receive()
        self.client_left = True
        raise InvalidRequest("The client left before it had sent its request")

    def _within(self, limit_bytes: int, body: bytes) -> bytes:
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        return body

    def _give_up_body(self, task: asyncio.Task[Any]) -> None:
        self._body_late = True
        task.cancel()

    async def respond(self, status: int, content_type: bytes, body: bytes, headers: Headers = ()) -> None:
        """The whole answer."""
        self.started = True
        every = [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", self.request_id.encode()),
            *headers,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": every})
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, content_type: bytes, headers: Headers = ()) -> None:
        """Begins an answer in pieces."""
        self.started = True
        every = [
            (b"content-type", content_type),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),  # a proxy before us must not hold the pieces back
            (b"x-request-id", self.request_id.encode()),
            *headers,
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": every})

    async def write(self, piece: bytes) -> None:
        """Sends a piece."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self, piece: bytes) -> None:
        """Sends the last piece."""
        await self._send({"type": "http.response.body", "body": piece})

    def cancel_when_client_leaves(self) -> None:
        """From now on (the body was read) the current task is cancelled when the client goes; `client_left` says so."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_WATCH_AFTER_S, self._begin_watch, _this_task(), loop)

    async def stop_watching(self) -> None:
        """Ends the watch of `cancel_when_client_leaves`."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None and not self._watch.done():
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch

    def _begin_watch(self, task: asyncio.Task[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._watch = loop.create_task(self._cancel_on_disconnect(task))

    async def _cancel_on_disconnect(self, task: asyncio.Task[Any]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_left = True
        task.cancel()


def new_request_id() -> str:
    """An id that sorts by time: microseconds, then 48 random bits."""
    return f"{time.time_ns() // 1000:013x}{os.urandom(6).hex()}"


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _too_large(limit_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(
        "The request is too large", why=f"the limit is {limit_bytes:,} bytes", do="Send less text at a time"
    )
