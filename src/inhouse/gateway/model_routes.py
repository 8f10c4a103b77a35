"""Routes that tell which models there are, in OpenAI's form; and whose key comes with a request."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from inhouse.core.errors import Forbidden, ModelNotServed
from inhouse.engines.base import ModelInfo
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.identity import Caller


def caller_of(gateway: Gateway, request: Request) -> Caller:
    """Whose key came with the request; Unauthenticated where it is nobody's."""
    header = request.headers.get("authorization", "")
    scheme, _, value = header.partition(" ")
    key = value.strip() if scheme.lower() == "bearer" and value.strip() else None
    return gateway.keys.caller(key or request.headers.get("x-api-key") or request.headers.get("api-key"))


def admin_of(gateway: Gateway, request: Request) -> Caller:
    """As `caller_of`; Forbidden where it is no admin's."""
    caller = caller_of(gateway, request)
    if caller.role != "admin":
        raise Forbidden("Only an admin may see or do this", do="Use an admin's key")
    return caller


async def visible_models(gateway: Gateway, caller: Caller) -> list[ModelInfo]:
    """The models that the caller may use."""
    return [info for info in await gateway.upstream.models() if caller.may_use(info.name)]


def openai_routes(gateway: Gateway) -> APIRouter:
    """GET /v1/models and /v1/models/{id}."""
    router = APIRouter(tags=["OpenAI"])

    @router.get("/v1/models")
    async def list_models(request: Request) -> dict[str, Any]:
        """The models that the key may use."""
        caller = caller_of(gateway, request)
        return {"object": "list", "data": [_model(info) for info in await visible_models(gateway, caller)]}

    @router.get("/v1/models/{model:path}")
    async def get_model(model: str, request: Request) -> dict[str, Any]:
        """One model."""
        caller = caller_of(gateway, request)
        for info in await visible_models(gateway, caller):
            if info.name == model:
                return _model(info)
        raise ModelNotServed(f"There is no model {model!r} here", do="GET /v1/models lists those there are")

    return router


def _model(info: ModelInfo) -> dict[str, Any]:
    model: dict[str, Any] = {"id": info.name, "object": "model", "created": 0, "owned_by": "inhouse"}
    if info.context is not None:
        model["max_model_len"] = info.context  # vLLM's name for it
    return model
