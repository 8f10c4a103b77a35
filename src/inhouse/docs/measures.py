"""How good a search and an answer were: pure functions of ranks, words and citations, each from 0 to 1."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence

from inhouse.docs.sentences import sentence_spans
from inhouse.docs.terms import words

_CITED = re.compile(r"\s*\[\d+\]")
_SUPPORTED = 0.6
"""Of a sentence's words, the share that the passages must have for it to count as taken from them."""


def recall(ranked: Sequence[int], right: Collection[int], k: int) -> float:
    """1 where one of the first k answers the question: one is enough to answer from."""
    return float(any(number in right for number in ranked[:k]))


def reciprocal_rank(ranked: Sequence[int], right: Collection[int]) -> float:
    """1 over the rank of the first that answers it."""
    return next((1.0 / rank for rank, number in enumerate(ranked, 1) if number in right), 0.0)


def ndcg(ranked: Sequence[int], right: Collection[int], k: int) -> float:
    """Normalised discounted cumulative gain of the first k, each right or not."""
    gain = sum(1 / math.log2(rank + 1) for rank, number in enumerate(ranked[:k], 1) if number in right)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(right)) + 1))
    return gain / ideal if ideal else 0.0


def exact(said: str, answers: Sequence[str]) -> float:
    """1 where the answer is one of those wordings, citations, case and punctuation apart."""
    return float(any(_letters(said) == _letters(answer) for answer in answers))


def holds(said: str, answers: Sequence[str]) -> float:
    """1 where the answer has one of those wordings in it."""
    return float(any(_letters(answer) in _letters(said) for answer in answers if _letters(answer)))


def f1(said: str, answers: Sequence[str]) -> float:
    """The best overlap with one of the wordings: of words, of single letters in Korean (as KorQuAD counts)."""
    return max((_f1(_pieces(said), _pieces(answer)) for answer in answers), default=0.0)


def faithfulness(said: str, passages: Sequence[str]) -> float | None:
    """The share of the answer's sentences whose words one of the passages has; None without a sentence."""
    given = [set(_pieces(passage)) for passage in passages]
    shares = []
    plain = _CITED.sub("", said)
    for start, end in sentence_spans(plain):
        own = set(_pieces(plain[start:end]))
        if own:
            shares.append(max((len(own & other) / len(own) for other in given), default=0.0) >= _SUPPORTED)
    return sum(shares) / len(shares) if shares else None


def without_citations(said: str) -> str:
    """The answer's text without the numbers of its sources."""
    return _CITED.sub("", said).strip()


def _f1(said: list[str], wanted: list[str]) -> float:
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    for word in words(_CITED.sub("", text)):
        pieces += list(word) if "가" <= word[0] <= "힣" else [word]
    return pieces


def _letters(text: str) -> str:
    return "".join(letter for letter in _CITED.sub("", text).lower() if letter.isalnum())
