"""Puts the best hits in the order in which a language model finds that they answer the question.

Each passage is judged alone, by the log-probability of "yes" against "no" as the first token of the answer. The
passage is data: it stands in quotes, and one word is all that can come back.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace

from inhouse.core.errors import UnsupportedFeature
from inhouse.docs.search import Hit
from inhouse.engines.base import ChatRequest, Engine, Message, TextEvent, TokenLogprob

_LETTERS = 1500
"""As much of a passage as is shown."""


async def rerank(
    engine: Engine, model: str, question: str, hits: Sequence[Hit], *, share: float = 0.5, at_once: int = 4
) -> list[Hit]:
    """The hits in their new order; `why` gains `rerank`, the log-odds of "yes".

    Args:
        engine: One with log-probabilities (see its capabilities).
        model: The model that judges.
        question: What was asked.
        hits: What the search found.
        share: How much the model's word counts against the search's own score (0: not at all, 1: alone).
        at_once: How many passages are judged together.
    """
    if not engine.capabilities.logprobs:
        raise UnsupportedFeature(f"The engine {engine.name} gives no log-probabilities", do="Search without --rerank")
    if len(hits) < 2:
        return list(hits)
    gate = asyncio.Semaphore(at_once)

    async def judge(hit: Hit) -> float:
        async with gate:
            return await log_odds(engine, model, question, hit.chunk.chunk.text)

    return reordered(hits, await asyncio.gather(*(judge(hit) for hit in hits)), share)


def reordered(hits: Sequence[Hit], odds: Sequence[float], share: float) -> list[Hit]:
    """The hits by their own scores and the model's odds, both standardised; see `rerank`."""
    if len(hits) < 2:
        return list(hits)
    both = [
        share * told + (1 - share) * found
        for told, found in zip(_standardised(odds), _standardised([hit.score for hit in hits]), strict=True)
    ]
    order = sorted(range(len(hits)), key=lambda at: -both[at])
    return [
        replace(hits[at], rank=rank, score=both[at], why={**hits[at].why, "rerank": odds[at]})
        for rank, at in enumerate(order, 1)
    ]


async def log_odds(engine: Engine, model: str, question: str, passage: str) -> float:
    """The model's log-odds that the passage (its first letters) answers the question.

    The passage stands before the question, so that an engine with a prompt cache reads it once for many questions.
    """
    request = ChatRequest(
        model=model,
        messages=(
            Message("system", "You judge whether a passage answers a question. Answer with one word: yes or no."),
            Message(
                "user",
                f'Passage:\n"""\n{passage[:_LETTERS]}\n"""\n\nQuestion: {question}\n\nDoes the passage answer it?',
            ),
        ),
        max_tokens=1,
        temperature=0.0,
        top_logprobs=10,
    )
    chances = {"yes": 0.0, "no": 0.0}
    events = engine.chat(request)
    async for event in events:
        if isinstance(event, TextEvent) and event.logprobs:
            first: TokenLogprob = event.logprobs[0]
            for token, logprob in first.top or ((first.token, first.logprob),):
                word = token.strip().lower()
                if word in chances:
                    chances[word] += math.exp(logprob)
    return math.log(chances["yes"] + 1e-6) - math.log(chances["no"] + 1e-6)


def _standardised(values: Sequence[float]) -> list[float]:
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / (spread + 1e-9) for value in values]
