"""The tables of evaluations: answers with what was asked, their scores, and people's labels; knows no queries.

A change here needs a migration under migrations/versions (a test compares the two on both databases).
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from inhouse.store.tables import AnyText, RowId, RunId, UtcDateTime, metadata


def _belongs_to_answer() -> Column[int]:
    return Column("answer_id", RowId, ForeignKey("eval_answers.id", ondelete="CASCADE"), nullable=False)


answers = Table(
    "eval_answers",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("run_id", RunId, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("suite", Text, nullable=False),
    Column("item", AnyText, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("repeat", Integer, nullable=False),
    # What was sent, to which model: an answer to the same is found again by it.
    Column("digest", String(64), nullable=False),
    Column("question", AnyText, nullable=False),
    Column("text", AnyText, nullable=False),
    Column("response", JSON, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("duration_s", Double, nullable=False),
    Column("error", AnyText),
    # The run whose answer was taken over, where it was not asked for again.
    Column("cached_from", RunId),
    UniqueConstraint("run_id", "suite", "item", "prompt", "repeat", name="uq_eval_answers"),
    Index(None, "digest"),
)

scores = Table(
    "eval_scores",
    metadata,
    Column("id", RowId, primary_key=True),
    _belongs_to_answer(),
    Column("scorer", Text, nullable=False),
    Column("value", Double),
    Column("answer", AnyText, nullable=False),
    Column("detail", JSON, nullable=False),
    UniqueConstraint("answer_id", "scorer", name="uq_eval_scores"),
)

labels = Table(
    "eval_labels",
    metadata,
    Column("id", RowId, primary_key=True),
    _belongs_to_answer(),
    Column("person", AnyText, nullable=False),
    Column("value", Double, nullable=False),
    Column("note", AnyText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("answer_id", "person", name="uq_eval_labels"),
)
