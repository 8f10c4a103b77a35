"""Finds the earlier turns that touch a question, by the words and character pairs that they share. No model."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[a-z0-9]+|[^\W\d_a-z]+", re.IGNORECASE)
_LEAST = 0.18  # of the question's weight that a turn must share
_COMMON = re.compile(
    "a|an|and|are|as|at|be|by|do|does|for|from|how|i|in|is|it|me|my|of|on|or|"
    "that|the|this|to|was|what|when|where|which|who|why|will|with|you|your"
)


def recall(question: str, turns: Sequence[str], most: int = 3) -> list[int]:
    """The places in `turns` of those that share most with the question, best first."""
    asked = _terms(question)
    if not asked or not turns:
        return []
    held = [_terms(turn) for turn in turns]
    spread = Counter(term for terms in held for term in terms)
    weight = {term: math.log(1 + len(turns) / (1 + spread[term])) for term in asked}
    total = sum(weight.values())
    scores = [sum(weight[term] for term in asked & terms) / total for terms in held]
    best = sorted(range(len(turns)), key=lambda place: (-scores[place], -place))
    return [place for place in best[:most] if scores[place] >= _LEAST]


def _terms(text: str) -> set[str]:
    """Words of Latin letters (their plural s off), and pairs of characters of all others."""
    terms: set[str] = set()
    for word in _WORD.findall(text.lower()):
        if word.isascii():
            if not _COMMON.fullmatch(word):
                terms.add(word.removesuffix("s"))
        else:
            terms.update(word[place : place + 2] for place in range(max(1, len(word) - 1)))
    return terms
