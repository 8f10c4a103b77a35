"""One look at a page: who looks, in which language and theme, and whether a form that was sent came from our pages.

Knows cookies and headers; nothing of what a page shows.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from inhouse.core.errors import Forbidden, InvalidRequest, RequestTooLarge
from inhouse.gateway.identity import Caller

SESSION_COOKIE = "inhouse_session"
LANGUAGE_COOKIE = "inhouse_lang"
THEME_COOKIE = "inhouse_theme"
YEAR_S = 365 * 86400
Theme = Literal["auto", "light", "dark"]
THEMES: tuple[Theme, ...] = ("auto", "light", "dark")
_FORM = "application/x-www-form-urlencoded"
_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Visit:
    """Who looks at a page, and how. `session` is secret; it is new where the browser brought none.

    `caller` is None before signing in; `signed_in` is False where the gateway has no keys and nobody needs to.
    """

    session: str
    new: bool
    caller: Caller | None
    signed_in: bool
    lang: str
    theme: Theme
    csrf: str
    path: str
    """Where this page is, to come back to after a change of language."""

    @property
    def admin(self) -> bool:
        """Whether it is an admin who looks."""
        return self.caller is not None and self.caller.role == "admin"


async def form_of(request: Request, limit_bytes: int = 1024 * 1024) -> dict[str, str]:
    """The fields of a sent form; the last one where a name comes twice. Empty where it was no form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return {}
    if int(request.headers.get("content-length") or limit_bytes + 1) > limit_bytes:
        raise RequestTooLarge("The form is too large", why=f"the limit is {limit_bytes:,} bytes")
    body = await request.body()
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError:  # bytes that are no text, or too many fields
        raise InvalidRequest("The form cannot be read") from None


def check_sent(request: Request, form: Mapping[str, str], csrf: str) -> None:
    """Forbidden where a request that changes something was not sent by a page of ours.

    Twice: the browser's own word on where it comes from, and the token that only our pages hold.
    """
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    foreign = urlsplit(origin).netloc != request.headers.get("host") if origin else site not in (None, "same-origin")
    brought = request.headers.get("x-csrf-token") or form.get("csrf", "")
    if foreign or not hmac.compare_digest(brought.encode(), csrf.encode()):
        raise Forbidden("This was not sent from a page of this session", do="Load the page again and repeat it")


def changes_something(request: Request) -> bool:
    """Whether the request may do more than read."""
    return request.method not in _READING


def check_host(request: Request) -> None:
    """Forbidden where a gateway that asks nobody for a key is called by a name that is not this machine's own.

    A page elsewhere can make its own name lead to 127.0.0.1 (DNS rebinding); the browser then sends that name.
    """
    name = (urlsplit(f"//{request.headers.get('host', '')}").hostname or "").lower()
    try:
        loopback = ipaddress.ip_address(name).is_loopback
    except ValueError:
        loopback = name == "localhost"
    if not loopback:
        raise Forbidden(
            "Without keys the pages are for this machine only",
            why=f"they were asked for as {name or 'nothing'}",
            do="Open http://127.0.0.1, or make a key: inhouse keys create NAME --role admin",
        )


def way_back(path: str | None, otherwise: str) -> str:
    """The path if it leads to a page of ours, else the other: a link must not send anyone elsewhere after sign-in."""
    if not path or not path.isprintable() or "\\" in path:
        return otherwise
    parts = urlsplit(path)
    ours = not parts.scheme and not parts.netloc and (parts.path == "/ui" or parts.path.startswith("/ui/"))
    return path if ours and not path.startswith("//") else otherwise


def keep_cookie(
    request: Request, response: Response, name: str, value: str, *, lasts_s: int | None, strict: bool = False
) -> None:
    """Sets a cookie that no script reads and no other site sends; over TLS only where that is how it was asked."""
    https = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").lower())
    response.set_cookie(
        name, value, max_age=lasts_s, path="/ui", secure=https, httponly=True, samesite="strict" if strict else "lax"
    )
