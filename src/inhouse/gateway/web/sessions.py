"""Who has signed in: sessions in the store, shared by all processes, each bound to the key's secret it began with.

A browser holds 256 random bits; the store their hash. Knows nothing of requests or pages.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select

from inhouse.store.database import Database
from inhouse.store.web_tables import web_sessions


class Sessions:
    """The sessions in a store; each lasts for `lasts`. Blocks; safe for several threads and processes.

    `clock` counts seconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], float], lasts: timedelta) -> None:
        self._database, self._clock, self.lasts = database, clock, lasts

    def begin(self, secret_sha256: str, *, instead_of: str | None = None) -> str:
        """A new session for who showed the key with that hash; the id that only the browser may hold.

        The one that the browser had before ends; those that are over are forgotten.
        """
        session, now = new_id(), datetime.fromtimestamp(self._clock(), UTC)
        with self._database.write() as connection:
            ended = web_sessions.c.expires_at <= now
            if instead_of is not None:
                ended |= web_sessions.c.id_sha256 == _hash(instead_of)
            connection.execute(delete(web_sessions).where(ended))
            connection.execute(
                insert(web_sessions).values(
                    id_sha256=_hash(session), secret_sha256=secret_sha256, created_at=now, expires_at=now + self.lasts
                )
            )
        return session

    def secret_of(self, session: str) -> str | None:
        """The hash of the key's secret that the session was begun with; None where it is over or never was."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        query = select(web_sessions.c.secret_sha256).where(
            web_sessions.c.id_sha256 == _hash(session), web_sessions.c.expires_at > now
        )
        with self._database.read() as connection:
            return connection.scalar(query)

    def end(self, session: str) -> None:
        """Ends the session in every process."""
        with self._database.write() as connection:
            connection.execute(delete(web_sessions).where(web_sessions.c.id_sha256 == _hash(session)))


def new_id() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def csrf_token(session: str) -> str:
    """What a form must bring to show that a page of ours made it: only who holds the session's id can compute it."""
    return hmac.new(session.encode(), b"inhouse csrf token", hashlib.sha256).hexdigest()


def _hash(session: str) -> str:
    # As with keys: a plain hash is right for 256 random bits, which nobody can try.
    return hashlib.sha256(session.encode()).hexdigest()
