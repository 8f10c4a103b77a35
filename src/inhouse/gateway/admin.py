"""Routes for admins: keys, teams, usage, metrics. Every other caller is refused."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from inhouse.gateway.audited_keys import AuditedKeys
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.identity import Budget, Caller, KeyLimits
from inhouse.gateway.key_store import Key, KeyStore, Team
from inhouse.gateway.metrics import TEXT
from inhouse.gateway.model_routes import admin_of
from inhouse.gateway.usage import By, sum_usage

_Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Money = Annotated[Decimal, Field(gt=0, le=10**12)]


class Allowances(BaseModel):
    """Rates, and budgets by UTC day and month; null is no limit."""

    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = None
    max_concurrent: _Count | None = None
    tokens_per_day: _Count | None = None
    tokens_per_month: _Count | None = None
    krw_per_day: _Money | None = None
    krw_per_month: _Money | None = None

    def limits(self) -> KeyLimits:
        """The rates."""
        return KeyLimits(self.requests_per_minute, self.tokens_per_minute, self.max_concurrent)

    def budget(self) -> Budget:
        """The budgets."""
        return Budget(self.tokens_per_day, self.tokens_per_month, self.krw_per_day, self.krw_per_month)


class NewKey(Allowances):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=200)
    team: str | None = Field(default=None, min_length=1, max_length=200)
    role: Literal["user", "admin"] = "user"
    models: list[str] | None = None
    tags: list[Annotated[str, Field(min_length=1, max_length=200)]] = []
    priority: int = Field(default=0, ge=-100, le=100)
    expires_in_days: float | None = Field(default=None, gt=0, le=36500)


class Rotation(BaseModel):
    """How long the secret before stays good."""

    grace_hours: float = Field(default=0, ge=0, le=24 * 365)


def keys_of(gateway: Gateway, admin: Caller) -> KeyStore:
    """The keys, every change recorded under the admin's name."""
    if gateway.keeper is None:
        return KeyStore(gateway.database)
    return AuditedKeys(gateway.database, gateway.keeper.audit, f"{admin.name} ({admin.key_id})")


def make_key(keys: KeyStore, new: NewKey) -> tuple[Key, str]:
    """Makes the key; with the one sight of its text. Blocks."""
    expires = None if new.expires_in_days is None else datetime.now(UTC) + timedelta(days=new.expires_in_days)
    return keys.create(
        new.name,
        team=new.team,
        role=new.role,
        models=new.models,
        tags=new.tags,
        limits=new.limits(),
        budget=new.budget(),
        priority=new.priority,
        expires_at=expires,
    )


def admin_routes(gateway: Gateway) -> APIRouter:
    """/metrics and /admin/…"""
    router = APIRouter(tags=["admin"])
    database = gateway.database
    keys = KeyStore(database)

    @router.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        """Prometheus's metrics."""
        admin_of(gateway, request)
        gateway.metrics.ledger_failing.set(bool(gateway.ledger.failure))
        if gateway.flow is not None:
            await gateway.flow.look()
        return Response(await asyncio.to_thread(gateway.metrics.exposition), media_type=TEXT.decode())

    @router.get("/admin/flow")
    async def flow(request: Request) -> dict[str, Any]:
        """How each model's queue and replicas stand now, over all processes of the gateway."""
        admin_of(gateway, request)
        if gateway.flow is None:
            return {"processes": 1, "models": []}
        await gateway.flow.look()
        models = [asdict(pool) for pool in gateway.flow.everyone()]
        return {"processes": gateway.flow.processes, "models": models}

    @router.get("/admin/keys")
    async def list_keys(request: Request, revoked: bool = False) -> list[dict[str, Any]]:
        """The keys, without their secrets."""
        admin_of(gateway, request)
        return [_plain(key) for key in await asyncio.to_thread(lambda: keys.all(revoked=revoked))]

    @router.post("/admin/keys", status_code=201)
    async def create_key(request: Request, new: NewKey) -> dict[str, Any]:
        """Makes a key; its text is shown this once."""
        mine = keys_of(gateway, admin_of(gateway, request))
        key, text = await asyncio.to_thread(make_key, mine, new)
        return {**_plain(key), "key": text}

    @router.put("/admin/keys/{key_id}/allowances")
    async def set_allowances(request: Request, key_id: str, allowances: Allowances) -> dict[str, Any]:
        """Replaces the key's rates and budgets."""
        mine = keys_of(gateway, admin_of(gateway, request))
        limits, budget = allowances.limits(), allowances.budget()
        return _plain(await asyncio.to_thread(lambda: mine.set_allowances(key_id, limits, budget)))

    @router.post("/admin/keys/{key_id}/rotate")
    async def rotate_key(request: Request, key_id: str, rotation: Rotation) -> dict[str, Any]:
        """Gives the key a new secret, shown this once."""
        mine = keys_of(gateway, admin_of(gateway, request))
        key, text = await asyncio.to_thread(lambda: mine.rotate(key_id, grace=timedelta(hours=rotation.grace_hours)))
        return {**_plain(key), "key": text}

    @router.delete("/admin/keys/{key_id}")
    async def revoke_key(request: Request, key_id: str) -> dict[str, Any]:
        """Ends the key."""
        mine = keys_of(gateway, admin_of(gateway, request))
        return _plain(await asyncio.to_thread(lambda: mine.revoke(key_id)))

    @router.get("/admin/teams")
    async def list_teams(request: Request) -> list[dict[str, Any]]:
        """The teams with their limits and budgets."""
        admin_of(gateway, request)
        return [asdict(team) for team in await asyncio.to_thread(keys.teams)]

    @router.put("/admin/teams/{name}")
    async def set_team(request: Request, name: str, allowances: Allowances) -> dict[str, Any]:
        """Makes or changes a team."""
        mine = keys_of(gateway, admin_of(gateway, request))
        team = Team(name, allowances.limits(), allowances.budget())
        await asyncio.to_thread(lambda: mine.set_team(team))
        return asdict(team)

    @router.get("/admin/usage")
    async def usage(
        request: Request,
        by: Annotated[list[By] | None, Query()] = None,
        since: Annotated[str | None, Query(pattern=r"^\d{4}-\d\d-\d\d$")] = None,
        until: Annotated[str | None, Query(pattern=r"^\d{4}-\d\d-\d\d$")] = None,
    ) -> list[dict[str, Any]]:
        """What was used, by day, month, key, team or model."""
        admin_of(gateway, request)
        groups: list[By] = list(dict.fromkeys(by)) if by else ["day"]
        rows = await asyncio.to_thread(lambda: sum_usage(database, groups, since=since, until=until))
        return [asdict(row) for row in rows]

    return router


def _plain(key: Key) -> dict[str, Any]:
    return asdict(key)
