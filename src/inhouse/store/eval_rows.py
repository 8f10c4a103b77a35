"""An evaluation's answers as they stand in an exported run: with their scores and what people said of them.

Knows rows only: what a response or a score means is the matter of inhouse.quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from inhouse.store.eval_tables import answers, labels, scores

_FIELDS = (
    "suite", "item", "prompt", "repeat", "digest", "question", "text", "response", "seed", "prompt_tokens",
    "completion_tokens", "duration_s", "error", "cached_from",
)  # fmt: skip
_SCORE = ("scorer", "value", "answer", "detail")
_LABEL = ("person", "value", "note", "at")


@dataclass(frozen=True, slots=True)
class KeptScore:
    """A row of eval_scores without its ids."""

    scorer: str
    value: float | None
    answer: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KeptLabel:
    """A row of eval_labels without its ids."""

    person: str
    value: float
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A row of eval_answers without its ids, with the scores and labels under it."""

    suite: str
    item: str
    prompt: str
    repeat: int
    digest: str
    question: str
    text: str
    response: Mapping[str, Any]
    seed: int
    prompt_tokens: int | None
    completion_tokens: int | None
    duration_s: float
    error: str | None
    cached_from: str | None
    scores: Sequence[KeptScore] = field(default_factory=tuple)
    labels: Sequence[KeptLabel] = field(default_factory=tuple)


def kept_answers(connection: Connection, run_id: str) -> list[KeptAnswer]:
    """The run's answers in the order they were kept."""
    rows = connection.execute(select(answers).where(answers.c.run_id == run_id).order_by(answers.c.id)).mappings()
    scored, labelled = _under(connection, scores, run_id), _under(connection, labels, run_id)
    return [
        KeptAnswer(
            **{name: row[name] for name in _FIELDS},
            scores=[KeptScore(**{name: one[name] for name in _SCORE}) for one in scored.get(row["id"], ())],
            labels=[KeptLabel(**{name: one[name] for name in _LABEL}) for one in labelled.get(row["id"], ())],
        )
        for row in rows.all()
    ]


def restore_answers(connection: Connection, run_id: str, kept: Sequence[KeptAnswer]) -> None:
    """Keeps the answers under the run, with new ids."""
    for one in kept:
        row = {name: getattr(one, name) for name in _FIELDS}
        made = connection.execute(insert(answers).values(run_id=run_id, **row)).inserted_primary_key
        assert made is not None
        under = {"answer_id": made[0]}
        for table, rows in ((scores, one.scores), (labels, one.labels)):
            if rows:
                connection.execute(insert(table), [asdict(row) | under for row in rows])


def _under(connection: Connection, table: Table, run_id: str) -> dict[int, list[Mapping[Any, Any]]]:
    found: dict[int, list[Mapping[Any, Any]]] = {}
    query = select(table).join(answers).where(answers.c.run_id == run_id).order_by(table.c.id)
    for row in connection.execute(query).mappings():
        found.setdefault(row["answer_id"], []).append(row)
    return found
