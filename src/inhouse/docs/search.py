"""Finds the chunks that answer a question: by meaning, by words, and by both, and says why each was found.

Knows no file and no answer. What a caller may see is the filter's matter; it goes to the store with every search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inhouse.core.errors import StoreError, UsageError
from inhouse.docs.embed import Embedder
from inhouse.docs.fusion import SIGNS, Signs, Weights, coverage, fit, standardised
from inhouse.docs.stores.base import Filter, StoredChunk, VectorStore
from inhouse.docs.stores.windows import nearness as nearness_of
from inhouse.docs.terms import PAIR, How, default_how, terms

Mode = Literal["hybrid", "dense", "sparse"]

CANDIDATES = 100
"""Chunks taken from each of the rankings before they are fused."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found. `why`: `dense` (cosine of its nearest window), `bm25`, `matched` (terms)."""

    rank: int
    score: float
    chunk: StoredChunk
    why: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a question's search considers: chunk ids with their signs and raw scores.

    `asked` are the question's words, then its pairs; `has` says which of them each chunk has.
    """

    ids: tuple[int, ...]
    signs: Signs
    dense: dict[int, float]
    bm25: dict[int, float]
    asked: tuple[str, ...]
    has: NDArray[np.bool_]

    def matched(self, at: int) -> list[str]:
        """The words that the chunk at this place has; where it has none, the pairs."""
        found = [term for term, has in zip(self.asked, self.has[at], strict=True) if has]
        return [term for term in found if not term.startswith(PAIR)] or [term.removeprefix(PAIR) for term in found]


class Searcher:
    """Searches one collection. Safe to use from several threads.

    `weights` None: those of the collection's settings, or else the defaults. `how` None: the terms it was made with.
    """

    def __init__(
        self, store: VectorStore, embedder: Embedder, *, weights: Weights | None = None, how: How | None = None
    ) -> None:
        settings = store.settings()
        self.store = store
        self.embedder = embedder
        self.how: How = how or settings.get("terms") or default_how()
        self.weights = weights or Weights.of(settings.get("weights") or {})

    def search(self, question: str, k: int = 5, where: Filter | None = None, mode: Mode = "hybrid") -> list[Hit]:
        """The k chunks that answer the question best, best first; fewer where fewer are there.

        "dense" goes by meaning alone, "sparse" by words alone.
        """
        if not question.strip():
            raise UsageError("The question is empty", do="Give the words to search for")
        if k < 1:
            raise UsageError(f"{k} hits cannot be searched for", do="Ask for at least one")
        if mode not in ("hybrid", "dense", "sparse"):
            raise UsageError(f"There is no search mode {mode!r}", do="Take hybrid, dense or sparse")
        found = self.candidates(question, where, mode, max(CANDIDATES, k))
        scores = found.signs @ self.weights.row()
        best = np.argsort(-scores, kind="stable")[:k]
        chunks = {chunk.id: chunk for chunk in self.store.chunks([found.ids[at] for at in best])}
        hits: list[Hit] = []
        for at in best:
            number = found.ids[at]
            if number in chunks:  # else it was deleted meanwhile, and must not be found
                why = {
                    "dense": found.dense.get(number),
                    "bm25": found.bm25.get(number),
                    "matched": found.matched(at),
                }
                hits.append(Hit(len(hits) + 1, float(scores[at]), chunks[number], why))
        return hits

    def candidates(self, question: str, where: Filter | None, mode: Mode, count: int = CANDIDATES) -> Candidates:
        """The chunks that any of the rankings has among its best, with all that speaks for each."""
        asked = list(dict.fromkeys(terms(question, self.how)))
        pairs = [term for term in asked if term.startswith(PAIR)]
        words = [term for term in asked if not term.startswith(PAIR)]
        for attempt in (1, 2):
            dense: dict[int, float] = {}
            by_words: dict[int, float] = {}
            by_pairs: dict[int, float] = {}
            if mode != "sparse":
                vector = self.embedder.queries([question])[0]
                dense = {hit.chunk_id: hit.score for hit in self.store.dense(vector, count, where)}
            if mode != "dense" and self.store.capabilities.sparse:
                by_words = {hit.chunk_id: hit.score for hit in self.store.sparse(words, count, where)} if words else {}
                by_pairs = {hit.chunk_id: hit.score for hit in self.store.sparse(pairs, count, where)} if pairs else {}
            ids = tuple(dict.fromkeys([*dense, *by_words, *by_pairs]))
            try:
                spelt = [*words, *pairs] if mode != "dense" else []
                has = self.store.holds(ids, spelt) if ids and spelt else np.zeros((len(ids), len(spelt)), bool)
                lacking = [number for number in ids if number not in dense] if dense else []
                nearness = dict(dense)
                if lacking:
                    nearness |= dict(zip(lacking, (self.store.vectors(lacking) @ vector).tolist(), strict=True))
                nearest = dict(nearness)
                if dense:
                    by_window = zip(ids, nearness_of(self.store.windows(ids), vector), strict=True)
                    nearest |= {number: near for number, near in by_window if near is not None}
            except StoreError:
                if attempt == 2:  # else a chunk was deleted between two questions to the store: ask again
                    raise
                continue
            break
        signs = np.zeros((len(ids), len(SIGNS)))
        signs[:, 0] = _standardised_over(dense, nearness, ids)
        signs[:, 1] = standardised(by_words, ids)
        signs[:, 2] = standardised(by_pairs, ids)
        signs[:, 5] = _standardised_over({number: nearest[number] for number in dense}, nearest, ids)
        signs[:, 3], signs[:, 4] = coverage(has[:, : len(words)]), coverage(has[:, len(words) :])
        return Candidates(ids, signs, nearest, by_words or by_pairs, tuple(spelt), has)


def fit_weights(
    searcher: Searcher, questions: Iterable[tuple[str, Callable[[StoredChunk], bool]]], *, where: Filter | None = None
) -> Weights:
    """Weights under which the user's own questions find their chunks; held to the defaults where they are few.

    Each question comes with a test that says whether a chunk answers it. Questions of which no candidate is right
    teach nothing and are left out. Keep the result with `store.set_settings({"weights": asdict(weights)})`.
    """
    examples = []
    for question, is_right in questions:
        found = searcher.candidates(question, where, "hybrid")
        chunks = {chunk.id: chunk for chunk in searcher.store.chunks(found.ids)}
        right = [at for at, number in enumerate(found.ids) if number in chunks and is_right(chunks[number])]
        if right:
            best = max(right, key=lambda at: float(found.signs[at].sum()))
            others = [at for at in range(len(found.ids)) if at not in right]
            examples.append((found.signs[[best, *others]], 0))
    return fit(examples)


def _standardised_over(scores: dict[int, float], wider: dict[int, float], ids: Sequence[int]) -> Signs:
    """As `standardised` by mean and spread of the best `scores`, but for ids whose own score is known too."""
    if not scores:
        return np.zeros(len(ids))
    values = np.array(list(scores.values()))
    row = np.array([wider[number] for number in ids])
    return np.asarray((row - values.mean()) / (values.std() + 1e-9))
