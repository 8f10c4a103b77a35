"""What every page is made with: the visit behind a request, templates, words, and the headers that keep it safe.

Knows no page by name; the routes make theirs with `Web.page`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from inhouse import __version__
from inhouse.core.errors import Forbidden, InhouseError, Unauthenticated
from inhouse.core.language import moment
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.http_errors import error_headers, error_status
from inhouse.gateway.identity import Caller
from inhouse.gateway.web import assets, words
from inhouse.gateway.web.sessions import Sessions, csrf_token, new_id
from inhouse.gateway.web.visit import (
    LANGUAGE_COOKIE,
    SESSION_COOKIE,
    THEME_COOKIE,
    THEMES,
    Visit,
    changes_something,
    check_host,
    check_sent,
    form_of,
    keep_cookie,
)

SIGN_IN = "/ui/sign-in"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""What a browser is told of every page: to run, load and send nothing but from and to here; to keep nothing."""


@dataclass(frozen=True, slots=True)
class Tabs:
    """The pages beside each other within a part: (word's key, path) of each, and which of them this is."""

    all: tuple[tuple[str, str], ...]
    here: str


class _SafeRoute(APIRoute):
    """A route whose every answer carries HEADERS, unless it sets one of its own."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return safe(await inner(request))

        return handle


def page_router() -> APIRouter:
    """A router for pages and what they ask for; not part of the API's description."""
    return APIRouter(prefix="/ui", route_class=_SafeRoute, include_in_schema=False)


def safe(response: Response) -> Response:
    """The response with HEADERS where it has none of those of its own."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


class Web:
    """The pages of one gateway process. `nav` lists the pages that are there: (word's key, path, for admins only)."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.sessions = Sessions(gateway.database, gateway.clock, timedelta(hours=gateway.settings.session_hours))
        self.nav: list[tuple[str, str, bool]] = []
        self._templates = Environment(
            loader=PackageLoader("inhouse.gateway.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(asset=assets.address, version=__version__)

    # --- who looks --------------------------------------------------------------------------------------

    async def visit(self, request: Request) -> Visit:
        """Who looks, signed in or not.

        Raises:
            Forbidden: the request may change something and was not sent by a page of ours.
        """
        visit = await self._look(request)
        if changes_something(request):
            check_sent(request, await form_of(request, self.gateway.settings.max_body_bytes), visit.csrf)
        return visit

    async def signed_in(self, request: Request) -> tuple[Visit, Caller]:
        """The visit and its caller.

        Raises:
            Unauthenticated: nobody has signed in.
        """
        visit = await self.visit(request)
        if visit.caller is None:
            raise Unauthenticated("Nobody has signed in", do="Sign in at /ui/sign-in")
        return visit, visit.caller

    async def admin(self, request: Request) -> tuple[Visit, Caller]:
        """As `signed_in`; Forbidden for any but an admin."""
        visit, caller = await self.signed_in(request)
        if caller.role != "admin":
            raise Forbidden("Only an admin may see or do this", do="Sign in with an admin's key")
        return visit, caller

    async def begin_session(self, secret_sha256: str, visit: Visit) -> str:
        """A session with a new id, never the one that the browser came with; for who showed the key of that hash."""
        return await asyncio.to_thread(partial(self.sessions.begin, secret_sha256, instead_of=visit.session))

    async def end_session(self, visit: Visit) -> None:
        """Signs the visit out, in every process."""
        await asyncio.to_thread(self.sessions.end, visit.session)

    # --- what they see ----------------------------------------------------------------------------------

    def render(self, visit: Visit, template: str, **values: Any) -> str:
        """A template (a page, or a fragment for htmx) as text. It has t(key, …), `visit` and the filters of words."""
        lang = visit.lang
        return self._templates.get_template(template).render(
            visit=visit,
            nav=[one for one in self.nav if visit.caller is not None and (visit.admin or not one[2])],
            t=partial(words.word, lang),
            count=lambda value: words.count(value, lang),
            seconds=lambda value: words.seconds(value, lang),
            size=lambda value: words.size(value, lang),
            won=lambda value: words.won(value, lang),
            when=lambda at: moment(at.astimezone(UTC), lang) if isinstance(at, datetime) else "–",
            **values,
        )

    def page(self, request: Request, visit: Visit, template: str, *, status: int = 200, **values: Any) -> Response:
        """The page as an answer."""
        response = HTMLResponse(self.render(visit, template, **values), status)
        if visit.new:
            keep_cookie(request, response, SESSION_COOKIE, visit.session, lasts_s=None)
        return safe(response)

    async def error(self, request: Request, error: InhouseError, status: int | None = None) -> Response:
        """What a browser is shown of an error; who has to sign in is led there, and back afterwards.

        Scripts, and a frame within a page, get its words alone.
        """
        status = status or error_status(error)
        headers = request.headers
        in_part = "hx-request" in headers or headers.get("sec-fetch-dest") == "iframe"
        words_alone = in_part or "text/html" not in headers.get("accept", "")
        if isinstance(error, Unauthenticated):
            if words_alone or changes_something(request):
                return safe(PlainTextResponse(str(error), status, {"HX-Redirect": SIGN_IN}))
            back = urlencode({"next": request.url.path})
            return safe(RedirectResponse(f"{SIGN_IN}?{back}", 303))
        if words_alone:
            told = {name.decode(): value.decode() for name, value in error_headers(error)}
            return safe(PlainTextResponse(str(error), status, told))
        try:
            visit = await self._look(request)
        except InhouseError:  # that very error, or a store that does not answer
            visit = self._stranger(request)
        return self.page(request, visit, "error.html", status=status, error=error, status_code=status)

    # --- from the request -------------------------------------------------------------------------------

    async def _look(self, request: Request) -> Visit:
        keys, visit = self.gateway.keys, self._stranger(request)
        if keys.open_now:
            check_host(request)
            return replace(visit, caller=keys.caller(None))
        secret = None if visit.new else await asyncio.to_thread(self.sessions.secret_of, visit.session)
        if secret is None:
            return visit
        try:
            return replace(visit, caller=keys.owner(secret), signed_in=True)
        except Unauthenticated:
            return visit  # the key was revoked, rotated or has expired, and the session with it

    def _stranger(self, request: Request) -> Visit:
        """The visit as far as the request alone tells."""
        cookies = request.cookies
        brought = cookies.get(SESSION_COOKIE, "")
        session = brought or new_id()
        query = f"?{request.url.query}" if request.url.query else ""
        return Visit(
            session=session,
            new=not brought,
            caller=None,
            signed_in=False,
            lang=words.preferred_language(cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", "")),
            theme=next((one for one in THEMES if one == cookies.get(THEME_COOKIE)), "auto"),
            csrf=csrf_token(session),
            path=request.url.path + query,
        )
