"""Scorers of choice tasks: by the letters' log-probability, by that of each choice as a whole, and by the text.

They differ, often by many points, so that a suite may name several. Pure functions of a response.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from inhouse.core.errors import BadSuite
from inhouse.core.records import Scalar
from inhouse.quality.scorers import Need, Response, Score, Support, check_options
from inhouse.quality.suite import Case
from inhouse.quality.text_scorers import tight

NORMALISATIONS = ("none", "letters", "bytes", "tokens")
# A letter that stands alone: "B", "(B)", "B.", "**B**", "정답: B", "B입니다"; not the B of "But".
_LETTER = re.compile(r"(?<![A-Za-z])([A-Z])(?![A-Za-z'’])")
_BEGINS = re.compile(r"\W*[A-Z](?:\s*$|\s*\n|[^\w\s'’]|[^\x00-\x7f])")
_MARKED = re.compile(
    r"(?:answer|정답|답|선택)(?:\s*(?:is|은|는|:|：))*\s*[\(\*\"'\[]*([A-Z])(?![A-Za-z])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ChoiceScorer:
    """Judges a choice by what the response holds of it."""

    needs: frozenset[Need]
    judge: Callable[[Case, Response], Score]

    async def score(self, case: Case, response: Response) -> Score:
        """See `Scorer.score`."""
        return self.judge(case, response)


def by_text(options: Mapping[str, Any], support: Support) -> ChoiceScorer:
    """What the written answer chooses: a marked letter, the first letter alone, or the one choice it repeats."""
    check_options("choice_text", options, {})

    def judge(case: Case, response: Response) -> Score:
        chosen = chosen_in(response.text, case.item.choices)
        return _verdict(case, chosen, {"parsed": chosen is not None})

    return ChoiceScorer(frozenset({"text"}), judge)


def by_letter(options: Mapping[str, Any], support: Support) -> ChoiceScorer:
    """The letter that is likeliest as the answer's first token; `confidence` is its share among the letters."""
    check_options("choice_letter", options, {})

    def judge(case: Case, response: Response) -> Score:
        return likeliest(case, response.letters)

    return ChoiceScorer(frozenset({"letters"}), judge)


def by_continuation(options: Mapping[str, Any], support: Support) -> ChoiceScorer:
    """The choice that is likeliest as the prompt's continuation.

    Option `normalise`: none (lm-evaluation-harness' acc), letters (its acc_norm: by the choice's length), bytes
    or tokens.
    """
    check_options("choice_continuation", options, {"normalise": str})
    by = options.get("normalise", "none")
    if by not in NORMALISATIONS:
        raise BadSuite(f"Log-probabilities cannot be normalised by {by!r}", do=f"Choose of {NORMALISATIONS}")

    def judge(case: Case, response: Response) -> Score:
        if by == "none":
            return likeliest(case, response.continuations)
        choices = case.item.choices
        lengths = {
            "letters": [len(choice) for choice in choices],
            "bytes": [len(choice.encode()) for choice in choices],
            "tokens": list(response.continuation_tokens),
        }[by]
        return likeliest(case, [p / max(1, n) for p, n in zip(response.continuations, lengths, strict=True)])

    return ChoiceScorer(frozenset({"continuations"}), judge)


def likeliest(case: Case, logprobs: tuple[float, ...] | list[float]) -> Score:
    """The verdict on the choice of the greatest log-probability. `margin`: nats between the right and the next."""
    if len(logprobs) != len(case.item.choices):
        return Score(None, "", {"problem": "no log-probabilities"})
    top = max(logprobs)
    if top == -math.inf:
        return Score(None, "", {"problem": "no choice among the likeliest tokens"})
    weights = [math.exp(one - top) for one in logprobs]
    confidence = max(weights) / sum(weights)
    detail: dict[str, Scalar] = {"confidence": round(confidence, 6)}
    if (right := case.item.right) is not None:
        others = max(one for place, one in enumerate(logprobs) if place != right)
        if math.isfinite(margin := logprobs[right] - others):
            detail["margin"] = round(margin, 6)
    return _verdict(case, logprobs.index(top), detail)


def chosen_in(text: str, choices: tuple[str, ...]) -> int | None:
    """Which choice a text names: None where it names none, or several."""
    letters = ascii_uppercase[: len(choices)]
    for pattern in (_MARKED, _LETTER):
        found = [match[1].upper() for match in pattern.finditer(text) if match[1].upper() in letters]
        # "A" and "I" are also words: without a mark they choose only where the answer begins with the bare letter.
        if pattern is _LETTER and not _BEGINS.match(text):
            found = found if len(set(found)) == 1 and found[0] not in "AI" else []
        if found:
            return letters.index(found[-1] if pattern is _MARKED else found[0])
    answer = tight(text)
    same = [place for place, choice in enumerate(choices) if tight(choice) == answer]
    held = same or [place for place, choice in enumerate(choices) if tight(choice) and tight(choice) in answer]
    return held[0] if len(held) == 1 else None


def _verdict(case: Case, chosen: int | None, detail: Mapping[str, Scalar]) -> Score:
    if chosen is None:
        return Score(0.0, "", detail)
    choice = case.item.choices[chosen]
    return Score(float(choice in case.item.targets), choice, {**detail, "choice": chosen})
