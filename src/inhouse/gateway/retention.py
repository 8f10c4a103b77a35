"""Removes the conversations of keys in time; those that were made on the command line are their makers'."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from inhouse.agent.conversations import Conversations
from inhouse.gateway.persons import of_any_key
from inhouse.store.database import Database


def forget_conversations(database: Database, keep: timedelta, *, now: datetime | None = None) -> int:
    """Removes what no key has gone on with for so long, also of keys that were revoked; how many there were. Blocks."""
    return Conversations(database).forget((now or datetime.now(UTC)) - keep, of_any_key())
