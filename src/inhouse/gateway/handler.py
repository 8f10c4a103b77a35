"""The pipeline of a hot route, from a request's bytes to the last byte of its answer.

key → body → scope → budget → rates → guard → cache → upstream → guard → ledger → the end of the answer.
Pure ASGI; knows no API (wire.py) and none of the parts from the inside (base.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import cast

from inhouse.core.errors import (
    Draining,
    Forbidden,
    InhouseError,
    ModelNotServed,
    StoreError,
)
from inhouse.engines.base import DoneEvent, Event, Message, TextEvent, ToolCallEvent, UsageEvent
from inhouse.engines.trace_context import of_caller, pass_on
from inhouse.gateway.account import Account, estimate_tokens
from inhouse.gateway.answering import deadline_s, guarded
from inhouse.gateway.answering import events as answer_events
from inhouse.gateway.base import LimitState, Route
from inhouse.gateway.exchange import Exchange
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.http_errors import CLIENT_LEFT, error_code, error_headers, error_status
from inhouse.gateway.keeper import KeptBody
from inhouse.gateway.ledger import UsageRow
from inhouse.gateway.prices import FREE
from inhouse.gateway.wire import AnswerForm, Api, Asked, ChatCall, EmbedCall

JSON = b"application/json"
_DEFAULT_ANSWER_TOKENS = 256  # what the rate limits count for an answer of unknown length, until it is known


async def serve(gateway: Gateway, exchange: Exchange, api: Api) -> None:
    """Serves one request. Whatever happens, the client gets an answer in its API's form, or has left."""
    account = Account(exchange.request_id, gateway.clock(), time.perf_counter(), api.name)
    call: ChatCall | EmbedCall | None = None
    state: LimitState | None = None
    gateway.running += 1
    _pass_on_trace(gateway, exchange, account)
    try:
        call = await _read(gateway, exchange, api, account)
        call, state = await _admit(gateway, account, call)
        exchange.cancel_when_client_leaves()
        headers = state.headers() if state is not None else ()
        if isinstance(call, EmbedCall):
            await _embed(gateway, exchange, account, call, headers)
        elif call.loads is not None:
            await _load(gateway, exchange, account, call.loads(), call.form.content_type)
        elif call.form.stream:
            await _stream(gateway, exchange, account, call, headers)
        else:
            await _at_once(gateway, exchange, account, call, headers)
    except InhouseError as error:
        await _fail(gateway, exchange, api, account, call, error)
    except asyncio.CancelledError:
        if not (exchange.client_left or gateway.draining):
            raise
        cast("asyncio.Task[None]", asyncio.current_task()).uncancel()
        if exchange.client_left:
            account.status, account.error = CLIENT_LEFT, "client_left"
            gateway.ledger.note(_close(gateway, account))
        else:
            await _fail(gateway, exchange, api, account, call, _draining())
    except Exception as error:
        gateway.log.error("defect", request_id=account.id, api=api.name, exc_info=error)
        await _fail(gateway, exchange, api, account, call, InhouseError("The gateway failed", do="Try again"))
    finally:
        gateway.running -= 1
        await exchange.stop_watching()
        if state is not None and gateway.limits is not None:
            prompt, completion, _, _ = account.tokens()
            await gateway.limits.settle(account.known_caller, account.model, account.estimate, prompt + completion)
        if account.row is not None:
            gateway.metrics.count(account.row)
            gateway.request_log.write(account.row, account.stream)
            if gateway.traffic is not None:
                gateway.traffic.note(account.row)
        if gateway.tracing is not None:
            gateway.tracing.record(account, call, exchange.scope["path"])


def _pass_on_trace(gateway: Gateway, exchange: Exchange, account: Account) -> None:
    """The engine's server gets the trace that this request is part of: our span's, or without one the caller's."""
    if gateway.tracing is not None:
        account.trace = gateway.tracing.begin(exchange.headers)
        pass_on(account.trace.headers())
    elif b"traceparent" in exchange.headers:
        pass_on(of_caller(exchange.headers))


async def _read(gateway: Gateway, exchange: Exchange, api: Api, account: Account) -> ChatCall | EmbedCall:
    """Who asks, and for what."""
    if gateway.draining:
        raise _draining()
    account.caller = exchange.caller or gateway.keys.caller(exchange.key())
    settings = gateway.settings
    data = await exchange.body(settings.max_body_bytes, settings.body_timeout_s)
    return api.read(data, Asked(account.id, account.at, account.began))


async def _admit(
    gateway: Gateway, account: Account, call: ChatCall | EmbedCall
) -> tuple[ChatCall | EmbedCall, LimitState | None]:
    """Whether the caller may have that now: the call, for a model by its own name, and the state of its limits.

    The limits must be settled at the end.
    """
    caller = account.known_caller
    asked = call.model if isinstance(call, EmbedCall) else call.request.model
    model = _served(gateway, asked)
    if model is None:
        raise ModelNotServed(f"There is no model {asked!r} here", do="GET /v1/models lists those there are")
    account.model = model
    if isinstance(call, EmbedCall):
        call = replace(call, model=model)
        account.prompt_estimate = account.estimate = estimate_tokens(call.texts)
    else:
        if model != asked:
            call = replace(call, request=replace(call.request, model=model))
        account.stream = call.form.stream
        account.prompt_estimate = estimate_tokens([message.content for message in call.request.messages])
        account.estimate = account.prompt_estimate + (call.request.max_tokens or _DEFAULT_ANSWER_TOKENS)
    if not caller.may_use(model):
        raise Forbidden(f"The key may not use {model}", do="Ask an admin for a key that may")
    gateway.spending.check(caller)
    if gateway.limits is None:
        return call, None
    return call, await gateway.limits.take(caller, model, account.estimate)


def _served(gateway: Gateway, asked: str) -> str | None:
    """The model's name here; as in Ollama, no tag means the tag `latest`."""
    serves = gateway.upstream.serves
    if serves(asked):
        return asked
    other = asked.removesuffix(":latest") if asked.endswith(":latest") else f"{asked}:latest"
    return other if serves(other) else None


# --- the answer -----------------------------------------------------------------------------------------


async def _stream(
    gateway: Gateway, exchange: Exchange, account: Account, call: ChatCall, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    form = call.form
    async with aclosing(answer_events(gateway, exchange, account, call.request)) as pieces:
        async for event in pieces:
            account.got.add(event)
            if type(event) in (UsageEvent, DoneEvent):
                continue
            opening = b""
            if not exchange.started:
                form.model = _model(account)
                opening = form.begin()
                await exchange.begin(form.content_type, _headers(account, headers))
            piece = opening + _piece(form, event)
            if not piece:
                continue
            await exchange.write(piece)
    answer = account.got.answer()
    if not exchange.started:
        await exchange.begin(form.content_type, _headers(account, headers))
        await exchange.write(form.begin())
    await _record(gateway, account)
    _keep_body(gateway, account, call)
    await exchange.end(form.end(answer))


async def _at_once(
    gateway: Gateway, exchange: Exchange, account: Account, call: ChatCall, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    async with aclosing(answer_events(gateway, exchange, account, call.request)) as pieces:
        async for event in pieces:
            account.got.add(event)
    call.form.model = _model(account)
    body = call.form.whole(account.got.answer())
    await _record(gateway, account)
    _keep_body(gateway, account, call)
    await exchange.respond(200, call.form.content_type, body, _headers(account, headers))


async def _embed(
    gateway: Gateway, exchange: Exchange, account: Account, call: EmbedCall, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    texts = call.texts
    if gateway.guard is not None:
        verdict = await guarded(gateway, account, tuple(Message("user", text) for text in texts))
        texts = tuple(message.content for message in verdict.messages)
    account.route = Route(call.model)
    embeddings = await gateway.upstream.embed(
        call.model, texts, account.known_caller, account.route, deadline_s=deadline_s(gateway, exchange)
    )
    account.got.usage = UsageEvent(time.perf_counter(), embeddings.prompt_tokens, 0)
    body = call.document(embeddings)
    await _record(gateway, account)
    await exchange.respond(200, JSON, body, headers)


async def _load(gateway: Gateway, exchange: Exchange, account: Account, body: bytes, content_type: bytes) -> None:
    """The model is kept loaded by the upstream: there is nothing to do but to say so."""
    await _record(gateway, account)
    await exchange.respond(200, content_type, body)


def _headers(account: Account, headers: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    if account.route is not None and account.route.conversation:
        return [*headers, (b"x-conversation-id", account.route.conversation.encode())]
    if account.cache is None:
        return headers
    return [*headers, (b"x-cache", b"hit"), (b"age", b"%d" % account.cache_age_s)]


def _piece(form: AnswerForm, event: Event) -> bytes:
    if type(event) is TextEvent:
        return form.text(event)
    return form.call(event) if isinstance(event, ToolCallEvent) else b""


# --- the end --------------------------------------------------------------------------------------------


async def _record(gateway: Gateway, account: Account) -> None:
    """Returns once the request's usage is kept: only then may the client see the end of its answer."""
    await gateway.ledger.record(_close(gateway, account))


def _keep_body(gateway: Gateway, account: Account, call: ChatCall) -> None:
    """Keeps prompt and answer, where that is turned on."""
    keeper = gateway.keeper
    if keeper is None or keeper.bodies is None:
        return
    answer = account.got.answer()
    said = {"text": answer.text, "tool_calls": answer.tool_calls, "finish_reason": answer.finish_reason}
    keeper.body(KeptBody(account.id, account.known_caller.key_id, asdict(call.request), said, call.person))


async def _fail(
    gateway: Gateway,
    exchange: Exchange,
    api: Api,
    account: Account,
    call: ChatCall | EmbedCall | None,
    error: InhouseError,
) -> None:
    """Ends the request with an error, as well as its stream where one had begun."""
    account.status, account.error = error_status(error), error_code(error)
    gateway.metrics.refused.labels(account.error).inc()
    if account.caller is None:
        gateway.log.info("refused", request_id=account.id, api=api.name, status=account.status, error=account.error)
    elif isinstance(error, StoreError):  # the ledger itself, which would refuse this row too
        account.close(time.perf_counter())
    else:
        gateway.ledger.note(_close(gateway, account))
    if account.status >= 500:
        gateway.log.warning("failed", request_id=account.id, status=account.status, error=str(error))
    if exchange.started and isinstance(call, ChatCall):
        await exchange.end(call.form.broken(error))
    else:
        await exchange.respond(account.status, JSON, api.error(error), error_headers(error))


def _close(gateway: Gateway, account: Account) -> UsageRow:
    model = account.route.model if account.route is not None else account.model
    row = account.close(time.perf_counter(), gateway.prices.get(model, FREE))
    gateway.spending.add(row)
    return row


def _model(account: Account) -> str:
    return account.route.model if account.route is not None else account.model


def _draining() -> Draining:
    return Draining("The gateway is shutting down", do="Send the request again in a moment", retry_after_s=1)
