"""The events of one answer as the caller may see them: guard, cache, upstream, and the guard again.

Knows no API and no bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from inhouse.core.errors import EngineProtocolError, GuardBlocked, InvalidRequest
from inhouse.engines.base import ChatRequest, DoneEvent, Event, Message, TextEvent, ToolCallEvent
from inhouse.gateway.account import Account, Collector
from inhouse.gateway.audit import AuditEvent
from inhouse.gateway.base import Route
from inhouse.gateway.exchange import Exchange
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.guard.verdict import Action, Finding, Verdict, strictest

_LONG_TEXT = 20_000  # characters whose check would keep other requests waiting
Events = AsyncGenerator[Event, None]


async def events(gateway: Gateway, exchange: Exchange, account: Account, request: ChatRequest) -> Events:
    """The answer's events as the caller may see them; ends with a DoneEvent or an error."""
    verdict = None
    route = Route(request.model, conversation=_conversation(gateway, exchange, request))
    if gateway.guard is not None:
        verdict = await guarded(gateway, account, request.messages)
        if verdict.restore and route.conversation:
            raise InvalidRequest(
                "A conversation that is kept here takes no message with personal data to be masked",
                why="each message is masked by itself, and one placeholder would stand for several values",
                do="Leave X-Conversation-Id out and send the messages so far with each request",
            )
        request = replace(request, messages=verdict.messages)
    events = _from_cache_or_upstream(gateway, exchange, account, route, request)
    if verdict is not None:
        events = _filtered(gateway, account, verdict, request, events)
    done = False
    async with aclosing(events):
        async for event in events:
            done = type(event) is DoneEvent
            yield event
    if not done:
        raise EngineProtocolError("The engine's answer was cut off", do="Try again")


async def guarded(gateway: Gateway, account: Account, messages: tuple[Message, ...]) -> Verdict:
    """What the guard says of a request; GuardBlocked where it must not go on."""
    guard, key_id = gateway.guard, account.known_caller.key_id
    assert guard is not None
    if sum(len(message.content) for message in messages) > _LONG_TEXT:
        verdict = await asyncio.to_thread(guard.check_input, messages, key_id)
    else:
        verdict = guard.check_input(messages, key_id)
    if verdict.findings:
        account.guard = verdict.action.value
        _record(gateway, account, verdict.action, verdict.findings)
    if verdict.blocked:
        raise GuardBlocked(
            "The request is not allowed here",
            why=f"it contains {', '.join(verdict.blocking_kinds)}",
            do="Leave that out, or ask the admin of this gateway",
        )
    return verdict


def _record(gateway: Gateway, account: Account, action: Action, findings: Iterable[Finding]) -> None:
    """The guard's decision for the audit log: how many of which kinds, never what."""
    if gateway.keeper is None:
        return
    kinds = Counter(finding.kind for finding in findings)
    caller = account.known_caller
    details = {"request": account.id, "kinds": dict(kinds), "team": caller.team, "model": account.model}
    gateway.keeper.event(AuditEvent("guard", f"guard.{action.value}", caller.key_id, details))


async def _filtered(
    gateway: Gateway, account: Account, verdict: Verdict, request: ChatRequest, events: Events
) -> Events:
    """Passes the answer through the guard's filter."""
    assert gateway.guard is not None
    system = "\n".join(message.content for message in request.messages if message.role == "system") or None
    out = gateway.guard.output_stream(verdict, system, account.known_caller.key_id)
    try:
        async with aclosing(events):
            async for event in events:
                if type(event) is TextEvent:
                    text = out.feed(event.text)
                    if text == event.text:
                        yield event
                    elif text:
                        # Its log-probabilities are those of other text; they go with it.
                        yield TextEvent(event.at, text)
                    continue
                if type(event) is DoneEvent and (rest := out.finish()):
                    yield TextEvent(event.at, rest)
                elif isinstance(event, ToolCallEvent):
                    arguments = out.restored_json(event.call.arguments)
                    event = replace(event, call=replace(event.call, arguments=arguments))
                yield event
    finally:
        if out.findings:
            account.guard = strictest((verdict.action, out.action)).value
            _record(gateway, account, out.action, out.findings)


async def _from_cache_or_upstream(
    gateway: Gateway, exchange: Exchange, account: Account, route: Route, request: ChatRequest
) -> Events:
    caller = account.known_caller
    account.route = route
    cache = None if route.conversation else gateway.cache
    key = None
    if cache is not None:
        control = exchange.headers.get(b"cache-control", b"").decode("latin-1")
        key = cache.key(request, caller, control)
        hit = await cache.get(key) if key is not None else None
        if hit is not None:
            account.cache, account.cache_age_s = hit.how, hit.age_s
            for event in hit.answer.events(time.perf_counter()):
                yield event
            return
    asked = gateway.upstream.chat(request, caller, route, deadline_s=deadline_s(gateway, exchange))
    kept = Collector() if key is not None else None
    async with aclosing(cast("Events", asked)) as events:
        async for event in events:
            if kept is not None:
                kept.add(event)
            yield event
    # What another model stood in with is no answer of the one that was asked.
    own = route.model == request.model
    if own and cache is not None and key is not None and kept is not None and kept.done is not None:
        await cache.put(key, kept.answer())


def _conversation(gateway: Gateway, exchange: Exchange, request: ChatRequest) -> str:
    """Which conversation the request's header names; empty where it names none."""
    named = exchange.headers.get(b"x-conversation-id", b"").decode("latin-1").strip().lower()
    if named and request.model not in gateway.agents:
        raise InvalidRequest(
            f"{request.model} keeps no conversation",
            why="only agents do",
            do="Leave X-Conversation-Id out and send the messages so far",
        )
    return named


def deadline_s(gateway: Gateway, exchange: Exchange) -> float | None:
    """Seconds within which the request must be started, by its own header or by the settings."""
    header = exchange.headers.get(b"x-deadline-seconds")
    if header is None:
        return gateway.settings.deadline_s
    try:
        seconds = float(header)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise InvalidRequest("X-Deadline-Seconds must be a number over 0")
    return seconds
