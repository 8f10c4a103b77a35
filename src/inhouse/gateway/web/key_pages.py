"""The pages of keys and teams, for admins: made, limited, rotated, revoked; what each has used.

Checks what comes by the same models as the API's routes, and changes keys by the same functions, recorded alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ValidationError

from inhouse.core.errors import InhouseError, InvalidRequest
from inhouse.gateway.admin import Allowances, NewKey, Rotation, keys_of, make_key
from inhouse.gateway.identity import Budget, Caller, KeyLimits
from inhouse.gateway.key_store import Key, KeyStore, Team
from inhouse.gateway.model_routes import visible_models
from inhouse.gateway.usage import sum_usage
from inhouse.gateway.web.visit import Visit, form_of
from inhouse.gateway.web.web import Tabs, Web, page_router

ADMIN = "/ui/admin"
KEYS = f"{ADMIN}/keys"
TEAMS = f"{ADMIN}/teams"
ALLOWANCES = tuple(Allowances.model_fields)
_LISTS = ("models", "tags")
Checked = TypeVar("Checked", bound=BaseModel)


def admin_tabs(here: str) -> Tabs:
    """The tabs of the pages for admins."""
    names = ("keys", "teams", "usage", "audit", "guard")
    return Tabs(tuple((f"admin.{name}", f"{ADMIN}/{name}") for name in names), here)


def key_pages(web: Web) -> APIRouter:
    """/ui/admin/keys and /ui/admin/teams, and what lies under them."""
    router = page_router()
    gateway = web.gateway
    keys = KeyStore(gateway.database)
    web.nav.append(("nav.admin", ADMIN, True))

    async def changed() -> None:
        """This process knows at once; all others within REFRESH_S."""
        await asyncio.to_thread(gateway.keys.refresh)

    async def list_page(
        request: Request, visit: Visit, caller: Caller, *, status: int = 200, revoked: bool = False, **values: Any
    ) -> Response:
        found, teams = await asyncio.to_thread(lambda: (keys.all(revoked=revoked), keys.teams()))
        models = [info.name for info in await visible_models(gateway, caller)]
        return web.page(
            request, visit, "keys.html", status=status, keys=found, teams=teams, models=models, revoked=revoked,
            allowances=ALLOWANCES, open_now=gateway.keys.open_now, tabs=admin_tabs(KEYS),
            **{"problem": None, "form": {}, "made": None, "secret": "", **values},
        )  # fmt: skip

    async def key_page(request: Request, visit: Visit, key: Key, *, status: int = 200, **values: Any) -> Response:
        used = await asyncio.to_thread(lambda: sum_usage(gateway.database, ["month", "model"], key_id=key.id))
        return web.page(
            request, visit, "key.html", status=status, key=key, used=used, allowances=ALLOWANCES, tabs=admin_tabs(KEYS),
            **{"problem": None, "secret": "", "form": plain_allowances(key.limits, key.budget), **values},
        )  # fmt: skip

    @router.get("/admin")
    async def begin(request: Request) -> Response:
        await web.admin(request)
        return RedirectResponse(KEYS, 303)

    @router.get("/admin/keys")
    async def listed(request: Request, revoked: bool = False) -> Response:
        visit, caller = await web.admin(request)
        return await list_page(request, visit, caller, revoked=revoked)

    @router.post("/admin/keys")
    async def create(request: Request) -> Response:
        """Makes a key; its text is on this page and on none after it."""
        visit, caller = await web.admin(request)
        form = await form_of(request)
        try:
            new = checked(NewKey, form)
            if gateway.keys.open_now and new.role != "admin":
                raise InvalidRequest("The first key must be an admin's", why="nobody could make another one here")
            key, text = await asyncio.to_thread(make_key, keys_of(gateway, caller), new)
        except InhouseError as error:
            return await list_page(request, visit, caller, status=400, problem=error, form=form)
        await changed()
        return await list_page(request, visit, caller, made=key, secret=text)

    @router.get("/admin/keys/{key_id}")
    async def shown(request: Request, key_id: str) -> Response:
        visit, _ = await web.admin(request)
        return await key_page(request, visit, await asyncio.to_thread(_key, keys, key_id))

    @router.post("/admin/keys/{key_id}/allowances")
    async def allow(request: Request, key_id: str) -> Response:
        """Replaces the key's rates and budgets."""
        visit, caller = await web.admin(request)
        form = await form_of(request)
        key = await asyncio.to_thread(_key, keys, key_id)
        try:
            given = checked(Allowances, form)
        except InhouseError as error:
            return await key_page(request, visit, key, status=400, problem=error, form=form)
        limits, budget = given.limits(), given.budget()
        await asyncio.to_thread(keys_of(gateway, caller).set_allowances, key.id, limits, budget)
        await changed()
        return RedirectResponse(f"{KEYS}/{key.id}", 303)

    @router.post("/admin/keys/{key_id}/rotate")
    async def rotate(request: Request, key_id: str) -> Response:
        """Gives the key a new secret; its text is on this page and on none after it."""
        visit, caller = await web.admin(request)
        form = await form_of(request)
        key = await asyncio.to_thread(_key, keys, key_id)
        try:
            grace = timedelta(hours=checked(Rotation, form).grace_hours)
            mine = keys_of(gateway, caller)
            key, text = await asyncio.to_thread(lambda: mine.rotate(key.id, grace=grace))
        except InhouseError as error:
            return await key_page(request, visit, key, status=400, problem=error)
        page = await key_page(request, visit, key, secret=text)
        await changed()
        return page

    @router.post("/admin/keys/{key_id}/revoke")
    async def revoke(request: Request, key_id: str) -> Response:
        _, caller = await web.admin(request)
        key = await asyncio.to_thread(_key, keys, key_id)
        if key.id == caller.key_id:
            raise InvalidRequest(
                "A key cannot revoke itself", why="nobody might be left to make another", do="Use another admin's key"
            )
        await asyncio.to_thread(keys_of(gateway, caller).revoke, key.id)
        await changed()
        return RedirectResponse(KEYS, 303)

    @router.get("/admin/teams")
    async def teams(request: Request) -> Response:
        visit, _ = await web.admin(request)
        return await team_page(request, visit)

    @router.post("/admin/teams")
    async def set_team(request: Request) -> Response:
        """Makes a team, or replaces its rates and budgets."""
        visit, caller = await web.admin(request)
        form = await form_of(request)
        name = form.get("name", "").strip()
        try:
            if not 1 <= len(name) <= 200:
                raise InvalidRequest("The team needs a name", do="Give one of at most 200 letters")
            given = checked(Allowances, form)
        except InhouseError as error:
            return await team_page(request, visit, status=400, problem=error, form=form)
        team = Team(name, given.limits(), given.budget())
        await asyncio.to_thread(keys_of(gateway, caller).set_team, team)
        await changed()
        return RedirectResponse(TEAMS, 303)

    async def team_page(request: Request, visit: Visit, *, status: int = 200, **values: Any) -> Response:
        found = await asyncio.to_thread(keys.teams)
        forms = [(team.name, plain_allowances(team.limits, team.budget)) for team in found]
        return web.page(
            request, visit, "teams.html", status=status, teams=forms, allowances=ALLOWANCES, tabs=admin_tabs(TEAMS),
            **{"problem": None, "form": {}, **values},
        )  # fmt: skip

    return router


def checked(kind: type[Checked], form: Mapping[str, str]) -> Checked:
    """The form's fields as that model; empty ones are left out, lists are written with commas.

    Raises:
        InvalidRequest: a field cannot be used; names it.
    """
    given: dict[str, Any] = {}
    for name in kind.model_fields:
        text = form.get(name, "").strip()
        if text:
            given[name] = [part for one in text.split(",") if (part := one.strip())] if name in _LISTS else text
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        raise InvalidRequest(f"{field} cannot be used", why=str(first["msg"]), do="Correct it") from None


def plain_allowances(limits: KeyLimits, budget: Budget) -> dict[str, str]:
    """Rates and budgets as a form shows them; empty where there is no limit."""
    found: dict[str, str] = {}
    for name in ALLOWANCES:
        value = getattr(limits, name) if hasattr(limits, name) else getattr(budget, name)
        found[name] = "" if value is None else f"{value:f}"
        if "." in found[name]:
            found[name] = found[name].rstrip("0").rstrip(".")
    return found


def _key(keys: KeyStore, key_id: str) -> Key:
    """The key of exactly that id."""
    found = keys.get(key_id)
    if found.id != key_id:
        raise InvalidRequest(f"No key goes by {key_id!r}")
    return found
