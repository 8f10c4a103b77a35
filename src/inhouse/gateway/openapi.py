"""Adds the hot routes to FastAPI's OpenAPI page: their schemas come from the same types that read their bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from inhouse.gateway.ollama_requests import EmbedBody, GenerateBody, OldEmbedBody, OllamaChatBody
from inhouse.gateway.openai_requests import ChatBody, CompletionBody, EmbeddingsBody
from inhouse.gateway.wire import Api

_BODIES: dict[str, tuple[type[msgspec.Struct], str]] = {
    "/v1/chat/completions": (ChatBody, "Answers a conversation."),
    "/v1/completions": (CompletionBody, "Answers a prompt (the older API)."),
    "/v1/embeddings": (EmbeddingsBody, "Embeds texts."),
    "/api/chat": (OllamaChatBody, "Answers a conversation."),
    "/api/generate": (GenerateBody, "Answers a prompt."),
    "/api/embed": (EmbedBody, "Embeds texts."),
    "/api/embeddings": (OldEmbedBody, "Embeds a text (the older API)."),
}
_STATUSES = {
    400: "The request is not valid, or the guard forbids it",
    401: "The key is not valid",
    403: "The key is not good for this",
    404: "There is no such model",
    413: "The body is too large",
    429: "Over a rate or a budget; Retry-After says when to come back",
    502: "The engine failed",
    503: "The queue is full, the deadline cannot be met, no engine answers, or the gateway shuts down",
    504: "The engine stalled",
}


def describe(api: FastAPI, routes: Mapping[str, Api]) -> None:
    """Makes `api` describe the hot `routes` as well."""

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            schema = get_openapi(title=api.title, version=api.version, routes=api.routes)
            bodies = {path: body for path, body in _BODIES.items() if path in routes}
            references, components = msgspec.json.schema_components(
                [body for body, _ in bodies.values()], ref_template="#/components/schemas/{name}"
            )
            for (path, (_, summary)), reference in zip(bodies.items(), references, strict=True):
                schema["paths"][path] = {"post": _operation(path, summary, reference, routes[path])}
            parts = schema.setdefault("components", {})
            parts.setdefault("schemas", {}).update(components)
            parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"key": []}]
            api.openapi_schema = schema
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]


def _operation(path: str, summary: str, body: dict[str, Any], route: Api) -> dict[str, Any]:
    owner = "OpenAI" if path.startswith("/v1/") else "Ollama"
    streamed = "text/event-stream" if owner == "OpenAI" else "application/x-ndjson"
    content: dict[str, Any] = {"application/json": {}, streamed: {}}
    responses = {
        str(status): {"description": text, "content": {"application/json": {}}} for status, text in _STATUSES.items()
    }
    return {
        "tags": [owner],
        "summary": summary,
        "operationId": route.name.replace(".", "_"),
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": "The answer, as JSON or as a stream", "content": content}, **responses},
    }
