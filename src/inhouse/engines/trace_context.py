"""The trace that the work at hand belongs to, as W3C Trace Context's headers: engines pass it on to their servers.

Knows no tracing library; what it holds is set by whoever serves a request, for that request's task and those it starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar

NOTHING: Mapping[str, str] = {}
# https://www.w3.org/TR/trace-context/: version ff and ids of zeros alone are invalid; later versions may say more.
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{1,200})?")
_STATE = re.compile(r"[ -~]{1,512}")
_current: ContextVar[Mapping[str, str]] = ContextVar("trace headers", default=NOTHING)


def outgoing() -> Mapping[str, str]:
    """The headers for a server that is asked now; nothing where there is no trace."""
    return _current.get()


def pass_on(headers: Mapping[str, str]) -> None:
    """From here on, in this task, engines send these headers along."""
    _current.set(headers)


def of_caller(headers: Mapping[bytes, bytes]) -> Mapping[str, str]:
    """The trace headers that came with a request (names in lower case), as far as they are valid."""
    parent = headers.get(b"traceparent", b"").decode("latin-1").strip()
    if not _PARENT.fullmatch(parent):
        return NOTHING
    state = headers.get(b"tracestate", b"").decode("latin-1").strip()
    return {"traceparent": parent} | ({"tracestate": state} if _STATE.fullmatch(state) else {})
