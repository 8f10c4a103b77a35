"""The tables of the gateway's pages: who has signed in, the traffic's history at several grains, and alerts.

A change here needs a migration under migrations/versions (a test compares the two on both databases).
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Double, Index, Integer, String, Table, Text

from inhouse.store.tables import AnyText, RunId, UtcDateTime, metadata

web_sessions = Table(
    "web_sessions",
    metadata,
    # What the browser holds is kept as its hash, as with keys: a copy of the store opens no session.
    Column("id_sha256", String(64), primary_key=True),
    # The key's secret that was signed in with, as in `api_keys`: when that secret ends, so does the session.
    Column("secret_sha256", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "expires_at"),
)

# What came in each step of `step_s` seconds, at several grains. Each process writes sums of its own (`writer`), and
# who reads adds them up: so nobody waits for a row that another changes.
traffic = Table(
    "traffic",
    metadata,
    Column("step_s", Integer, primary_key=True, autoincrement=False),
    Column("subject", AnyText, primary_key=True),  # all, model:<name>, team:<name>, key:<id> or host:<name>
    Column("at", BigInteger, primary_key=True, autoincrement=False),  # its beginning: seconds since 1970, UTC
    Column("writer", Text, primary_key=True),
    Column("sums", JSON, nullable=False),
    Index(None, "step_s", "at"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", RunId, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("subject", AnyText, nullable=False),
    # 1 while it lasts, NULL afterwards: so that each can be open once, whoever opens it.
    Column("is_open", Integer),
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
    Column("value", Double, nullable=False),
    Column("threshold", Double, nullable=False),
    # When the webhook is to be told of how it stands now; NULL where there is nothing to tell.
    Column("tell_at", UtcDateTime),
    Column("attempts", Integer, nullable=False),
    Column("problem", Text),  # why the last attempt failed
    Index(None, "rule", "subject", "is_open", unique=True),
    Index(None, "since"),
)
