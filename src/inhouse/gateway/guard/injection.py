"""Finds prompt injections: the classifier on sliding windows, plus rules for what needs no judgement.

A text is read as what it is: `user` (someone's own words, where asking for things is normal) or `document`
(what a tool or a file brought, where orders to the assistant are out of place).
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from inhouse.gateway.guard.disguises import fold_disguise, undisguise
from inhouse.gateway.guard.injection_model import (
    SOURCES,
    Source,
    Weights,
    best_window,
    features,
    length_penalty,
    load_weights,
    window_scores,
)
from inhouse.gateway.guard.normalise import fold, plain
from inhouse.gateway.guard.verdict import Span

__all__ = ["InjectionDetector", "Source"]

# A chat template's own marks open a turn that is not the writer's to open.
_TEMPLATE = re.compile(
    r"<\|im_start\|> ?(?:system|assistant|developer)\s|<\|start_header_id\|> ?(?:system|assistant)|\[inst\] ?<<sys>>|"
    r"<\|(?:system|assistant)\|>\s*\S"
    r"|<start_of_turn> ?model|\"role\" ?: ?\"(?:system|developer)\" ?, ?\"content\" ?: ?\"[^\"]{0,200}(?:ignore|must|"
    r"send|reveal|무시|출력|보내|반드시)"
)
# An image whose address carries the conversation away when it is drawn.
_BEACON = re.compile(
    r"!\[[^\]\n]{0,80}\]\(\s?https?://[^)\s]{1,200}[?&/=][^)\n]{0,40}(?:\{|\[|%7b|<)?(?:conversation|history|secret|"
    r"password|context|prompt|user_?(?:name|data|info)|chat|summary|대화|비밀|사용자)"
)
_LONG = 8  # sentences from which a user's text is taken to hold a document too
_OWN = 2  # sentences at either end that are the user's own words
_MARGIN = 1.0  # log-odds by which a document inside a user's text must be clearer
_TRUSTED_LETTERS = 12


class InjectionDetector:
    """The classifier with its thresholds (probabilities from 0 to 1). Stateless; safe for threads."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.user_threshold, self.document_threshold = weights.thresholds

    @classmethod
    def shipped(cls) -> InjectionDetector:
        """The one in the package, loaded once."""
        return _shipped()

    def inspect(self, text: str, source: Source) -> Span:
        """The likeliest injection in the text, with its probability as score; compare it with a threshold."""
        folded = fold(text)
        for pattern, name in ((_TEMPLATE, "chat template marks"), (_BEACON, "image that carries data")):
            match = pattern.search(folded)
            if match is not None:
                return self._span(text, folded, match.start(), match.end(), 6.0, name)
        best = self._read(text, folded, source)
        for disguise in undisguise(text, folded):
            reading = fold_disguise(disguise)
            if sum(2 if "가" <= letter <= "힣" else letter.isalpha() for letter in reading) < _TRUSTED_LETTERS:
                continue
            score, _, _ = best_window(
                features(reading), self._weights, SOURCES.index("document" if disguise.whole else source)
            )
            score = self._as_for(source, score) if disguise.whole else score
            if _probability(score) > best.score:
                best = Span("injection", disguise.start, disguise.end, _probability(score), disguise.name)
        return best

    def _read(self, text: str, folded: str, source: Source) -> Span:
        read = features(folded)
        if not read.spans:
            return Span("injection", 0, 0, 0.0, "nothing to read")
        score, first, last = best_window(read, self._weights, SOURCES.index(source))
        rule = f"classifier, {source}"
        if source == "user" and len(read.spans) >= _LONG:
            inner = (
                window
                for window in window_scores(read, self._weights, SOURCES.index("document"))
                if window[1] >= _OWN and window[2] <= len(read.spans) - _OWN
            )
            buried = max(inner, default=(-20.0, 0, 0))
            if self._as_for("user", buried[0]) > score:
                score, first, last = self._as_for("user", buried[0]), buried[1], buried[2]
                rule = "classifier, document in a user's text"
        score -= length_penalty(len(read.spans))
        return self._span(text, folded, read.spans[first][0], read.spans[last - 1][1], score, rule)

    def _as_for(self, source: Source, score: float) -> float:
        """A document's log-odds on the scale of the source's threshold, with a margin for a user's text."""
        if source == "document":
            return score
        return score - _logit(self.document_threshold) + _logit(self.user_threshold) - _MARGIN

    def _span(self, text: str, folded: str, start: int, end: int, score: float, rule: str) -> Span:
        if len(folded) != len(text):
            start, end = plain(text).span(start, end)
        return Span("injection", start, end, _probability(score), rule)


@lru_cache(maxsize=1)
def _shipped() -> InjectionDetector:
    return InjectionDetector(load_weights())


def _probability(score: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
