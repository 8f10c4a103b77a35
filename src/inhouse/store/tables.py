"""The database's tables and how each record's fields lie in their columns; knows no queries.

A change here needs a migration under migrations/versions (a test compares the two on both databases).
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: kept in UTC, read back with its time zone (SQLite itself would lose it)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Back with its time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Floats(TypeDecorator[tuple[float, ...]]):
    """A list of numbers as packed little-endian doubles: 8 bytes each and exact, a third of what JSON takes."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: tuple[float, ...] | None, dialect: Any) -> bytes | None:
        """Packs."""
        return None if not value else struct.pack(f"<{len(value)}d", *value)

    def process_result_value(self, value: bytes | None, dialect: Any) -> tuple[float, ...]:
        """Unpacks; no bytes are an empty list."""
        return () if not value else struct.unpack(f"<{len(value) // 8}d", value)


class AnyText(TypeDecorator[str]):
    """Text as a model or a user may write it.

    PostgreSQL refuses NUL characters and both databases refuse lone surrogates, which models do emit:
    each becomes U+FFFD or "?", so that no answer is lost for one bad character.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Replaces what cannot be stored."""
        if value is None:
            return None
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


# Ids compare by bytes on every database, so that the newest run is the greatest id.
RunId = String(26).with_variant(String(26, collation="C"), "postgresql")
# SQLite numbers rows by itself only in an INTEGER primary key.
RowId = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _belongs_to_run(name: str = "run_id") -> Column[str]:
    return Column(name, RunId, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False)


runs = Table(
    "runs",
    metadata,
    Column("id", RunId, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("config", JSON, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("environment", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("model", AnyText),
    Column("engine", AnyText),
    Column("error", AnyText),
    Column("study_id", RunId, ForeignKey("runs.id", ondelete="CASCADE")),
    Column("progress", JSON, nullable=False),
    # The process that is making the run; see identity.py.
    Column("owner_host", Text),
    Column("owner_pid", Integer),
    Column("owner_started", Text),
    Index(None, "study_id"),
    Index(None, "status"),
)

samples = Table(
    "samples",
    metadata,
    Column("id", RowId, primary_key=True),
    _belongs_to_run(),
    Column("stage", AnyText),
    Column("index", Integer, nullable=False),
    Column("intended_start_s", Double, nullable=False),
    Column("start_s", Double, nullable=False),
    Column("end_s", Double, nullable=False),
    Column("first_token_s", Double),
    Column("token_times_s", Floats),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("finish_reason", AnyText),
    Column("error_kind", Text),
    Column("error_message", AnyText),
    Column("tags", JSON, nullable=False),
    Column("engine_timings", JSON, nullable=False),
    Column("prompt", AnyText),
    Column("answer", AnyText),
    Index(None, "run_id", "stage"),
)

metrics = Table(
    "metrics",
    metadata,
    Column("id", RowId, primary_key=True),
    _belongs_to_run(),
    Column("name", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("unit", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("low", Double),
    Column("high", Double),
    Column("n", Integer),
    Column("method", Text, nullable=False),
    Column("predicted", Boolean, nullable=False),
    Index(None, "run_id"),
)

series = Table(
    "series",
    metadata,
    Column("id", RowId, primary_key=True),
    _belongs_to_run(),
    Column("name", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("times_s", Floats),
    Column("values", Floats),
    Column("labels", JSON, nullable=False),
    Index(None, "run_id"),
)

findings = Table(
    "findings",
    metadata,
    Column("id", RowId, primary_key=True),
    _belongs_to_run("study_id"),
    Column("phase", Integer, nullable=False),
    Column("side", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("figures", JSON, nullable=False),
    Column("evidence", JSON, nullable=False),
    Index(None, "study_id", "phase"),
)
