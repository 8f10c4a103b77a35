"""Keys and teams whose every change is recorded in the audit log, under the name of who made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from inhouse.gateway.audit import AuditEvent, AuditLog
from inhouse.gateway.identity import NO_BUDGET, NO_LIMITS, Budget, KeyLimits, KeyRole
from inhouse.gateway.key_store import Key, KeyStore, Team
from inhouse.store.database import Database


class AuditedKeys(KeyStore):
    """A key store that records its changes, and makes none where the log refuses; `actor` is who makes them."""

    def __init__(self, database: Database, log: AuditLog, actor: str) -> None:
        super().__init__(database)
        self._log, self._actor = log, actor

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
        """As `KeyStore.create`."""
        self._log.check()
        key, text = super().create(
            name,
            team=team,
            role=role,
            models=models,
            tags=tags,
            limits=limits,
            budget=budget,
            priority=priority,
            expires_at=expires_at,
        )
        given: dict[str, Any] = {"name": name, "team": team, "role": role, "models": models}
        given |= {"tags": sorted(tags) or None, "expires_at": expires_at}
        self._record("key.create", key.id, {**given, **asdict(limits), **asdict(budget)})
        return key, text

    def rotate(self, id_or_prefix: str, *, grace: timedelta = timedelta(0)) -> tuple[Key, str]:
        """As `KeyStore.rotate`."""
        self._log.check()
        key, text = super().rotate(id_or_prefix, grace=grace)
        self._record("key.rotate", key.id, {"grace_s": grace.total_seconds()})
        return key, text

    def revoke(self, id_or_prefix: str) -> Key:
        """As `KeyStore.revoke`."""
        self._log.check()
        key = super().revoke(id_or_prefix)
        self._record("key.revoke", key.id, {})
        return key

    def set_allowances(self, id_or_prefix: str, limits: KeyLimits, budget: Budget) -> Key:
        """As `KeyStore.set_allowances`."""
        self._log.check()
        key = super().set_allowances(id_or_prefix, limits, budget)
        self._record("key.allow", key.id, {**asdict(limits), **asdict(budget)})
        return key

    def set_team(self, team: Team) -> None:
        """As `KeyStore.set_team`."""
        self._log.check()
        super().set_team(team)
        self._record("team.set", team.name, {**asdict(team.limits), **asdict(team.budget)})

    def _record(self, action: str, subject: str, details: Mapping[str, Any]) -> None:
        said = {name: value for name, value in details.items() if value is not None}
        self._log.append([AuditEvent(self._actor, action, subject, said)])
