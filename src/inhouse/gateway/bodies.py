"""Kept prompts and answers, where a company turns that on: encrypted, for a limited time, removable.

Each body is sealed with AES-256-GCM under a key outside the database, bound to its request and key. Persons are
kept as a keyed hash only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, RowMapping, and_, delete, func, insert, select, true

from inhouse.core.errors import MissingExtra, StoreError, UsageError
from inhouse.store.audit_tables import bodies
from inhouse.store.database import Database

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Body:
    """One request's prompt and answer, as JSON-ready values."""

    id: str
    at: datetime
    expires_at: datetime
    key_id: str
    request: Any
    answer: Any


@dataclass(frozen=True, slots=True)
class KeptCount:
    """What is kept: how many bodies, from when to when."""

    count: int
    oldest: datetime | None
    newest: datetime | None


class BodyStore:
    """Bodies in a database; `retention` is how long each is kept. Safe for several threads and processes."""

    def __init__(
        self,
        database: Database,
        key: bytes,
        retention: timedelta,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise MissingExtra(
                "Keeping bodies needs a package that is not installed", do="Run: pip install 'inhouse[gateway]'"
            ) from None
        if retention <= timedelta(0):
            raise UsageError("Bodies must be kept for a time over zero")
        self._database, self._retention, self._clock = database, retention, clock
        self._cipher = AESGCM(_derived(key, b"bodies"))
        self._person_key = _derived(key, b"persons")

    def keep(
        self,
        body_id: str,
        key_id: str,
        request: Mapping[str, Any],
        answer: Mapping[str, Any],
        *,
        person: str | None = None,
    ) -> None:
        """Seals and keeps one request with its answer until its time is over; again under the same id replaces it."""
        now = self._clock()
        nonce = os.urandom(12)
        content = _json({"request": request, "answer": answer})
        sealed = self._cipher.encrypt(nonce, content, _bound(body_id, key_id))
        values = {
            "id": body_id,
            "at": now,
            "expires_at": now + self._retention,
            "key_id": key_id,
            "person": self._person(person),
            "nonce": nonce,
            "sealed": sealed,
        }
        with self._database.write() as connection:
            connection.execute(delete(bodies).where(bodies.c.id == body_id))
            connection.execute(insert(bodies).values(values))

    def get(self, body_id: str) -> Body:
        """The body of a request; StoreError where none is kept, or its time is over."""
        with self._database.read() as connection:
            row = connection.execute(select(bodies).where(bodies.c.id == body_id)).mappings().first()
        if row is None or row["expires_at"] <= self._clock():
            raise StoreError(f"No body is kept for the request {body_id}")
        return self._open(row)

    def export(self, *, key_id: str | None = None, person: str | None = None) -> Iterator[Body]:
        """The bodies of a key, of a person, or all, oldest first; not those whose time is over."""
        query = select(bodies).where(self._chosen(key_id, person), bodies.c.expires_at > self._clock())
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(bodies.c.at).execution_options(yield_per=_PAGE)).mappings()
            for row in rows:
                yield self._open(row)

    def count(self) -> KeptCount:
        """What is kept now, expired or not."""
        with self._database.read() as connection:
            count, oldest, newest = connection.execute(
                select(func.count(), func.min(bodies.c.at), func.max(bodies.c.at))
            ).one()
        return KeptCount(count, oldest, newest)

    def purge(self) -> int:
        """Removes those whose time is over; how many there were."""
        return self._delete(bodies.c.expires_at <= self._clock())

    def delete(self, *, body_id: str | None = None, key_id: str | None = None, person: str | None = None) -> int:
        """Removes the bodies of a request, a key or a person; how many there were.

        Raises:
            UsageError: nothing says which.
        """
        if body_id is None and key_id is None and person is None:
            raise UsageError("Say which bodies are to be removed", do="Name a request, a key or a person")
        chosen = self._chosen(key_id, person)
        return self._delete(chosen if body_id is None else and_(chosen, bodies.c.id == body_id))

    def _delete(self, chosen: ColumnElement[bool]) -> int:
        with self._database.write() as connection:
            return connection.execute(delete(bodies).where(chosen)).rowcount

    def _chosen(self, key_id: str | None, person: str | None) -> ColumnElement[bool]:
        chosen: list[ColumnElement[bool]] = [true()]
        if key_id is not None:
            chosen.append(bodies.c.key_id == key_id)
        if person is not None:
            chosen.append(bodies.c.person == self._person(person))
        return and_(*chosen)

    def _person(self, person: str | None) -> str | None:
        if not person:
            return None
        return hmac.new(self._person_key, person.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _open(self, row: RowMapping) -> Body:
        from cryptography.exceptions import InvalidTag

        try:
            opened = self._cipher.decrypt(row["nonce"], row["sealed"], _bound(row["id"], row["key_id"]))
        except InvalidTag:
            raise StoreError(
                f"The body of the request {row['id']} cannot be opened",
                why="it was sealed with another key, or was changed",
                do="Use the key that it was kept with (bodies.key in the data folder, or INHOUSE_BODIES_KEY)",
            ) from None
        content = orjson.loads(opened)
        return Body(row["id"], row["at"], row["expires_at"], row["key_id"], content["request"], content["answer"])


def _json(content: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(content)
    except TypeError:  # a lone surrogate, which models do write
        return json.dumps(content, default=_plain).encode()


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def _derived(key: bytes, purpose: bytes) -> bytes:
    """A key for one purpose, so that the two uses of the one key have nothing in common."""
    return hmac.new(key, b"inhouse " + purpose, hashlib.sha256).digest()


def _bound(body_id: str, key_id: str) -> bytes:
    return f"{body_id}\n{key_id}".encode()
