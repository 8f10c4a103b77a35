"""The dashboard: what goes on now, as a stream of events; what came over a range of time; what it cost, and whom.

An admin sees all, and can look at one model, team or key; everyone else sees what their own key uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from inhouse.core.errors import Forbidden, InhouseError, RateLimited
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.identity import Caller
from inhouse.gateway.key_store import KeyStore
from inhouse.gateway.replica import Condition
from inhouse.gateway.traffic.alerts import budget_share, budgets_of
from inhouse.gateway.traffic.history import RANGES, range_named
from inhouse.gateway.traffic.meter import ALL
from inhouse.gateway.traffic.sampler import Sampler
from inhouse.gateway.usage import By, UsageSum, sum_usage
from inhouse.gateway.web import words
from inhouse.gateway.web.alert_words import alert_text
from inhouse.gateway.web.dashboard_history import history_of
from inhouse.gateway.web.dashboard_live import Audience, Frames
from inhouse.gateway.web.web import Web, page_router

DASHBOARD = "/ui/dashboard"
_MOST_VIEWERS = 100
"""Who watch one process at once; each holds a connection."""
_CHECK_EVERY = 5
"""Frames after which it is looked again whether the viewer is still signed in."""
_ROWS = 25
_SAID = (
    "requests", "failed", "refused", "completion", "prompt", "running", "waiting", "cache", "krw_h", "tokens", "queue",
    "errors", "guard", "cost", "cpu", "memory", "disk", "gpu", "engine", "gateway", "cores", "free", "time",
)  # fmt: skip
_WORDS = {
    **{name: name for name in _SAID},
    **{str(one): f"state.{one}" for one in Condition},
    "saved": "saved_word",
}
"""What the page's script says: its name for it, and the word's key."""


@dataclass(frozen=True, slots=True)
class Used:
    """A row of what was used today and this month (UTC): money in won, `share` of the tightest budget (0 to 1)."""

    name: str
    subject: str
    day_requests: int
    month_requests: int
    month_tokens: int
    day_krw: float
    month_krw: float
    share: float | None


def dashboard(web: Web, traffic: Sampler) -> APIRouter:
    """/ui/dashboard and what lies under it."""
    router = page_router()
    gateway = web.gateway
    frames = Frames(gateway)
    web.nav.append(("nav.dashboard", DASHBOARD, False))

    @router.get("/dashboard")
    async def page(request: Request, of: str = "", range: str = "live") -> Response:  # noqa: A002 - its name there
        visit, caller = await web.signed_in(request)
        subject = subject_of(caller, of)
        values = await asyncio.to_thread(_values, gateway, caller, subject)
        alerts = await asyncio.to_thread(_alerts, gateway, visit.lang) if visit.admin else None
        shown = next((one.name for one in RANGES if one.name == range), "live")
        ranges = ["live", *(one.name for one in RANGES)]
        said = {name: words.word(visit.lang, f"dash.{key}") for name, key in _WORDS.items()}
        return web.page(
            request,
            visit,
            "dashboard.html",
            subject=subject,
            shown=shown,
            ranges=ranges,
            words=said,
            alerts=alerts,
            **values,
        )

    @router.get("/dashboard/alerts")
    async def alerts(request: Request) -> Response:
        visit, _ = await web.admin(request)
        found = await asyncio.to_thread(_alerts, gateway, visit.lang)
        return web.page(request, visit, "dashboard_alerts.html", alerts=found)

    @router.get("/dashboard/history")
    async def history(request: Request, of: str = "", range: str = "1h") -> Response:  # noqa: A002
        _, caller = await web.signed_in(request)
        subject = subject_of(caller, of)
        machines = caller.role == "admin" and subject == ALL
        columns = await asyncio.to_thread(
            history_of, traffic.history, subject, range_named(range), gateway.clock(), machines=machines
        )
        return Response(orjson.dumps(columns), media_type="application/json")

    @router.get("/dashboard/live")
    async def live(request: Request, of: str = "") -> Response:
        _, caller = await web.signed_in(request)
        audience = Audience(subject_of(caller, of), caller.role == "admin")
        if traffic.viewers >= _MOST_VIEWERS:
            raise RateLimited("Too many watch the dashboard", do="Close one that nobody looks at", retry_after_s=10)
        return StreamingResponse(
            _events(web, request, traffic, frames, audience),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


async def _events(
    web: Web, request: Request, traffic: Sampler, frames: Frames, audience: Audience
) -> AsyncGenerator[bytes, None]:
    """The frames as server-sent events, until the viewer leaves, is no longer signed in, or the gateway ends."""
    number = 0
    async with aclosing(traffic.watch()) as moments:
        async for now in moments:
            number += 1
            if number % _CHECK_EVERY == 0 and not await _still_may(web, request, audience):
                yield b"event: over\ndata: {}\n\n"
                return
            yield b"data: %s\n\n" % await frames.frame(now, audience)


async def _still_may(web: Web, request: Request, audience: Audience) -> bool:
    try:
        _, caller = await web.signed_in(request)
        return subject_of(caller, audience.subject) == audience.subject and audience.admin == (caller.role == "admin")
    except InhouseError:
        return False


def subject_of(caller: Caller, of: str) -> str:
    """What the caller looks at: as asked for, or all of it, which is the own key's use for who is no admin.

    Raises:
        Forbidden: another's use, and the caller is no admin.
    """
    own = f"key:{caller.key_id}"
    if caller.role == "admin":
        kind, _, name = of.partition(":")
        return of if kind in ("model", "team", "key") and name else ALL
    if of not in ("", own):
        raise Forbidden("The key may see its own use only", do="Sign in with an admin's key")
    return own


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert as the page shows it."""

    id: str
    text: str
    lasts: bool
    since: datetime
    until: datetime | None
    problem: str | None


def _alerts(gateway: Gateway, lang: str) -> list[Shown]:
    """Those that last, then those of the last day. Blocks."""
    if gateway.alerts is None:
        return []
    book, names = gateway.alerts.book, {caller.key_id: caller.name for caller in gateway.keys.callers()}
    yesterday = datetime.fromtimestamp(gateway.clock(), UTC) - timedelta(days=1)
    return [
        Shown(one.id, alert_text(one, lang, names), one.until is None, one.since, one.until, one.problem)
        for one in [*book.open(), *book.ended(yesterday)]
    ]


# --- what it cost ---------------------------------------------------------------------------------------


def _values(gateway: Gateway, caller: Caller, subject: str) -> dict[str, Any]:
    """What the page shows beside the figures that its script fetches. Blocks."""
    kind, _, name = subject.partition(":")
    key_id, team, model = (name if kind == one else None for one in ("key", "team", "model"))
    summed = partial(sum_usage, gateway.database, key_id=key_id, team=team, model=model, named=False)
    today = datetime.fromtimestamp(gateway.clock(), UTC).date()
    callers = gateway.keys.callers()
    names = {one.id: one.name for one in KeyStore(gateway.database).all(revoked=True)} | {
        one.key_id: one.name for one in callers
    }
    admin = caller.role == "admin"
    tables: dict[str, list[Used]] = {}
    for by in ("model", "team", "key") if admin else ("model",):
        tables[by] = _used(gateway, by, today.isoformat(), summed, names)
    key_budgets, team_budgets = budgets_of(callers if admin else [caller])
    budget = key_budgets.get(name) if kind == "key" else team_budgets.get(name) if kind == "team" else None
    month = summed(["month"], since=f"{today:%Y-%m}-01")
    return {
        "tables": tables,
        "choices": _choices(gateway, callers) if admin else [],
        "budget": budget,
        "month": month[0] if month else None,
        "names": names,
    }


def _used(
    gateway: Gateway, by: By, today: str, summed: Callable[..., list[UsageSum]], names: dict[str, str]
) -> list[Used]:
    """The rows of one dimension, those that cost most first."""
    groups = summed([by], since=f"{today[:7]}-01")
    day = {one.group[by]: one for one in summed([by], since=today)}
    budgets = dict(zip(("key", "team"), budgets_of(gateway.keys.callers()), strict=True)).get(by, {})
    spent = {"key": gateway.spending.by_key, "team": gateway.spending.by_team}.get(by, {})
    found = []
    for one in groups:
        name = one.group[by]
        if not name:
            continue  # keys without a team
        row: UsageSum | None = day.get(name)
        share = budget_share(budgets[name], spent[name]) if name in budgets and name in spent else None
        found.append(
            Used(
                names.get(name, name) if by == "key" else name,
                f"{by}:{name}",
                0 if row is None else row.requests,
                one.requests,
                one.prompt_tokens + one.completion_tokens,
                0.0 if row is None else row.krw,
                one.krw,
                share,
            )
        )
    return sorted(found, key=lambda used: (-used.month_krw, -used.month_requests, used.name))[:_ROWS]


def _choices(gateway: Gateway, callers: list[Caller]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What an admin can look at alone: (kind, [(subject, name)])."""
    models = sorted({pool.model for pool in gateway.traffic.pools()}) if gateway.traffic is not None else []
    teams = sorted({caller.team for caller in callers if caller.team})
    keys = sorted(((caller.name, caller.key_id) for caller in callers), key=lambda one: one[0].lower())
    return [
        ("model", [(f"model:{one}", one) for one in models]),
        ("team", [(f"team:{one}", one) for one in teams]),
        ("key", [(f"key:{key_id}", name) for name, key_id in keys]),
    ]
