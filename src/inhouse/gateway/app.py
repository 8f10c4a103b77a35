"""The gateway as one ASGI application: hot routes straight to the pipeline, all others to FastAPI."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from inhouse import __version__
from inhouse.core.errors import InhouseError, InvalidRequest
from inhouse.gateway import ollama_answers, ollama_api, openai_api
from inhouse.gateway.admin import admin_routes
from inhouse.gateway.docs_page import HEADERS, docs_page
from inhouse.gateway.exchange import Exchange, Receive, Scope, Send, new_request_id
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.handler import serve
from inhouse.gateway.http_errors import error_headers, error_status
from inhouse.gateway.model_routes import openai_routes
from inhouse.gateway.ollama_routes import ollama_routes
from inhouse.gateway.openapi import describe
from inhouse.gateway.wire import Api

if TYPE_CHECKING:
    from inhouse.gateway.web.web import Web

HOT_ROUTES: dict[str, Api] = {
    "/v1/chat/completions": openai_api.CHAT,
    "/v1/completions": openai_api.COMPLETION,
    "/v1/embeddings": openai_api.EMBEDDINGS,
    "/api/chat": ollama_api.CHAT,
    "/api/generate": ollama_api.GENERATE,
    "/api/embed": ollama_api.EMBED,
    "/api/embeddings": ollama_api.OLD_EMBED,
}


class Application:
    """The ASGI application of one process."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.api = create_api(gateway)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection's request, or the server's start and stop."""
        if scope["type"] == "http":
            api = HOT_ROUTES.get(scope["path"])
            if api is not None and scope["method"] == "POST":
                await serve(self.gateway, Exchange(scope, receive, send, new_request_id()), api)
                return
        await self.api(scope, receive, send)


def create_api(gateway: Gateway) -> FastAPI:
    """The routes that are not hot: models, health, metrics, administration, documentation."""
    api = FastAPI(title="inhouse gateway", version=__version__, docs_url=None, redoc_url=None)
    api.include_router(openai_routes(gateway))
    api.include_router(ollama_routes(gateway))
    api.include_router(admin_routes(gateway))
    if gateway.documents is not None:
        from inhouse.gateway.document_routes import document_routes

        api.include_router(document_routes(gateway, gateway.documents))

    web: Web | None = None
    if gateway.settings.web:
        from inhouse.gateway.web.routes import web_routes

        web, pages = web_routes(gateway)
        api.include_router(pages)

    @api.exception_handler(InhouseError)
    async def _known(request: Request, error: InhouseError) -> Response:
        if web is not None and request.url.path.startswith("/ui"):
            return await web.error(request, error)
        body = _error_form(request)(error)
        return Response(body, error_status(error), dict(_text(error_headers(error))), "application/json")

    @api.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        known = InvalidRequest(f"{request.method} {request.url.path}: {error.detail}")
        if web is not None and request.url.path.startswith("/ui"):
            return await web.error(request, known, error.status_code)
        return Response(_error_form(request)(known), error.status_code, error.headers, "application/json")

    @api.get("/livez", tags=["health"], response_class=PlainTextResponse)
    async def livez() -> str:
        """Whether the process answers."""
        return "ok"

    @api.get(
        "/readyz", tags=["health"], response_class=PlainTextResponse, responses={503: {"description": "Not ready"}}
    )
    async def readyz() -> Response:
        """Whether requests can be served: not while it shuts down, while no model answers or the ledger fails."""
        reason = await not_ready(gateway)
        return PlainTextResponse(reason or "ok", 503 if reason else 200)

    @api.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs(request: Request) -> Response:
        return HTMLResponse(docs_page(api.openapi(), str(request.base_url).rstrip("/")), headers=HEADERS)

    describe(api, HOT_ROUTES)
    return api


async def not_ready(gateway: Gateway) -> str:
    """Why requests cannot be served now; empty where they can."""
    if gateway.draining:
        return "shutting down"
    if gateway.ledger.failure:
        return f"the ledger cannot be written: {gateway.ledger.failure}"
    health = await gateway.upstream.health()
    return "" if health.ok else health.detail or "no engine answers"


def _error_form(request: Request) -> Callable[[InhouseError], bytes]:
    return ollama_answers.error_bytes if request.url.path.startswith("/api/") else openai_api.error_bytes


def _text(headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
