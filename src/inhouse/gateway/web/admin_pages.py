"""The other pages for admins: usage by key, team and model; the audit log; what the guard would do about a text."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Literal, get_args

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from inhouse.core.errors import InvalidRequest
from inhouse.engines.base import Message
from inhouse.gateway.audit import AuditLog
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.guard.guard import Guard
from inhouse.gateway.guard.policy import load_policy
from inhouse.gateway.guard.verdict import Finding, Verdict
from inhouse.gateway.usage import By, UsageSum, sum_usage
from inhouse.gateway.web.key_pages import ADMIN, admin_tabs
from inhouse.gateway.web.visit import form_of
from inhouse.gateway.web.web import Web, page_router

USAGE, AUDIT, GUARD = (f"{ADMIN}/{name}" for name in ("usage", "audit", "guard"))
_EVENTS = 100
_ROWS = 500
_BY: tuple[By, ...] = get_args(By)


def admin_pages(web: Web) -> APIRouter:
    """/ui/admin/usage, /ui/admin/audit and /ui/admin/guard."""
    router = page_router()
    gateway = web.gateway

    @router.get("/admin/usage")
    async def used(
        request: Request, by: By = "key", then: By | Literal[""] = "", since: str = "", until: str = "",
        form: Literal["html", "csv"] = "html",
    ) -> Response:  # fmt: skip
        visit, _ = await web.admin(request)
        today = datetime.fromtimestamp(gateway.clock(), UTC).date()
        first, last = _day(since, today.replace(day=1)), _day(until, today)
        groups: list[By] = [by] if not then or then == by else [by, then]
        rows = await asyncio.to_thread(
            lambda: sum_usage(gateway.database, groups, since=first.isoformat(), until=last.isoformat())
        )
        if form == "csv":
            name = f"usage {first} {last}.csv"
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            return Response(_csv(rows, groups), 200, headers, "text/csv; charset=utf-8")
        return web.page(
            request, visit, "usage.html", rows=rows[:_ROWS], more=len(rows) - _ROWS, groups=groups, by=by, then=then,
            since=first, until=last, choices=_BY, total=_total(rows), query=request.url.query,
            tabs=admin_tabs(USAGE),
        )  # fmt: skip

    @router.get("/admin/audit")
    async def audited(request: Request, action: str = "", before: int | None = None) -> Response:
        visit, _ = await web.admin(request)
        return web.page(request, visit, "audit.html", **await _events(gateway, action, before), check=None)

    @router.post("/admin/audit")
    async def verified(request: Request) -> Response:
        """Reads the whole log and looks for any change, deletion, insertion or cut."""
        visit, _ = await web.admin(request)
        log = _log(gateway)
        check = None if log is None else await asyncio.to_thread(log.verify)
        return web.page(request, visit, "audit.html", **await _events(gateway, "", None), check=check)

    @router.get("/admin/audit/export")
    async def exported(request: Request) -> Response:
        """The whole log, one event a line of JSON, with its hashes: `inhouse audit verify` reads it."""
        await web.admin(request)
        log = _log(gateway)
        lines: Iterator[str] = iter(()) if log is None else (f"{line}\n" for line in log.export())
        headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
        return StreamingResponse(lines, 200, headers, "application/jsonl")

    @router.get("/admin/guard")
    async def guard_form(request: Request) -> Response:
        visit, _ = await web.admin(request)
        return web.page(request, visit, "guard.html", **_guard_values(gateway))

    @router.post("/admin/guard")
    async def tried(request: Request) -> Response:
        """Says what the guard would do about a text; keeps neither the text nor that it was tried."""
        visit, _ = await web.admin(request)
        sent = await form_of(request, gateway.settings.max_body_bytes)
        # As a form sends it, a line ends with two characters; as a client of the API, with one.
        text, read_as = sent.get("text", "").replace("\r\n", "\n"), sent.get("as", "user")
        if not text.strip():
            raise InvalidRequest("There is no text to check", do="Write or paste one")
        role: Literal["user", "tool"] = "tool" if read_as == "document" else "user"
        guard = gateway.guard or _shipped()
        verdict = await asyncio.to_thread(guard.check_input, (Message(role, text),), "")
        values = _guard_values(gateway) | {
            "text": text, "read_as": read_as, "verdict": verdict, "pieces": pieces(text, verdict),
            "sent_on": verdict.messages[0].content if verdict.restore else "",
        }  # fmt: skip
        return web.page(request, visit, "guard.html", **values)

    return router


def pieces(text: str, verdict: Verdict) -> list[tuple[str, Finding | None]]:
    """The text in pieces: what was found, and what lies between; of findings that overlap, the first."""
    found: list[tuple[str, Finding | None]] = []
    done = 0
    spans = [one for one in verdict.findings if 0 < one.end - one.start < len(text)]
    for one in sorted(spans, key=lambda one: (one.start, -one.end)):
        if one.start < done:
            continue
        found += [(text[done : one.start], None), (text[one.start : one.end], one)]
        done = one.end
    return [piece for piece in (*found, (text[done:], None)) if piece[0]]


@cache
def _shipped() -> Guard:
    """The guard by the shipped policy, for a gateway that has none of its own."""
    return Guard(load_policy(None))


def _guard_values(gateway: Gateway) -> dict[str, Any]:
    own = gateway.guard is not None
    return {
        "own": own, "text": "", "read_as": "user", "verdict": None, "pieces": [], "sent_on": "",
        "dry_run": own and gateway.guard is not None and gateway.guard.policy.dry_run, "tabs": admin_tabs(GUARD),
    }  # fmt: skip


def _log(gateway: Gateway) -> AuditLog | None:
    return None if gateway.keeper is None else gateway.keeper.audit


async def _events(gateway: Gateway, action: str, before: int | None) -> dict[str, Any]:
    """A page of the log, the newest event first."""
    log = _log(gateway)

    def read() -> tuple[list[Any], list[str]]:
        if log is None:
            return [], []
        return list(log.entries(before=before, action=action or None, newest=_EVENTS + 1)), log.actions()

    entries, actions = await asyncio.to_thread(read)
    newest = list(reversed(entries))
    return {
        "entries": newest[:_EVENTS], "more": len(newest) > _EVENTS, "actions": actions, "action": action,
        "kept": log is not None, "tabs": admin_tabs(AUDIT),
    }  # fmt: skip


def _day(text: str, otherwise: date) -> date:
    try:
        return date.fromisoformat(text) if text else otherwise
    except ValueError:
        raise InvalidRequest(f"{text!r} is no date", do="Write it as 2026-01-31") from None


def _total(rows: list[UsageSum]) -> UsageSum:
    return UsageSum(
        {}, *(sum(getattr(row, name) for row in rows) for name in list(UsageSum.__dataclass_fields__)[1:])
    )  # fmt: skip


def _csv(rows: list[UsageSum], groups: list[By]) -> str:
    text = io.StringIO()
    figures = [name for name in UsageSum.__dataclass_fields__ if name != "group"]
    writer = csv.writer(text)
    writer.writerow([*groups, *figures])
    for row in rows:
        kept = asdict(row)
        # A cell that begins like a formula would be one in a spreadsheet; names of keys are people's.
        names = [f"'{value}" if value[:1] in "=+-@\t\r" else value for value in (row.group[one] for one in groups)]
        writer.writerow([*names, *(kept[name] for name in figures)])
    return text.getvalue()
