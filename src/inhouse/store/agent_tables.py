"""The tables of the agent: conversations, their steps and tool calls, and facts to remember; knows no queries.

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
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
)

from inhouse.store.tables import AnyText, RunId, UtcDateTime, metadata

conversations = Table(
    "conversations",
    metadata,
    Column("id", RunId, primary_key=True),
    Column("title", AnyText, nullable=False),
    Column("config", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("person", AnyText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # A branch keeps copies of the steps that it began with; its parent may be gone.
    Column("parent_id", RunId),
    Column("parent_step", Integer),
    # Who drives it. `fence` grows with each driver, and every write names its own: a driver that was
    # taken for dead can write nothing any more.
    Column("fence", BigInteger, nullable=False),
    Column("owner_host", Text),
    Column("owner_pid", Integer),
    Column("owner_started", Text),
    Index(None, "person"),
)

steps = Table(
    "conversation_steps",
    metadata,
    Column("conversation_id", RunId, ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("text", AnyText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("duration_s", Double, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("usage", JSON, nullable=False),
    Column("error", AnyText, nullable=False),
    Column("data", JSON, nullable=False),
)

calls = Table(
    "conversation_calls",
    metadata,
    Column("conversation_id", RunId, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("name", AnyText, nullable=False),
    Column("written", AnyText, nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("form", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("repaired", JSON, nullable=False),
    Column("reason", AnyText, nullable=False),
    Column("content", AnyText, nullable=False),
    Column("data", JSON, nullable=False),
    Column("tainted", Boolean, nullable=False),
    Column("source", AnyText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("at", UtcDateTime),
    Column("duration_s", Double, nullable=False),
    Column("tokens", Integer, nullable=False),
    ForeignKeyConstraint(
        ["conversation_id", "step"],
        ["conversation_steps.conversation_id", "conversation_steps.number"],
        ondelete="CASCADE",
    ),
)

facts = Table(
    "facts",
    metadata,
    Column("id", RunId, primary_key=True),
    Column("person", AnyText, nullable=False),
    Column("text", AnyText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("conversation_id", RunId),
    Index(None, "person"),
)
