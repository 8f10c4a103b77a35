"""Removes the conversations of keys in time; those that were made on the command line are their makers'."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from inhouse.agent.conversations import Conversations
from inhouse.gateway.identity import LOCAL_CALLER
from inhouse.store.agent_tables import conversations
from inhouse.store.database import Database
from inhouse.store.gateway_tables import api_keys


def forget_conversations(database: Database, keep: timedelta, *, now: datetime | None = None) -> int:
    """Removes what no key has gone on with for so long, also of keys that were revoked; how many there were. Blocks."""
    person = conversations.c.person
    # A page's conversation is its key's as key:<id>, one of an agent over the API as <id>.
    keys = person.startswith("key:") | person.in_(select(api_keys.c.id)) | (person == LOCAL_CALLER.key_id)
    return Conversations(database).forget((now or datetime.now(UTC)) - keep, keys)
