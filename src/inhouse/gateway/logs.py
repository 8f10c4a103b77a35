"""The gateway's log: one JSON object a line on stderr, with request ids; never a prompt, an answer or a key."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson
import structlog

from inhouse.gateway.ledger import UsageRow

Log = structlog.typing.FilteringBoundLogger


def open_log(level: str = "info", stream: BinaryIO | None = None) -> Log:
    """A logger of at least `level` (debug, info, warning, error) that writes to `stream`, else to stderr."""
    logger: Log = structlog.wrap_logger(
        structlog.BytesLogger(stream or sys.stderr.buffer),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        cache_logger_on_first_use=True,
    )
    return logger.bind()


class RequestLog:
    """Writes the line of each request that was let in: as structlog would, at a third of its cost."""

    def __init__(self, level: str = "info", stream: BinaryIO | None = None) -> None:
        self._lines = structlog.BytesLogger(stream or sys.stderr.buffer) if level in ("debug", "info") else None

    def write(self, row: UsageRow, stream: bool) -> None:
        """Logs a request by its usage row."""
        if self._lines is None:
            return
        self._lines.msg(
            orjson.dumps(
                {
                    "event": "request",
                    "level": "info",
                    "timestamp": datetime.now(UTC),
                    "request_id": row.id,
                    "key_id": row.key_id,
                    "team": row.team,
                    "api": row.api,
                    "model": row.model,
                    "replica": row.replica,
                    "status": row.status,
                    "error": row.error,
                    "stream": stream,
                    "prompt_tokens": row.prompt_tokens,
                    "completion_tokens": row.completion_tokens,
                    "queue_s": row.queue_s,
                    "ttft_s": row.ttft_s,
                    "e2e_s": row.e2e_s,
                    "finish_reason": row.finish_reason,
                    "cache": row.cache,
                    "guard": row.guard,
                },
                option=orjson.OPT_UTC_Z,
            )
        )


class ForwardToLog(logging.Handler):
    """Takes what libraries (the HTTP server) log in their way into ours."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record as one line."""
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[0] is not None:
            fields["exc_info"] = record.exc_info
        self._log.log(record.levelno, record.getMessage(), **fields)


def _to_json(value: Any, **_: Any) -> bytes:
    return orjson.dumps(value, default=str)
