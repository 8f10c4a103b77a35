"""Kept answers: what was asked, what came of it, its scores, and people's labels. Knows tables, no engine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, delete, exists, func, insert, select, update

from inhouse.core.errors import UsageError
from inhouse.engines.base import TokenLogprob
from inhouse.quality.scorers import Response, Score
from inhouse.store.database import Database
from inhouse.store.eval_tables import answers, labels, scores

_FIELDS = (
    "suite", "item", "prompt", "repeat", "digest", "question", "seed", "prompt_tokens", "completion_tokens",
    "duration_s", "error", "cached_from",
)  # fmt: skip
_AT_ONCE = 500  # values in one query's list; SQLite allows no more than 32,766


@dataclass(frozen=True, slots=True)
class Answer:
    """One case as it was asked and answered. `key` names the case within its run.

    `digest` is the same for the same request to the same model. A failed request has an `error` and no scores.
    `cached_from` is the run whose answer was taken over. `cluster`, `targets` and `choices` are the item's, for
    comparisons, people and other programs long after the suite's file is gone.
    """

    suite: str
    item: str
    prompt: str
    repeat: int
    digest: str
    question: str
    response: Response
    seed: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    duration_s: float = 0.0
    error: str | None = None
    cached_from: str | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    id: int | None = None
    run_id: str = ""
    cluster: str = ""
    targets: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, int]:
        """The case within its run."""
        return (self.suite, self.item, self.prompt, self.repeat)


@dataclass(frozen=True, slots=True)
class Label:
    """A person's verdict on an answer, from 0 (wrong) to 1 (right)."""

    answer_id: int
    person: str
    value: float
    note: str = ""


class Answers:
    """All kept answers of a store's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run_id: str, new: Iterable[Answer]) -> None:
        """Keeps answers with their scores, all or none."""
        with self._database.write() as connection:
            for one in new:
                row = {name: getattr(one, name) for name in _FIELDS}
                row |= {"run_id": run_id, "text": one.response.text, "response": _packed(one)}
                made = connection.execute(insert(answers).values(row)).inserted_primary_key
                assert made is not None
                rows = [_score_row(made[0], scorer, score) for scorer, score in one.scores.items()]
                if rows:
                    connection.execute(insert(scores), rows)

    def set_scores(self, answer_id: int, scored: Mapping[str, Score]) -> None:
        """Adds scores to a kept answer; one by the same scorer is replaced."""
        with self._database.write() as connection:
            for scorer, score in scored.items():
                mine = (scores.c.answer_id == answer_id) & (scores.c.scorer == scorer)
                row = _score_row(answer_id, scorer, score)
                if not connection.execute(update(scores).where(mine).values(row)).rowcount:
                    connection.execute(insert(scores).values(row))

    def of_run(self, run_id: str, *, suite: str | None = None) -> list[Answer]:
        """The run's answers with their scores, in the order they were kept; of one suite, where given."""
        query = select(answers).where(answers.c.run_id == run_id).order_by(answers.c.id)
        if suite is not None:
            query = query.where(answers.c.suite == suite)
        scored = select(scores).join(answers).where(answers.c.run_id == run_id)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
            by_answer = _by_answer(connection.execute(scored).mappings().all())
        return [_answer(row, by_answer.get(row["id"], {})) for row in rows]

    def page(
        self, run_id: str, *, suite: str | None = None, wrong: bool = False, skip: int = 0, limit: int = 40
    ) -> tuple[list[Answer], int]:
        """`limit` of the run's answers after `skip`, with their scores, and how many there are in all.

        `wrong`: only those that failed, were not judged, or got less than everything from a scorer.
        """
        mine = answers.c.run_id == run_id
        if suite is not None:
            mine &= answers.c.suite == suite
        if wrong:
            scored = exists().where(scores.c.answer_id == answers.c.id)
            mine &= ~scored | exists().where(scores.c.answer_id == answers.c.id, scores.c.value < 1)
        query = select(answers).where(mine).order_by(answers.c.id).offset(skip).limit(limit)
        with self._database.read() as connection:
            of = connection.scalar(select(func.count()).select_from(answers).where(mine)) or 0
            rows = connection.execute(query).mappings().all()
            scored_rows = select(scores).where(scores.c.answer_id.in_([row["id"] for row in rows]))
            by_answer = _by_answer(connection.execute(scored_rows).mappings().all())
        return [_answer(row, by_answer.get(row["id"], {})) for row in rows], of

    def suites(self, run_id: str) -> dict[str, int]:
        """How many answers the run has of each suite."""
        query = select(answers.c.suite, func.count()).where(answers.c.run_id == run_id).group_by(answers.c.suite)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query.order_by(func.min(answers.c.id)))}

    def get(self, answer_id: int) -> Answer:
        """One answer by its number; UsageError where there is none."""
        with self._database.read() as connection:
            row = connection.execute(select(answers).where(answers.c.id == answer_id)).mappings().one_or_none()
            scored = connection.execute(select(scores).where(scores.c.answer_id == answer_id)).mappings().all()
        if row is None:
            raise UsageError(f"There is no answer {answer_id}", do="See `inhouse eval show`")
        return _answer(row, _by_answer(scored).get(answer_id, {}))

    def forget_failed(self, run_id: str) -> int:
        """Removes the run's answers that failed, so that they are asked again; how many there were."""
        failed = (answers.c.run_id == run_id) & answers.c.error.is_not(None)
        with self._database.write() as connection:
            return connection.execute(delete(answers).where(failed)).rowcount

    def find(self, digests: Sequence[str]) -> dict[str, Answer]:
        """The newest good answer to each of the requests that was ever answered; without its scores."""
        found: dict[str, Answer] = {}
        with self._database.read() as connection:
            for start in range(0, len(digests), _AT_ONCE):
                query = (
                    select(answers)
                    .where(answers.c.digest.in_(digests[start : start + _AT_ONCE]), answers.c.error.is_(None))
                    .order_by(answers.c.id)
                )
                found |= {row["digest"]: _answer(row, {}) for row in connection.execute(query).mappings()}
        return found

    def label(self, label: Label, *, at: datetime | None = None) -> None:
        """Keeps a person's verdict; their earlier one on the same answer is replaced."""
        row = {"value": label.value, "note": label.note, "at": at or datetime.now(UTC)}
        mine = (labels.c.answer_id == label.answer_id) & (labels.c.person == label.person)
        with self._database.write() as connection:
            if not connection.execute(update(labels).where(mine).values(row)).rowcount:
                row |= {"answer_id": label.answer_id, "person": label.person}
                connection.execute(insert(labels).values(row))

    def labels(self, run_id: str) -> list[Label]:
        """What people said of the run's answers."""
        query = select(labels).join(answers).where(answers.c.run_id == run_id).order_by(labels.c.id)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [Label(row["answer_id"], row["person"], row["value"], row["note"]) for row in rows]


def _score_row(answer_id: int, scorer: str, score: Score) -> dict[str, Any]:
    return {
        "answer_id": answer_id,
        "scorer": scorer,
        "value": score.value,
        "answer": score.answer,
        "detail": dict(score.detail),
    }


def _by_answer(rows: Iterable[RowMapping]) -> dict[int, dict[str, Score]]:
    found: dict[int, dict[str, Score]] = {}
    for row in rows:
        found.setdefault(row["answer_id"], {})[row["scorer"]] = Score(row["value"], row["answer"], row["detail"])
    return found


def _answer(row: RowMapping, scored: Mapping[str, Score]) -> Answer:
    kept = {name: row[name] for name in _FIELDS}
    packed = row["response"]
    return Answer(
        **kept, response=_unpacked(row), scores=scored, id=row["id"], run_id=row["run_id"],
        cluster=packed.get("cluster") or row["item"], targets=tuple(packed.get("targets", ())),
        choices=tuple(packed.get("choices", ())),
    )  # fmt: skip


def _packed(answer: Answer) -> dict[str, Any]:
    """All but the text; JSON has no infinity, so a choice without a log-probability is null."""
    response = answer.response
    packed: dict[str, Any] = {
        "finish_reason": response.finish_reason,
        "tokens": [[one.token, one.logprob] for one in response.tokens],
        "letters": [one if math.isfinite(one) else None for one in response.letters],
        "continuations": [one if math.isfinite(one) else None for one in response.continuations],
        "continuation_tokens": list(response.continuation_tokens),
        "cluster": answer.cluster if answer.cluster != answer.item else "",
        "targets": list(answer.targets),
        "choices": list(answer.choices),
    }
    return {name: value for name, value in packed.items() if value}


def _unpacked(row: RowMapping) -> Response:
    packed = row["response"]
    return Response(
        text=row["text"],
        finish_reason=packed.get("finish_reason"),
        tokens=tuple(TokenLogprob(token, logprob) for token, logprob in packed.get("tokens", ())),
        letters=tuple(-math.inf if one is None else one for one in packed.get("letters", ())),
        continuations=tuple(-math.inf if one is None else one for one in packed.get("continuations", ())),
        continuation_tokens=tuple(packed.get("continuation_tokens", ())),
    )
