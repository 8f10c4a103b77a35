"""Ollama's routes about models: tags, show, ps, version. They are managed with `inhouse models`, not over this API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from pydantic import BaseModel

from inhouse.core.errors import Forbidden, ModelNotServed
from inhouse.engines.base import LoadedModel, ModelInfo
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.model_routes import caller_of, visible_models
from inhouse.gateway.ollama_answers import now

VERSION = "0.12.11"
"""The version of Ollama whose API this is: clients decide by it what they may ask for."""
_NEVER = "2999-12-31T23:59:59Z"  # when a model will be dropped from memory


class Show(BaseModel):
    """POST /api/show."""

    model: str = ""
    name: str = ""


def ollama_routes(gateway: Gateway) -> APIRouter:
    """The routes that do not answer prompts."""
    router = APIRouter(tags=["Ollama"])
    started = now()

    @router.api_route("/", methods=["GET", "HEAD"], response_class=PlainTextResponse, include_in_schema=False)
    async def root(request: Request) -> Response:
        if gateway.settings.web and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/ui", 303)  # a browser, and not a client
        return PlainTextResponse("Ollama is running")  # the words that clients look for

    @router.get("/api/version")
    async def version() -> dict[str, str]:
        """The version of Ollama's API."""
        return {"version": VERSION}

    @router.get("/api/tags")
    async def tags(request: Request) -> dict[str, Any]:
        """The models that the key may use."""
        models = await visible_models(gateway, caller_of(gateway, request))
        return {"models": [{**_entry(info), "modified_at": started} for info in models]}

    @router.get("/api/ps")
    async def running(request: Request) -> dict[str, Any]:
        """Those of them that are in memory."""
        models = {info.name: info for info in await visible_models(gateway, caller_of(gateway, request))}
        loaded = [one for one in await gateway.upstream.loaded() if one.model in models]
        return {"models": [_running(models[one.model], one) for one in loaded]}

    @router.post("/api/show")
    async def show(request: Request, asked: Show) -> dict[str, Any]:
        """What is known of a model."""
        name = asked.model or asked.name
        for info in await visible_models(gateway, caller_of(gateway, request)):
            if info.name in (name, f"{name}:latest") or f"{info.name}:latest" == name:
                return _shown(info, started)
        raise ModelNotServed(f"There is no model {name!r} here")

    async def managed(request: Request) -> None:
        caller_of(gateway, request)
        raise Forbidden("Models are not managed over this API", do="Use `inhouse models` where the gateway runs")

    for path, method in (
        ("pull", "POST"),
        ("push", "POST"),
        ("create", "POST"),
        ("copy", "POST"),
        ("delete", "DELETE"),
    ):
        router.add_api_route(f"/api/{path}", managed, methods=[method], include_in_schema=False)
    return router


def _details(info: ModelInfo) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "",
        "families": None,
        "parameter_size": f"{info.parameters / 1e6:.2f}M" if info.parameters is not None else "",
        "quantization_level": info.quantisation or "",
    }


def _entry(info: ModelInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "model": info.name,
        "size": info.size_bytes or 0,
        "digest": info.digest or "",
        "details": _details(info),
    }


def _running(info: ModelInfo, loaded: LoadedModel) -> dict[str, Any]:
    held = loaded.reported_bytes or loaded.rss_bytes or 0
    return {
        **_entry(info),
        "size": held,
        "size_vram": loaded.gpu_bytes or 0,
        "expires_at": _NEVER,
        "context_length": loaded.context or info.context or 0,
    }


def _shown(info: ModelInfo, started: str) -> dict[str, Any]:
    known: dict[str, Any] = {"general.architecture": "model"}
    if info.parameters is not None:
        known["general.parameter_count"] = info.parameters
    if info.context is not None:
        known["model.context_length"] = info.context
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(info),
        "model_info": known,
        "capabilities": ["completion", "tools"],
        "modified_at": started,
    }
