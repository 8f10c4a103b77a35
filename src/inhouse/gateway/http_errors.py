"""What an error is in HTTP: its status, its short code, its headers. The same for every API of the gateway."""

from __future__ import annotations

import math

from inhouse.core.errors import (
    ContextExceeded,
    ConversationBusy,
    ConversationNotFound,
    Draining,
    EngineError,
    EngineModelMissing,
    EngineOverloaded,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
    GatewayError,
    InhouseError,
    RequestTooLarge,
    RunNotFound,
    StoreError,
    UnsupportedFeature,
    UsageError,
)

CLIENT_LEFT = 499
"""The status by which logs and ledger know a request whose client did not wait for the answer (nginx's)."""

# An engine that refuses the gateway's own key (401 there) is the gateway's trouble: 502 to the caller.
_STATUSES: tuple[tuple[type[InhouseError], int], ...] = (
    (ContextExceeded, 400),
    (UnsupportedFeature, 400),
    (EngineRefused, 400),
    (EngineModelMissing, 404),
    (EngineOverloaded, 503),
    (EngineUnavailable, 503),
    (EngineStalled, 504),
    (EngineError, 502),
    (RunNotFound, 404),
    (StoreError, 503),
    (ConversationNotFound, 404),
    (ConversationBusy, 409),
    (UsageError, 400),
)


def error_status(error: InhouseError) -> int:
    """The HTTP status."""
    if isinstance(error, GatewayError):
        return error.http_status
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def error_code(error: InhouseError) -> str:
    """The short name that programs go by, OpenAI's own where there is one."""
    if isinstance(error, GatewayError):
        return error.code
    if isinstance(error, ContextExceeded):
        return "context_length_exceeded"
    if isinstance(error, EngineModelMissing):
        return "model_not_found"
    if isinstance(error, ConversationNotFound):
        return "conversation_not_found"
    if isinstance(error, ConversationBusy):
        return "conversation_busy"
    return f"engine_{error.kind}" if isinstance(error, EngineError) else "internal_error"


def error_headers(error: InhouseError) -> list[tuple[bytes, bytes]]:
    """Whether and when to try again, as OpenAI's clients honour it, and what else the error brings."""
    headers: list[tuple[bytes, bytes]] = []
    retry_after_s = getattr(error, "retry_after_s", None)
    if isinstance(retry_after_s, int | float):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(retry_after_s))))
    if isinstance(error, GatewayError):
        headers += [(name, value) for name, value in error.headers if name != b"retry-after" or not headers]
        headers.append((b"x-should-retry", b"true" if error.retryable else b"false"))
    if isinstance(error, RequestTooLarge | Draining):
        headers.append((b"connection", b"close"))  # what is left of the body is not wanted; or nobody will be there
    if error_status(error) == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers
