"""The gateway as an engine for one caller: what a page or an agent asks goes the way of every request.

Each is let in, guarded, cached, queued, answered and booked by the pipeline (handler.py), as if it had come over the
API. Knows no page and no agent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from inhouse.core.errors import AnswerStopped, InhouseError, UnsupportedFeature
from inhouse.engines.base import (
    Capabilities,
    ChatRequest,
    DoneEvent,
    Embeddings,
    Event,
    Health,
    LoadedModel,
    LoadTimes,
    ModelInfo,
    TextEvent,
    ToolCallEvent,
    UsageEvent,
)
from inhouse.gateway.base import Answer
from inhouse.gateway.exchange import ASGIMessage, Exchange, new_request_id
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.handler import serve
from inhouse.gateway.identity import Caller
from inhouse.gateway.wire import Api, ChatCall

_Told = Event | InhouseError | None  # None: the end, be it complete or not


class CallersEngine:
    """See `Engine`. `api` is the name that the ledger and the metrics know its requests by.

    `about` tells of the last request: its id in the ledger as `request`, and an answer's `citations`, if it has any.
    """

    name = "gateway"

    def __init__(self, gateway: Gateway, caller: Caller, *, api: str) -> None:
        self._gateway, self._caller, self._api = gateway, caller, api
        self._stopped = False
        self._told: asyncio.Queue[_Told] | None = None
        self.about: dict[str, Any] = {}

    @property
    def capabilities(self) -> Capabilities:
        """Those of chat; what a model cannot do it refuses itself."""
        return Capabilities(tools=True, json_schema=True)

    def stop(self) -> None:
        """Ends the answer that is under way, with what has come of it, and begins no other."""
        self._stopped = True
        if self._told is not None:
            self._told.put_nowait(None)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine.chat`. Raises what the gateway refuses requests with besides, and AnswerStopped."""
        if self._stopped:
            raise _stopped()
        told: asyncio.Queue[_Told] = asyncio.Queue()
        form = _Events(told)
        exchange = Exchange(
            {"type": "http", "path": self._api, "headers": []}, _body_then_nothing(), _ignore, new_request_id(),
            self._caller,
        )  # fmt: skip
        self.about = {"request": exchange.request_id}
        self._told = told
        api = Api(self._api, lambda data, asked: ChatCall(request, form), form.refused)
        serving = asyncio.create_task(serve(self._gateway, exchange, api), name=f"serve {exchange.request_id}")
        serving.add_done_callback(lambda _: told.put_nowait(None))
        begun = ended = False
        try:
            while (event := await told.get()) is not None:
                if isinstance(event, InhouseError):
                    raise event
                begun, ended = begun or isinstance(event, TextEvent), isinstance(event, DoneEvent)
                yield event
            if self._stopped and not ended:
                if not begun:
                    raise _stopped()
                yield DoneEvent(time.perf_counter(), "stop")
        finally:
            self._told = None
            if form.citations is not None:
                self.about["citations"] = form.citations
            if not serving.done():
                exchange.client_left = True
                serving.cancel()
                with suppress(asyncio.CancelledError):
                    await serving

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """Unsupported: only chat goes this way."""
        raise UnsupportedFeature("Only chat is asked this way")

    async def count_tokens(self, model: str, text: str) -> int:
        """Unsupported: the upstream counts for nobody."""
        raise UnsupportedFeature("The gateway counts no tokens")

    async def models(self) -> tuple[ModelInfo, ...]:
        """Those that the caller may use."""
        return tuple(info for info in await self._gateway.upstream.models() if self._caller.may_use(info.name))

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """The upstream's."""
        return await self._gateway.upstream.loaded()

    async def load(self, model: str) -> LoadTimes:
        """Unsupported: the upstream loads its models itself."""
        raise UnsupportedFeature("The gateway loads its models itself")

    async def unload(self, model: str) -> None:
        """Unsupported, as `load`."""
        raise UnsupportedFeature("The gateway unloads its models itself")

    async def health(self) -> Health:
        """The upstream's."""
        return await self._gateway.upstream.health()

    async def close(self) -> None:
        """Nothing: the gateway belongs to whoever started it."""


class _Events:
    """An answer's form (see `wire.AnswerForm`) that hands the events on as they are, and writes nothing."""

    stream = True
    content_type = b""
    model = ""

    def __init__(self, told: asyncio.Queue[_Told]) -> None:
        self._told = told
        self.citations: list[Mapping[str, Any]] | None = None

    def begin(self) -> bytes:
        return b""

    def text(self, event: TextEvent) -> bytes:
        self._told.put_nowait(event)
        return b""

    def call(self, event: ToolCallEvent) -> bytes:
        self._told.put_nowait(event)
        return b""

    def end(self, answer: Answer) -> bytes:
        if answer.citations is not None:
            self.citations = [asdict(one) for one in answer.citations]
        at = time.perf_counter()
        usage = UsageEvent(
            at, answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens, dict(answer.timings)
        )
        self._told.put_nowait(usage)
        self._told.put_nowait(DoneEvent(at, answer.finish_reason))
        return b""

    def whole(self, answer: Answer) -> bytes:
        return self.end(answer)

    def broken(self, error: InhouseError) -> bytes:
        self._told.put_nowait(error)
        return b""

    refused = broken


def _body_then_nothing() -> Any:
    """An ASGI `receive` of an empty body, whose client never leaves."""
    given = False

    async def receive() -> ASGIMessage:
        nonlocal given
        if given:
            await asyncio.get_running_loop().create_future()
        given = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


async def _ignore(message: ASGIMessage) -> None:
    """An ASGI `send` to nobody."""


def _stopped() -> AnswerStopped:
    return AnswerStopped("The answer was stopped before its first word")
