"""Real answers beside a figure: the worst, a typical and the best of those that it counts. Knows no engine.

They are ranked by their score; of answers with the same score a wrong one is the worse the surer the model was of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inhouse.core.records import Example
from inhouse.quality.answers import Answer
from inhouse.quality.scorers import Score

_QUESTION, _ANSWER = 320, 260
"""Letters of a question and of an answer that are shown."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What may be shown: `worth` ranks it, the greater the better."""

    question: str
    answer: str
    worth: float
    sureness: float = 0.0
    verdict: str = ""


def three_of(answers: Sequence[Answer], scorer: str = "") -> tuple[Example, ...]:
    """The worst, a typical and the best of the answers that the scorer judged; each by its own first where none is
    named.
    """
    judged = [(one, scorer or next(iter(one.scores), "")) for one in answers]
    return ranked([shown(one, by) for one, by in judged if _value(one, by) is not None])


def three_groups(
    groups: Sequence[Sequence[Answer]], worth: Callable[[Sequence[Answer]], float], verdict: str = ""
) -> tuple[Example, ...]:
    """The same of groups of answers to one question each: all the group's answers are shown, each but once."""
    found = []
    for group in groups:
        texts = list(dict.fromkeys(said(one) for one in group if one.error is None))
        if texts:
            found.append(Shown(group[0].question, " / ".join(texts), worth(group), verdict=verdict))
    return ranked(found)


def ranked(found: Sequence[Shown]) -> tuple[Example, ...]:
    """The two ends and the middle, as many as there are; the typical one is of the commoner kind by its place."""
    every = sorted(
        {(one.question, one.answer): one for one in found}.values(),
        key=lambda one: (one.worth, one.sureness if one.worth >= 0.5 else -one.sureness, one.question),
    )
    if not every:
        return ()
    places = {"worst": 0, "typical": len(every) // 2, "best": len(every) - 1}
    if len(every) < 3:
        places = dict(list(places.items())[:1]) if len(every) == 1 else {"worst": 0, "best": 1}
    return tuple(
        Example(rank, clip(every[at].question, _QUESTION), clip(every[at].answer, _ANSWER), every[at].verdict)
        for rank, at in places.items()
    )


def shown(answer: Answer, scorer: str) -> Shown:
    """An answer with its rank."""
    score = answer.scores[scorer]
    return Shown(answer.question, said(answer, scorer), score.value or 0.0, _sureness(answer, score), verdict_of(score))


def said(answer: Answer, scorer: str = "") -> str:
    """The answer's words; of a choice by log-probability the choice."""
    if answer.response.text.strip():
        return answer.response.text.strip()
    kept = [answer.scores[scorer]] if scorer in answer.scores else list(answer.scores.values())
    return next((score.answer for score in kept if score.answer), "")


def verdict_of(score: Score) -> str:
    """What was found of an answer, as the id of a word."""
    for name in ("outcome", "stage"):
        if isinstance(kind := score.detail.get(name), str):
            return kind.replace(" ", "_")
    if (refused := score.detail.get("refused")) is not None:
        return "refused" if refused else "answered"
    return "right" if score.value == 1.0 else "partly" if score.value else "wrong"


def clip(text: str, letters: int) -> str:
    """The text on one line, without what cannot be printed; without its middle where it is too long, since what is
    asked often stands at the end.
    """
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    if len(line) <= letters:
        return line
    head = letters // 3
    return f"{line[:head].rstrip()} … {line[head + 3 - letters :].lstrip()}"


def _value(answer: Answer, scorer: str) -> float | None:
    return answer.scores[scorer].value if answer.error is None and scorer in answer.scores else None


def _sureness(answer: Answer, score: Score) -> float:
    """The probability of what was answered, where one is known."""
    if isinstance(sure := score.detail.get("confidence"), int | float):
        return float(sure)
    each = [one.logprob for one in answer.response.tokens]
    return math.exp(sum(each) / len(each)) if each else 0.0
