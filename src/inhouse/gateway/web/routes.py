"""The pages' way in: static files, sign-in and sign-out, language and theme, one's own key; puts all routers together.

Knows which pages there are; what they show is theirs.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from inhouse.core.errors import RateLimited, Unauthenticated
from inhouse.core.language import LANGUAGES
from inhouse.gateway.audit import AuditEvent
from inhouse.gateway.base import Limits
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.identity import Caller, KeyLimits
from inhouse.gateway.keys import hash_secret
from inhouse.gateway.limits import RateLimits
from inhouse.gateway.web import assets
from inhouse.gateway.web.admin_pages import admin_pages
from inhouse.gateway.web.chat_routes import chat_routes
from inhouse.gateway.web.dashboard import dashboard
from inhouse.gateway.web.key_pages import key_pages
from inhouse.gateway.web.report_pages import report_pages
from inhouse.gateway.web.review_pages import review_pages
from inhouse.gateway.web.run_pages import run_pages
from inhouse.gateway.web.trace_pages import trace_pages
from inhouse.gateway.web.visit import (
    LANGUAGE_COOKIE,
    SESSION_COOKIE,
    THEME_COOKIE,
    THEMES,
    YEAR_S,
    Visit,
    form_of,
    keep_cookie,
    way_back,
)
from inhouse.gateway.web.web import SIGN_IN, Web, page_router

HOME = "/ui"


def web_routes(gateway: Gateway) -> tuple[Web, APIRouter]:
    """All pages of the gateway, and what their errors are shown with."""
    web = Web(gateway)
    router = APIRouter(include_in_schema=False)
    router.include_router(chat_routes(web))
    if gateway.documents is not None:
        from inhouse.gateway.web.document_pages import document_pages

        router.include_router(document_pages(web, gateway.documents))
    if gateway.traffic is not None:
        router.include_router(dashboard(web, gateway.traffic))
    for pages in (review_pages, trace_pages, run_pages):  # the last one's addresses would take those of the others
        router.include_router(pages(web))
    if gateway.report is not None:
        router.include_router(report_pages(web, gateway.report))
    router.include_router(key_pages(web))
    router.include_router(admin_pages(web))
    router.include_router(_entrance(web))
    return web, router


def _entrance(web: Web) -> APIRouter:
    gateway = web.gateway
    router = page_router()
    attempts = gateway.limits or RateLimits()

    @router.get("/static/{digest}/{name}")
    async def static(request: Request, digest: str, name: str) -> Response:
        return assets.send(request, digest, name)

    @router.get("")
    async def home(request: Request) -> Response:
        visit, _ = await web.signed_in(request)
        return RedirectResponse(_first_page(web, visit), 303)

    @router.get("/sign-in")
    async def sign_in_page(request: Request, next: str = "") -> Response:  # noqa: A002 - its name in the address
        visit = await web.visit(request)
        if visit.caller is not None:
            return RedirectResponse(way_back(next, HOME), 303)
        return web.page(request, visit, "sign_in.html", next=way_back(next, ""), problem="")

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        visit = await web.visit(request)
        form = await form_of(request)
        back = way_back(form.get("next"), "")
        key = form.get("key", "").strip()
        try:
            await _count_attempt(attempts, request, gateway.settings.sign_ins_per_minute)
            secret = hash_secret(key)
            caller = gateway.keys.owner(secret)
        except (Unauthenticated, RateLimited) as error:
            limited = isinstance(error, RateLimited)
            gateway.log.warning("sign_in_refused", address=_address(request), limited=limited)
            problem = "sign_in.limited" if limited else "sign_in.refused"
            return web.page(request, visit, "sign_in.html", status=error.http_status, next=back, problem=problem)
        session = await web.begin_session(secret, visit)
        _note(gateway, caller, "web.sign_in")
        response = RedirectResponse(back or HOME, 303)
        keep_cookie(request, response, SESSION_COOKIE, session, lasts_s=int(web.sessions.lasts.total_seconds()))
        return response

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        visit = await web.visit(request)
        if visit.caller is not None and visit.signed_in:
            await web.end_session(visit)
            _note(gateway, visit.caller, "web.sign_out")
        response = RedirectResponse(SIGN_IN, 303)
        response.delete_cookie(SESSION_COOKIE, path="/ui")
        return response

    @router.post("/preferences")
    async def preferences(request: Request) -> Response:
        """Remembers the language or the theme, signed in or not."""
        await web.visit(request)
        form = await form_of(request)
        response = RedirectResponse(way_back(form.get("back"), HOME), 303)
        for name, cookie, known in (("lang", LANGUAGE_COOKIE, LANGUAGES), ("theme", THEME_COOKIE, THEMES)):
            if (value := form.get(name)) in known:
                keep_cookie(request, response, cookie, str(value), lasts_s=YEAR_S)
        return response

    @router.get("/me")
    async def me(request: Request) -> Response:
        """What the key may do, and what it has used."""
        visit, caller = await web.signed_in(request)
        return web.page(request, visit, "me.html", caller=caller, spent=gateway.spending.spent(caller))

    web.nav.append(("nav.me", "/ui/me", False))
    return router


def _first_page(web: Web, visit: Visit) -> str:
    """Where a visit begins: the first page that it may see."""
    return next(path for _, path, for_admins in web.nav if visit.admin or not for_admins)


async def _count_attempt(attempts: Limits, request: Request, per_minute: int) -> None:
    """Counts an attempt to sign in; RateLimited where there were too many from that address, right or wrong."""
    one = Caller(f"sign-in {_address(request)}", "sign-in", limits=KeyLimits(requests_per_minute=per_minute))
    await attempts.take(one, "", 0)
    await attempts.settle(one, "", 0, 0)


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "?"


def _note(gateway: Gateway, caller: Caller, action: str) -> None:
    if gateway.keeper is not None:
        gateway.keeper.event(AuditEvent(f"{caller.name} ({caller.key_id})", action, caller.key_id))
