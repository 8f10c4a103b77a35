"""Judges answers with a model against their right wordings, and says how far that judge can be trusted.

A judge is an instrument with an error of its own: its verdicts are held against the wordings' (`holds`), and against
people's where they have labelled answers. Knows no search.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inhouse.core.errors import EngineError, UsageError
from inhouse.core.records import Metric
from inhouse.docs.evaluate import Scored
from inhouse.docs.measures import without_citations
from inhouse.docs.questions import write_questions
from inhouse.engines.base import Engine
from inhouse.quality.agreement import agreement, cohen_kappa
from inhouse.quality.judge import Judge
from inhouse.quality.scorers import Response, Support
from inhouse.quality.suite import Case, Item, Prompt, Sampling

JUDGED = "answer_judged"
_RUBRIC = (
    "The answer gives what the reference answer gives (several wordings of it may stand there, each is right). Other "
    "words, another language and more detail are fine, as long as nothing contradicts the reference."
)
_PROMPT = Prompt("asked", "{question}")
_RIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Labelled:
    """An answer with the verdicts on it: the judge's, the wordings', a person's; None where there is none."""

    question: str
    answer: str
    judged: bool | None
    holds: bool | None
    right: bool | None


async def judge_all(
    scored: Sequence[Scored], engine: Engine, model: str, *, on_progress: Callable[[int, int], None] | None = None
) -> list[Scored]:
    """The outcomes with `answer_judged`: 1 right, 0 wrong; not there where the judge gave no verdict.

    Asked of answers to questions whose right wordings are known; a refusal of such a question is wrong without it.
    """
    judge = Judge(_RUBRIC, "binary", True, False, Support(judge_engine=engine, judge_model=model))
    found: list[Scored] = []
    for at, one in enumerate(scored, 1):
        value: float | None = None
        if one.question.answerable and one.question.answers and not one.error:
            value = 0.0 if one.refused else await _verdict(judge, one)
        found.append(one if value is None else replace(one, scores={**one.scores, JUDGED: value}))
        if on_progress:
            on_progress(at, len(scored))
    return found


async def _verdict(judge: Judge, one: Scored) -> float | None:
    wordings = "\n".join(one.question.answers)
    case = Case("docs", Item("", {"question": one.question.question}, (wordings,)), _PROMPT, Sampling())
    try:
        return (await judge.score(case, Response(without_citations(one.said)))).value
    except EngineError:  # one answer too long for the judge's window leaves the others judged
        return None


def labelled(scored: Sequence[Scored]) -> list[Labelled]:
    """The answers that the judge was asked of, without a person's word."""
    return [
        Labelled(
            one.question.question, one.said, _is_right(one.scores.get(JUDGED)),
            _is_right(one.scores.get("answer_holds")), None,
        )
        for one in scored if one.question.answerable and one.question.answers and one.said and not one.refused
    ]  # fmt: skip


def trust(answers: Sequence[Labelled], *, seed: int) -> list[Metric]:
    """`agreement` and `kappa` (Cohen's, beyond chance) of each two kinds of verdicts, over the answers with both.

    The labels `of` and `with` say which two: the judge's, the wordings', people's.
    """
    rng = np.random.default_rng(seed)
    metrics: list[Metric] = []
    kinds = {"judge": "judged", "wordings": "holds", "people": "right"}
    for of, against in (("judge", "people"), ("wordings", "people"), ("judge", "wordings")):
        pairs = [
            (ours, theirs) for one in answers
            if (ours := getattr(one, kinds[of])) is not None and (theirs := getattr(one, kinds[against])) is not None
        ]  # fmt: skip
        if not pairs:
            continue
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        labels = {"of": of, "with": against}
        for name, figure in (("agreement", agreement), ("kappa", cohen_kappa)):
            told = figure(ours, theirs, rng)
            metrics.append(Metric(name, told.value, "", labels, told.low, told.high, told.n, "over answers, bootstrap"))
    return metrics


def write_answers(path: Path, scored: Sequence[Scored]) -> int:
    """Writes the answers as JSONL for people to label; how many. A person sets `right` to true or false."""
    wordings = {one.question.question: list(one.question.answers) for one in scored}
    rows = [
        {"question": one.question, "answer": one.answer, "answers": wordings[one.question], "right": None,
         "judged": one.judged, "holds": one.holds}
        for one in labelled(scored)
    ]  # fmt: skip
    write_questions(path, rows)
    return len(rows)


def read_labels(path: Path) -> list[Labelled]:
    """The answers of a file that `write_answers` wrote and people have labelled.

    Raises:
        UsageError: the file cannot be read, is not of that form, or nobody has labelled an answer of it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]
        answers = [
            Labelled(
                str(row["question"]), str(row["answer"]), _verdict_in(row, "judged"), _verdict_in(row, "holds"),
                _verdict_in(row, "right"),
            )
            for row in rows
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"The labels {path} cannot be read", why=repr(error),
            do="Write them with: inhouse docs eval QUESTIONS --judge MODEL --review answers.jsonl",
        ) from None  # fmt: skip
    if not any(one.right is not None for one in answers):
        raise UsageError(f"Nobody has labelled an answer in {path}", do="Set `right` to true or false in its rows")
    return answers


def _verdict_in(row: dict[str, Any], name: str) -> bool | None:
    value = row.get(name)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, neither true, false nor null")
    return value


def _is_right(value: float | None) -> bool | None:
    return None if value is None else value >= _RIGHT
