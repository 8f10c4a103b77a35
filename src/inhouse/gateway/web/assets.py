"""The pages' scripts and styles: read once, packed once, named by their content so that a browser keeps them.

Knows files; nothing of pages. What is not ours (htmx, uPlot) lies beside its licence.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from inhouse.core.errors import ModelNotServed

ROOT = "/ui/static"
_KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent; `digest` is of its content."""

    name: str
    kind: str
    digest: str
    body: bytes
    packed: bytes


@lru_cache(maxsize=64)
def asset(name: str) -> Asset:
    """The file of that name.

    Raises:
        ModelNotServed: there is none.
    """
    kind = _KINDS.get("." + name.rpartition(".")[2], "")
    file = resources.files("inhouse.gateway.web") / "static" / name
    if not kind or "/" in name or "\\" in name or not file.is_file():
        raise ModelNotServed(f"There is no file {name!r} here")
    body = file.read_bytes()
    return Asset(name, kind, hashlib.sha256(body).hexdigest()[:12], body, gzip.compress(body, 9, mtime=0))


def address(name: str) -> str:
    """Where a page finds the file; another content has another address."""
    return f"{ROOT}/{asset(name).digest}/{name}"


def send(request: Request, digest: str, name: str) -> Response:
    """The file as an answer; kept for ever by browsers where the address is that of this very content."""
    found = asset(name)
    headers = {
        "Cache-Control": _FOR_EVER if digest == found.digest else "no-cache",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=found.kind)
    return Response(found.body, headers=headers, media_type=found.kind)
