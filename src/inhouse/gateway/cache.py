"""Answers given before: what a request's answer is kept under, for how long, and who may have it again.

Where the bytes are kept is cache_store.py's; alike but not equal requests are semantic_cache.py's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, Protocol
from unicodedata import normalize

import orjson

from inhouse.engines.base import ChatRequest, Message, TokenLogprob, ToolCall
from inhouse.gateway.base import Answer, Hit
from inhouse.gateway.identity import Caller

Scope = Literal["key", "team", "all"]
"""Whose answers a caller may get: its own key's, its team's, everybody's."""

_VERSION = b"inhouse cache 1"
_MAX_AGE = re.compile(r"max-age\s*=\s*\"?(\d+)")


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What an answer is kept under: whose it is (`scope`) and the digest of the normalised request.

    `read` and `write`: whether this request may be answered from the cache, and its answer kept. `max_age_s`: how
    old an answer it takes. `request` is what was asked.
    """

    scope: str
    digest: bytes
    read: bool
    write: bool
    max_age_s: float | None
    request: ChatRequest

    @property
    def id(self) -> str:
        """A name for it that tells nothing of the request."""
        return self.digest[:16].hex()

    @property
    def secret(self) -> bytes:
        """32 bytes that only who knows the request can compute."""
        return self.digest[16:48]


class Store(Protocol):
    """Where answers are kept, as bytes with the time at which they were put (seconds since 1970)."""

    async def get(self, key: CacheKey) -> tuple[float, bytes] | None:
        """What is kept, if it is not too old."""
        ...

    async def put(self, key: CacheKey, at: float, data: bytes) -> None:
        """Keeps it, in place of an older one."""
        ...

    async def forget(self, scope: str) -> int:
        """Deletes all that is kept for the scope; how many answers those were."""
        ...


class AnswerCache:
    """Implements `base.Cache`: an equal request gets the answer again.

    Kept are complete answers to requests of temperature 0, and to others where the client asks for it by
    `Cache-Control: max-age=…`. `no-store` keeps a request out altogether, `no-cache` makes it fresh.
    """

    def __init__(self, store: Store, *, scope: Scope = "key", clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self._scope = scope
        self._clock = clock

    def key(self, request: ChatRequest, caller: Caller, cache_control: str) -> CacheKey | None:
        """See `Cache.key`."""
        control = cache_control.lower()
        if "no-store" in control:
            return None
        found = _MAX_AGE.search(control) if control else None
        max_age_s = float(found[1]) if found is not None else None
        if request.temperature != 0.0 and not max_age_s:
            return None
        scope = scope_of(caller, self._scope)
        read = "no-cache" not in control and max_age_s != 0.0
        return CacheKey(scope, digest(request, scope), read, True, max_age_s, request)

    async def get(self, key: CacheKey) -> Hit | None:
        """See `Cache.get`."""
        if not key.read:
            return None
        kept = await self.store.get(key)
        if kept is None:
            return None
        at, data = kept
        age_s = max(0.0, self._clock() - at)
        if key.max_age_s is not None and age_s > key.max_age_s:
            return None
        return Hit(decode(data), "exact", age_s)

    async def put(self, key: CacheKey, answer: Answer) -> None:
        """See `Cache.put`. An answer that a filter ended is not kept."""
        if key.write and answer.finish_reason != "content_filter":
            await self.store.put(key, self._clock(), encode(answer))

    async def forget(self, caller: Caller) -> int:
        """Deletes the answers kept for the caller alone; how many those were."""
        return await self.store.forget(scope_of(caller, "key"))


def scope_of(caller: Caller, scope: Scope) -> str:
    """The name under which answers for the caller are kept."""
    if scope == "all":
        return "all"
    return f"team:{caller.team}" if scope == "team" and caller.team is not None else f"key:{caller.key_id}"


def digest(request: ChatRequest, scope: str, *, without_last: bool = False) -> bytes:
    """64 bytes that are equal for requests that mean the same, and for no others.

    Alike are texts that differ in Unicode composition or white space at the ends, and JSON in the order of its
    keys. At temperature 0 nothing is drawn, so that what steers the draw does not count. `without_last` leaves the
    text of the last message out.
    """
    messages = [_message(message) for message in request.messages]
    if without_last and messages:
        messages[-1][1] = None
    drawn = request.temperature != 0.0
    form = [
        request.model,
        messages,
        request.max_tokens,
        request.temperature,
        [request.top_p, request.top_k, request.seed] if drawn else None,
        request.repeat_penalty,
        sorted(request.stop),
        request.json_schema,
        [[tool.name, tool.description, tool.parameters] for tool in request.tools],
        request.tool_choice,
        request.top_logprobs,
        request.ignore_eos,
        request.context,
    ]
    try:
        data = orjson.dumps(form, option=orjson.OPT_SORT_KEYS, default=dict)
    except TypeError:  # a schema with an integer beyond 64 bits
        data = json.dumps(form, sort_keys=True, default=dict).encode()
    return blake2b(data, key=blake2b(_VERSION + scope.encode("utf-8", "surrogatepass")).digest()).digest()


def encode(answer: Answer) -> bytes:
    """The answer as bytes."""
    calls = [[call.id, call.name, call.arguments] for call in answer.tool_calls]
    logprobs = [[token.token, token.logprob, token.top] for token in answer.logprobs]
    tokens = [answer.prompt_tokens, answer.completion_tokens]
    return orjson.dumps([answer.text, answer.finish_reason, calls, logprobs, tokens])


def decode(data: bytes) -> Answer:
    """The answer again. Its timings are gone: they were those of another request."""
    text, finish_reason, calls, logprobs, (prompt_tokens, completion_tokens) = orjson.loads(data)
    return Answer(
        text,
        finish_reason,
        tuple(ToolCall(*call) for call in calls),
        tuple(TokenLogprob(token, value, tuple((t, v) for t, v in top)) for token, value, top in logprobs),
        prompt_tokens,
        completion_tokens,
    )


def plain(text: str) -> str:
    """The text without what makes no difference to a reader."""
    return normalize("NFC", text).strip()


def _message(message: Message) -> list[Any]:
    form: list[Any] = [message.role, plain(message.content)]
    if message.tool_calls or message.tool_call_id or message.name:
        calls = [[call.id, call.name, call.arguments] for call in message.tool_calls]
        form += [calls, message.tool_call_id, message.name]
    return form
