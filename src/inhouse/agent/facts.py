"""Lasting facts about a person, kept across conversations; each can be seen and removed. Knows no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, insert, select

from inhouse.core.errors import UsageError
from inhouse.store.agent_tables import facts
from inhouse.store.database import Database
from inhouse.store.identity import new_run_id

MOST = 50
"""Facts that are shown to the model: the newest."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact, and the conversation that it comes from."""

    id: str
    person: str
    text: str
    created_at: datetime
    conversation_id: str | None


class Facts:
    """All kept facts. `clock` gives the wall-clock time (UTC)."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def add(self, person: str, text: str) -> None:
        """Keeps a fact; one that is kept already stays as it is."""
        if not text.strip():
            raise UsageError("An empty fact says nothing")
        with self._database.write() as connection:
            insert_fact(connection, person, text.strip(), self._clock())

    def of(self, person: str, *, limit: int | None = None) -> list[Fact]:
        """The person's facts, oldest first; of these the newest `limit`."""
        query = select(facts).where(facts.c.person == person).order_by(facts.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return [Fact(**row) for row in connection.execute(query).mappings()][::-1]

    def remove(self, person: str, fact_id: str) -> None:
        """Removes one of the person's facts, by the beginning of its id."""
        mine = (facts.c.person == person) & facts.c.id.startswith(fact_id.lower(), autoescape=True)
        with self._database.write() as connection:
            found = connection.execute(select(facts.c.id).where(mine)).scalars().all()
            if len(found) != 1:
                raise UsageError(
                    f"{len(found) or 'No'} facts go by {fact_id!r}", do="See `inhouse agent facts`, give more of the id"
                )
            connection.execute(delete(facts).where(facts.c.id == found[0]))

    def forget(self, person: str) -> int:
        """Removes all that is kept about the person; how many facts that were."""
        with self._database.write() as connection:
            return connection.execute(delete(facts).where(facts.c.person == person)).rowcount


def insert_fact(
    connection: Connection, person: str, text: str, at: datetime, *, conversation_id: str | None = None
) -> None:
    """Keeps a fact in the caller's transaction, unless the very same is kept already."""
    same = (facts.c.person == person) & (facts.c.text == text)
    if connection.scalar(select(func.count()).where(same)):
        return
    newest = connection.scalar(select(func.max(facts.c.id)))
    row = {
        "id": new_run_id(at, after=newest),
        "person": person,
        "text": text,
        "created_at": at,
        "conversation_id": conversation_id,
    }
    connection.execute(insert(facts).values(row))
