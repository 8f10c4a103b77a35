"""Keys and teams as the store keeps them: made, listed, changed, rotated, revoked. Knows no requests.

A key is ih-<prefix>-<secret>. Only its SHA-256 is kept (see keys.hash_secret); it is shown once, when made.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from inhouse.core.errors import StoreError, UsageError
from inhouse.gateway.identity import NO_BUDGET, NO_LIMITS, Budget, Caller, KeyLimits, KeyRole
from inhouse.store.database import Database
from inhouse.store.gateway_tables import api_keys, teams, versions
from inhouse.store.identity import new_run_id

_PREFIX_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # nothing that is mistaken for another
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is listed; never holds the secret. `prefix` is the beginning by which its owner knows it."""

    id: str
    prefix: str
    name: str
    team: str | None
    role: KeyRole
    models: tuple[str, ...] | None
    tags: tuple[str, ...]
    limits: KeyLimits
    budget: Budget
    priority: int
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Team:
    """Keys that share limits and a budget."""

    name: str
    limits: KeyLimits = NO_LIMITS
    budget: Budget = NO_BUDGET


class KeyStore:
    """Keys and teams in the store. Blocks; safe for several threads and processes."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        name: str,
        *,
        team: str | None = None,
        role: KeyRole = "user",
        models: Sequence[str] | None = None,
        tags: Sequence[str] = (),
        limits: KeyLimits = NO_LIMITS,
        budget: Budget = NO_BUDGET,
        priority: int = 0,
        expires_at: datetime | None = None,
    ) -> tuple[Key, str]:
        """Makes a key; returns it with the one sight of its text. A team that is new is made with it."""
        if not name.strip():
            raise UsageError("The key needs a name", do="Say whose it is or what for")
        now = self._clock()
        if expires_at is not None and expires_at <= now:
            raise UsageError("The key would have expired already", do="Give a time in the future")
        prefix, text, digest = _new_secret()
        key_id = new_run_id(now)
        with self._database.write() as connection:
            if team is not None:
                _ensure_team(connection, team, now)
            row = {
                "id": key_id,
                "prefix": prefix,
                "secret_sha256": digest,
                "name": name,
                "team": team,
                "role": role,
                "models": None if models is None else list(models),
                "tags": sorted(set(tags)) or None,
                **_allowances(limits, budget),
                "priority": priority,
                "created_at": now,
                "expires_at": expires_at,
            }
            connection.execute(insert(api_keys).values(row))
            _changed(connection)
        return self.get(key_id), text

    def rotate(self, id_or_prefix: str, *, grace: timedelta = timedelta(0)) -> tuple[Key, str]:
        """Gives the key a new secret; the one before it stays good for `grace`."""
        key = self.get(id_or_prefix)
        if key.revoked_at is not None:
            raise UsageError(f"The key {key.prefix} was revoked", do="Create a new one")
        prefix, text, digest = _new_secret()
        now = self._clock()
        with self._database.write() as connection:
            values: dict[str, Any] = {"prefix": prefix, "secret_sha256": digest}
            values["previous_sha256"] = api_keys.c.secret_sha256 if grace else None
            values["previous_until"] = now + grace if grace else None
            connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(values))
            _changed(connection)
        return self.get(key.id), text

    def revoke(self, id_or_prefix: str) -> Key:
        """Ends the key, for good."""
        key = self.get(id_or_prefix)
        if key.revoked_at is None:
            with self._database.write() as connection:
                connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(revoked_at=self._clock()))
                _changed(connection)
        return self.get(key.id)

    def set_allowances(self, id_or_prefix: str, limits: KeyLimits, budget: Budget) -> Key:
        """Replaces the key's own rates and budgets; its team's stay as they are."""
        key = self.get(id_or_prefix)
        with self._database.write() as connection:
            connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(_allowances(limits, budget)))
            _changed(connection)
        return self.get(key.id)

    def set_team(self, team: Team) -> None:
        """Makes a team, or changes its limits and budget."""
        with self._database.write() as connection:
            _ensure_team(connection, team.name, self._clock())
            connection.execute(
                update(teams).where(teams.c.name == team.name).values(_allowances(team.limits, team.budget))
            )
            _changed(connection)

    def teams(self) -> list[Team]:
        """All teams, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(teams).order_by(teams.c.name)).mappings().all()
        return [Team(row["name"], _limits(row), _budget(row)) for row in rows]

    def all(self, *, revoked: bool = False) -> list[Key]:
        """The keys, newest first; the revoked ones too where asked for."""
        query = select(api_keys).order_by(api_keys.c.id.desc())
        if not revoked:
            query = query.where(api_keys.c.revoked_at.is_(None))
        with self._database.read() as connection:
            return [_key(row) for row in connection.execute(query).mappings()]

    def get(self, id_or_prefix: str) -> Key:
        """The key by its id, or by the beginning of its id or of its text (ih-abcd2345)."""
        wanted = id_or_prefix.strip()
        start = "-".join(wanted.split("-")[:2]) if wanted.startswith("ih-") else wanted
        column = api_keys.c.prefix if wanted.startswith("ih-") else api_keys.c.id
        query = select(api_keys).where(column.startswith(start, autoescape=True)).limit(2)
        with self._database.read() as connection:
            found = [_key(row) for row in connection.execute(query).mappings()] if start else []
        if not found:
            raise UsageError(f"No key goes by {start!r}", do="See `inhouse keys list --all`")
        if len(found) > 1:
            raise UsageError(f"Several keys begin with {start!r}", do="Write more of it")
        return found[0]

    def version(self) -> int:
        """A number that grows with every change of keys or teams."""
        with self._database.read() as connection:
            return connection.scalar(select(versions.c.number).where(versions.c.name == "keys")) or 0

    def any(self) -> bool:
        """Whether there is a key, or ever was."""
        with self._database.read() as connection:
            return connection.execute(select(api_keys.c.id).limit(1)).first() is not None

    def active(self) -> list[tuple[str, Caller, float | None]]:
        """The hash, the caller and the end (seconds since 1970) of every secret that was not revoked."""
        with self._database.read() as connection:
            of_team = {row["name"]: row for row in connection.execute(select(teams)).mappings()}
            rows = connection.execute(select(api_keys).where(api_keys.c.revoked_at.is_(None))).mappings().all()
        found: list[tuple[str, Caller, float | None]] = []
        for row in rows:
            caller = _caller(row, of_team.get(row["team"]))
            expires = row["expires_at"].timestamp() if row["expires_at"] is not None else None
            found.append((row["secret_sha256"], caller, expires))
            if row["previous_sha256"] is not None:
                until = row["previous_until"].timestamp()
                found.append((row["previous_sha256"], caller, until if expires is None else min(until, expires)))
        return found


def _new_secret() -> tuple[str, str, str]:
    """Prefix, whole text, and hash of a new key."""
    from inhouse.gateway.keys import hash_secret

    prefix = "ih-" + "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(8))
    text = f"{prefix}-{secrets.token_urlsafe(32)}"
    return prefix, text, hash_secret(text)


def _ensure_team(connection: Connection, name: str, now: datetime) -> None:
    if connection.execute(select(teams.c.name).where(teams.c.name == name)).first() is None:
        connection.execute(insert(teams).values(name=name, created_at=now))


def _changed(connection: Connection) -> None:
    bumped = connection.execute(update(versions).where(versions.c.name == "keys").values(number=versions.c.number + 1))
    if not bumped.rowcount:
        connection.execute(insert(versions).values(name="keys", number=1))


def _allowances(limits: KeyLimits, budget: Budget) -> dict[str, Any]:
    return {
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "max_concurrent": limits.max_concurrent,
        "tokens_per_day": budget.tokens_per_day,
        "tokens_per_month": budget.tokens_per_month,
        "micro_krw_per_day": _to_micro(budget.krw_per_day),
        "micro_krw_per_month": _to_micro(budget.krw_per_month),
    }


def _limits(row: RowMapping) -> KeyLimits:
    limits = KeyLimits(row["requests_per_minute"], row["tokens_per_minute"], row["max_concurrent"])
    return NO_LIMITS if limits == NO_LIMITS else limits  # the one object, which is quick to tell


def _budget(row: RowMapping) -> Budget:
    budget = Budget(
        row["tokens_per_day"],
        row["tokens_per_month"],
        _from_micro(row["micro_krw_per_day"]),
        _from_micro(row["micro_krw_per_month"]),
    )
    return NO_BUDGET if budget == NO_BUDGET else budget


def _to_micro(krw: Decimal | None) -> int | None:
    return None if krw is None else int(krw * _MICRO)


def _from_micro(micro: int | None) -> Decimal | None:
    return None if micro is None else Decimal(micro) / _MICRO


def _caller(row: RowMapping, team: RowMapping | None) -> Caller:
    return Caller(
        key_id=row["id"],
        name=row["name"],
        team=row["team"],
        role=row["role"],
        models=None if row["models"] is None else tuple(row["models"]),
        limits=_limits(row),
        team_limits=NO_LIMITS if team is None else _limits(team),
        budget=_budget(row),
        team_budget=NO_BUDGET if team is None else _budget(team),
        priority=row["priority"],
        tags=frozenset(row["tags"] or ()),
    )


def _key(row: RowMapping) -> Key:
    if row["role"] not in ("user", "admin"):
        raise StoreError(f"The key {row['id']} has the role {row['role']!r}, which this version does not know")
    return Key(
        id=row["id"],
        prefix=row["prefix"],
        name=row["name"],
        team=row["team"],
        role=row["role"],
        models=None if row["models"] is None else tuple(row["models"]),
        tags=tuple(row["tags"] or ()),
        limits=_limits(row),
        budget=_budget(row),
        priority=row["priority"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
