"""Two parts of phase 5 that check what the gateway decides and keeps: its guard, and its ledger after a kill."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import zip_longest
from typing import Any

import aiohttp

from inhouse.core.errors import BenchError
from inhouse.engines.base import Message
from inhouse.study.base import Context
from inhouse.study.gateway_process import GatewayProcess, gateway_process, require_gateway
from inhouse.study.recording import Recording, deadline, recording
from inhouse.study.serving import shape

GUARD_PROMPT_CHARACTERS = 2000
_GUARD_PROMPTS = 300
_CLIENTS = 4
_QUESTION = "Tell me about lighthouses, part {}."
_SEEN_TOKENS = 8
_SEEN_ANSWERS = 8  # that are waited for before the kill, for so long
_SEEN_S = 30.0
_LEAST_TEXTS = 18


@dataclass(frozen=True, slots=True)
class GuardText:
    """A text that the guard is tried on: its `group` is personal, injection or harmless."""

    text: str
    group: str
    lang: str


def guard_texts() -> list[GuardText]:
    """The texts that ship with the study, the groups in turn; the people in them do not exist."""
    lines = (files("inhouse.study") / "guard_texts.jsonl").read_text(encoding="utf-8").splitlines()
    groups: dict[str, list[GuardText]] = {}
    for line in lines:
        text = GuardText(**json.loads(line))
        groups.setdefault(text.group, []).append(text)
    return [text for turn in zip_longest(*groups.values()) for text in turn if text is not None]


async def check_guard(context: Context) -> str:
    """What the shipped policy decides on texts of known kinds, and what it takes to look at a long prompt."""
    require_gateway()
    settings = shape(context, slots=1)
    with recording(context, "guard", frozenset(), policy="shipped") as record:
        context.report(0.0, "its cost")
        record.add_times("guard_s", await asyncio.to_thread(_time_guard, deadline(context, 0.3, least_s=1.0)))
        with as_file(files("inhouse.gateway.guard") / "policy.toml") as policy:
            async with gateway_process(settings, {"guard_policy": policy}) as gateway:
                context.report(0.5, "its decisions")
                await _add_decisions(record, gateway, settings.model, deadline(context, 0.5))
    return record.run_id


def _time_guard(end: float) -> list[float]:
    """Seconds that the guard takes for prompts of 2,000 characters, each of which it has never seen."""
    from inhouse.gateway.guard.guard import Guard
    from inhouse.gateway.guard.policy import load_policy

    guard = Guard(load_policy())
    texts = [(files("inhouse.bench") / f"texts/{lang}.txt").read_text(encoding="utf-8") for lang in ("en", "ko")]
    times = []
    for number in range(_GUARD_PROMPTS):
        text = texts[number % 2]
        at = number * 37 % len(text)
        prompt = f"{number}: {text[at:]} {text}"[:GUARD_PROMPT_CHARACTERS]
        begin = time.perf_counter()
        guard.check_input((Message("user", prompt),), "study")
        times.append(time.perf_counter() - begin)
        if time.perf_counter() > end and number > 20:
            break
    return times[2:]  # the first of each language loads what the others share


async def _add_decisions(record: Recording, gateway: GatewayProcess, model: str, end: float) -> None:
    texts = guard_texts()
    async with _session(gateway) as session:
        ids = []
        for text in texts:
            request_id, status = await _ask(session, gateway, model, text.text, tokens=1, stream=False)
            if status not in (200, 400) or request_id is None:
                raise BenchError(f"The gateway answered {status} to a text for its guard")
            ids.append(request_id)
            if time.perf_counter() > end and len(ids) >= _LEAST_TEXTS:
                break
    await gateway.stop()  # its ledger is written to the end
    rows = {row["id"]: row for row in await asyncio.to_thread(gateway.ledger)}
    decided: Counter[tuple[str, str]] = Counter()
    for text, request_id in zip(texts, ids, strict=False):
        decided[text.group, rows[request_id]["guard"] or "allow"] += 1
    for group in ("personal", "injection", "harmless"):
        total = sum(number for (of, _), number in decided.items() if of == group)
        # Personal data must not pass as it is; an injection must not pass at all; a harmless text must.
        counts = {"personal": ("mask", "block"), "injection": ("block",), "harmless": ("block",)}[group]
        hit = sum(decided[group, action] for action in counts)
        record.add("guard_share", hit / total, "", {"group": group, "texts": total, "hits": hit}, total)


async def check_ledger(context: Context) -> str:
    """Kills the gateway as it answers: whether its ledger holds every answer whose end was seen; and what they cost."""
    require_gateway()
    from inhouse.gateway.settings import load_gateway_settings

    settings = shape(context, slots=_CLIENTS)
    prices = load_gateway_settings().prices
    priced: Mapping[str, object] = {} if prices is None else {"prices": prices.resolve()}
    async with gateway_process(settings, priced) as gateway:
        with recording(context, "cost", frozenset(), prices=None if prices is None else prices.name) as record:
            context.report(0.1, "a load, then kill -9")
            seen = await _load_until_killed(gateway, settings.model, deadline(context))
            rows = await asyncio.to_thread(gateway.ledger)
            _add_use(record, seen, rows, priced=prices is not None)
    return record.run_id


async def _load_until_killed(gateway: GatewayProcess, model: str, end: float) -> list[str]:
    """Clients that ask one question after another until the gateway is killed: the ids of the answers they saw end."""
    seen: list[str] = []

    async def ask_on(number: int) -> None:
        with suppress(aiohttp.ClientError, TimeoutError):  # its end, in the middle of an answer
            for turn in range(1_000_000):
                question = _QUESTION.format(turn * _CLIENTS + number)
                request_id, status = await _ask(
                    session, gateway, model, question, tokens=_SEEN_TOKENS, stream=turn % 2 == 1
                )
                if status == 200 and request_id is not None:
                    seen.append(request_id)

    async with _session(gateway) as session, asyncio.TaskGroup() as group:
        for number in range(_CLIENTS):
            group.create_task(ask_on(number))
        await asyncio.sleep(max(0.0, end - time.perf_counter()))
        while len(seen) < _SEEN_ANSWERS and time.perf_counter() < end + _SEEN_S:  # noqa: ASYNC110 - a count
            await asyncio.sleep(0.1)
        await gateway.kill()
    return seen


def _add_use(record: Recording, seen: list[str], rows: Sequence[Mapping[str, Any]], *, priced: bool) -> None:
    kept = {row["id"] for row in rows}
    good = [row for row in rows if row["status"] == 200]
    record.add("answers_seen", len(seen), n=len(seen))
    record.add("answers_lost", sum(request_id not in kept for request_id in seen), n=len(seen))
    record.add("ledger_requests", len(good), n=len(good))
    record.add("used_prompt_tokens", sum(row["prompt_tokens"] for row in good), "tokens", n=len(good))
    record.add("used_output_tokens", sum(row["completion_tokens"] for row in good), "tokens", n=len(good))
    if priced:
        record.add("cost_krw", sum(row["micro_krw"] for row in good) / 1e6, "KRW", n=len(good))
        record.add("cost_usd", sum(row["nano_usd"] for row in good) / 1e9, "USD", n=len(good))


def _session(gateway: GatewayProcess) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {gateway.key}"}, timeout=aiohttp.ClientTimeout(total=120)
    )


async def _ask(
    session: aiohttp.ClientSession, gateway: GatewayProcess, model: str, text: str, *, tokens: int, stream: bool
) -> tuple[str | None, int]:
    """Asks and reads to the end: the request's id and the status."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": stream,
    }
    async with session.post(f"{gateway.url}/v1/chat/completions", json=body) as response:
        content = await response.read()
        complete = not stream or content.rstrip().endswith(b"data: [DONE]")
        return (response.headers.get("x-request-id") if complete else None), response.status
