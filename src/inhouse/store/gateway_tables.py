"""The gateway's tables: teams and keys, one usage row a request and its sums by day; knows no queries.

A change here needs a migration under migrations/versions (a test compares the two on both databases).
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from inhouse.store.tables import AnyText, RunId, UtcDateTime, metadata


def _allowances() -> tuple[Column[int], ...]:
    """Rates and budgets of a key or a team; NULL is no limit. Money in millionths of a won."""
    return (
        Column("requests_per_minute", Integer),
        Column("tokens_per_minute", BigInteger),
        Column("max_concurrent", Integer),
        Column("tokens_per_day", BigInteger),
        Column("tokens_per_month", BigInteger),
        Column("micro_krw_per_day", BigInteger),
        Column("micro_krw_per_month", BigInteger),
    )


teams = Table(
    "teams",
    metadata,
    Column("name", Text, primary_key=True),
    *_allowances(),
    Column("created_at", UtcDateTime, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", RunId, primary_key=True),
    Column("prefix", Text, nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    # After a rotation the secret before it is good until this time.
    Column("previous_sha256", String(64)),
    Column("previous_until", UtcDateTime),
    Column("name", AnyText, nullable=False),
    Column("team", Text, ForeignKey("teams.name")),
    Column("role", Text, nullable=False),
    Column("models", JSON),
    Column("tags", JSON),
    *_allowances(),
    Column("priority", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Index(None, "secret_sha256", unique=True),
)

# One row, "keys": its number grows with every change of keys or teams, so that all processes notice.
versions = Table(
    "versions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", Double, nullable=False),  # when the request came: seconds since 1970, UTC
    Column("day", String(10), nullable=False),  # the same as a UTC date, 2026-01-31
    Column("key_id", Text, nullable=False),
    Column("team", Text),
    Column("api", Text, nullable=False),
    Column("model", AnyText, nullable=False),
    Column("replica", Text),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("tokens_estimated", Boolean, nullable=False),
    Column("nano_usd", BigInteger, nullable=False),
    Column("micro_krw", BigInteger, nullable=False),
    Column("saved_micro_krw", BigInteger, nullable=False),
    Column("queue_s", Double),
    Column("prefill_s", Double),
    Column("decode_s", Double),
    Column("ttft_s", Double),
    Column("e2e_s", Double, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", Text),
    Column("finish_reason", Text),
    Column("cache", Text),
    Column("guard", Text),
    Column("retries", Integer, nullable=False),
    Index(None, "day", "key_id"),
    Index(None, "key_id", "at"),
)

usage_days = Table(
    "usage_days",
    metadata,
    Column("day", String(10), nullable=False),
    Column("key_id", Text, nullable=False),
    Column("team", Text, nullable=False),  # "" for none: a part of the primary key cannot be NULL
    Column("model", AnyText, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("nano_usd", BigInteger, nullable=False),
    Column("micro_krw", BigInteger, nullable=False),
    Column("saved_micro_krw", BigInteger, nullable=False),
    Column("cache_hits", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "key_id", "team", "model"),
)
