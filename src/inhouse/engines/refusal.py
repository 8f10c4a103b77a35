"""What a server means by an error status or an error object, as the right EngineError.

Knows the error bodies of OpenAI, llama.cpp, vLLM and Ollama; nothing of how they were fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from inhouse.core.errors import (
    ContextExceeded,
    EngineError,
    EngineFailed,
    EngineModelMissing,
    EngineOverloaded,
    EngineRefused,
    EngineUnauthorised,
    EngineUnavailable,
    UnsupportedFeature,
)

_CONTEXT = ("context size", "context length", "context window", "exceed_context", "context_length", "maximum context")
_TOO_LONG = "The prompt does not fit the model's context window"
_SHORTEN = "Shorten it, or start the model with a larger context (INHOUSE_CONTEXT)"
_MODEL = ("model_not_found", "no such model", "unknown model")


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> EngineError:
    """The error that a response of 400 or above stands for."""
    return refused(status, *_message(body), retry_after=headers.get("Retry-After"))


def refused(status: int, message: str, kind: str = "", *, retry_after: str | None = None) -> EngineError:
    """The error for a status with the server's own words; `kind` is its error type or code."""
    said = " ".join(message.split())[:500]
    lower = f"{kind} {said}".lower()
    if status in (401, 403):
        return EngineUnauthorised(
            f"The server refused the key ({status})", why=said, do="Set INHOUSE_API_KEY to a key that it accepts"
        )
    if any(mark in lower for mark in _CONTEXT):
        while said.startswith(f"{_TOO_LONG}: "):  # each gateway of ours before that server says it in these words
            said = said.removeprefix(f"{_TOO_LONG}: ").removesuffix(f". {_SHORTEN}")
        return ContextExceeded(_TOO_LONG, why=said, do=_SHORTEN)
    if status in (429, 503):
        return _overloaded(status, said, retry_after)
    if any(mark in lower for mark in _MODEL) or (status == 404 and "model" in lower) or _names_missing_model(lower):
        return EngineModelMissing("The server does not have that model", why=said, do="Pull it, or choose another")
    if status == 501:
        return UnsupportedFeature("The server does not offer that", why=said)
    if status in (502, 504):
        return EngineUnavailable(f"The server behind the gateway does not answer ({status})", why=said)
    if status >= 500:
        return EngineFailed(f"The server failed ({status})", why=said, do="Look at the server's log")
    if status == 404:
        return EngineRefused(
            "The server has no such route (404)", why=said, do="Check the base URL (it often ends in /v1)"
        )
    return EngineRefused(f"The server refused the request ({status})", why=said)


def refused_in_stream(error: Any) -> EngineError:
    """The error for an error object that came in the middle of a stream, where there is no status any more."""
    status = error.get("code") if isinstance(error, Mapping) else None
    message, kind = _parts(error)
    return refused(status if isinstance(status, int) and status >= 400 else 500, message, kind)


def _overloaded(status: int, said: str, retry_after: str | None) -> EngineOverloaded:
    wait_s = _seconds(retry_after)
    when = f" in {wait_s:g} s" if wait_s is not None else " later"
    error = EngineOverloaded(f"The server is busy or loading ({status})", why=said, do=f"Try again{when}")
    error.retry_after_s = wait_s
    return error


def _names_missing_model(lower: str) -> bool:
    return "model" in lower and ("not found" in lower or "does not exist" in lower)


def _message(body: bytes) -> tuple[str, str]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:500].decode("utf-8", "replace"), ""
    return _parts(parsed.get("error", parsed) if isinstance(parsed, dict) else parsed)


def _parts(error: Any) -> tuple[str, str]:
    """(message, type or code) of an error object in any of the known shapes."""
    if not isinstance(error, Mapping):
        return str(error), ""
    message = error.get("message") or error.get("detail") or error.get("error") or ""
    return str(message), f"{error.get('type') or ''} {error.get('code') or ''}"


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; it is a number or an HTTP date."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
