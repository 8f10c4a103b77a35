"""Spans of requests, by OpenTelemetry's conventions for HTTP and GenAI, sent to a collector over OTLP/HTTP.

Made when a request has ended, from its account; sent from a thread. Holds no prompts, answers or keys.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from inhouse import __version__
from inhouse.core.errors import MissingExtra, UsageError
from inhouse.engines.trace_context import of_caller
from inhouse.gateway.account import Account
from inhouse.gateway.ledger import UsageRow
from inhouse.gateway.logs import ForwardToLog, Log
from inhouse.gateway.wire import ChatCall, EmbedCall

try:
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
    from opentelemetry.trace import (
        SpanKind,
        Status,
        StatusCode,
        TraceState,
        format_span_id,
        format_trace_id,
        get_current_span,
        set_span_in_context,
    )
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:  # pragma: no cover - the extra is installed where the tests run
    raise MissingExtra(
        "Sending traces needs the otlp extra", do="Install it: pip install 'inhouse[otlp]', or unset otlp_endpoint"
    ) from error

_OPERATIONS = {"openai.embeddings": "embeddings", "openai.completion": "text_completion"}
_CLOSE_S = 5.0
_SEND_S = 4  # for one batch, with its retries
Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a request stands in its trace, known before its spans are made: its ids, and whether it is recorded.

    `parent` holds the caller's span, where one came with the request; `span_id` will be the request's own,
    `model_span_id` that of the model's work.
    """

    parent: Context
    trace_id: int
    span_id: int
    model_span_id: int
    sampled: bool
    state: TraceState

    def headers(self) -> dict[str, str]:
        """What the engine's server is told, so that its own spans stand under that of the model's work."""
        ids = f"{format_trace_id(self.trace_id)}-{format_span_id(self.model_span_id)}"
        headers = {"traceparent": f"00-{ids}-{int(self.sampled):02x}"}
        if self.state:
            headers["tracestate"] = self.state.to_header()
        return headers


class _GivenIds(RandomIdGenerator):
    """Ids that were told to a server before their spans are made; random ones where none are given."""

    def __init__(self) -> None:
        self.trace_id: int | None = None
        self.span_id: int | None = None

    def generate_trace_id(self) -> int:
        given, self.trace_id = self.trace_id, None
        return super().generate_trace_id() if given is None else given

    def generate_span_id(self) -> int:
        given, self.span_id = self.span_id, None
        return super().generate_span_id() if given is None else given


class Tracing:
    """Sends a span for each request, and under it one for the model's work. `share` of the new traces are kept.

    A request that comes with a W3C `traceparent` continues that trace, and is kept where its sender keeps it.
    """

    def __init__(self, endpoint: str, *, share: float = 1.0, log: Log | None = None) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"{endpoint!r} is no address of a collector", do="E.g. http://127.0.0.1:4318 (OTLP over HTTP)"
            )
        url = endpoint if parts.path.strip("/") else f"{endpoint.rstrip('/')}/v1/traces"
        resource = Resource.create(
            {
                "service.name": "inhouse-gateway",
                "service.version": __version__,
                "service.instance.id": socket.gethostname(),
            }
        )
        self._sampler = ParentBased(TraceIdRatioBased(share))
        self._random, self._ids = RandomIdGenerator(), _GivenIds()
        self._provider = TracerProvider(
            resource=resource, sampler=self._sampler, id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=_SEND_S)))
        self._tracer = self._provider.get_tracer("inhouse.gateway", __version__)
        self._context = TraceContextTextMapPropagator()
        if log is not None:
            logger = logging.getLogger("opentelemetry")
            logger.handlers, logger.propagate = [ForwardToLog(log)], False

    def begin(self, headers: Mapping[bytes, bytes]) -> Trace:
        """A request has just come: where it stands in its trace."""
        parent = self._context.extract(dict(of_caller(headers)), Context())
        caller = get_current_span(parent).get_span_context()
        trace_id = caller.trace_id if caller.is_valid else self._random.generate_trace_id()
        sampled = self._sampler.should_sample(parent, trace_id, "").decision is Decision.RECORD_AND_SAMPLE
        span_id, model_span_id = self._random.generate_span_id(), self._random.generate_span_id()
        return Trace(parent, trace_id, span_id, model_span_id, sampled, caller.trace_state)

    def record(self, account: Account, call: ChatCall | EmbedCall | None, path: str) -> None:
        """A request that `begin` was told of has just ended."""
        trace = account.trace
        assert trace is not None
        e2e_s = account.row.e2e_s if account.row is not None else time.perf_counter() - account.began
        began = int(account.at * 1e9)
        ended = began + int(e2e_s * 1e9)
        # Nothing waits between these lines: no other request can take the ids.
        self._ids.trace_id, self._ids.span_id = trace.trace_id, trace.span_id
        span = self._tracer.start_span(
            f"POST {path}",
            trace.parent,
            SpanKind.SERVER,
            {
                "http.request.method": "POST",
                "http.route": path,
                "url.path": path,
                "http.response.status_code": account.status,
                "inhouse.request.id": account.id,
            },
            start_time=began,
        )
        if account.error is not None:
            span.set_attribute("error.type", account.error)
            if account.status >= 500:
                span.set_status(Status(StatusCode.ERROR, account.error))
        row = account.row
        if span.is_recording() and row is not None and (account.route is not None or account.cache is not None):
            operation = _OPERATIONS.get(account.api, "embeddings" if isinstance(call, EmbedCall) else "chat")
            self._ids.span_id = trace.model_span_id
            model = self._tracer.start_span(
                f"{operation} {account.model}",
                set_span_in_context(span),
                SpanKind.CLIENT,
                _of_model(operation, account, row, call),
                start_time=began,
            )
            if row.ttft_s is not None:
                model.add_event("first token", timestamp=began + int(row.ttft_s * 1e9))
            if account.error is not None:
                model.set_attribute("error.type", account.error)
                model.set_status(Status(StatusCode.ERROR, account.error))
            model.end(ended)
        span.end(ended)

    def flush(self) -> None:
        """Sends what waits. Blocks."""
        self._provider.force_flush()

    async def close(self) -> None:
        """Sends what waits, if the collector takes it soon."""
        # A thread that nobody waits for: a collector that is away must not hold up the end of the program.
        ending = threading.Thread(target=self._provider.shutdown, name="end tracing", daemon=True)
        ending.start()
        until = time.monotonic() + _CLOSE_S
        while ending.is_alive() and time.monotonic() < until:  # noqa: ASYNC110 - a thread sets no asyncio.Event
            await asyncio.sleep(0.02)


def _of_model(operation: str, account: Account, row: UsageRow, call: ChatCall | EmbedCall | None) -> Attributes:
    found: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "inhouse",
        "gen_ai.request.model": account.model,
        "gen_ai.response.model": row.model,
        "gen_ai.response.id": row.id,
        "gen_ai.response.finish_reasons": None if row.finish_reason is None else [row.finish_reason],
        "gen_ai.response.time_to_first_chunk": row.ttft_s,
        "gen_ai.usage.input_tokens": row.prompt_tokens,
        "gen_ai.usage.output_tokens": row.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": row.cached_tokens or None,
        "inhouse.queue.wait_s": row.queue_s,
        "inhouse.prefill_s": row.prefill_s,
        "inhouse.decode_s": row.decode_s,
        "inhouse.replica": row.replica,
        "inhouse.retries": row.retries,
        "inhouse.cache": row.cache,
        "inhouse.guard": row.guard,
        "inhouse.key.id": row.key_id,
        "inhouse.team": row.team,
        "gen_ai.request.stream": account.stream or None,
    }
    if isinstance(call, ChatCall):
        request = call.request
        found |= {
            "gen_ai.request.max_tokens": request.max_tokens,
            "gen_ai.request.temperature": request.temperature,
            "gen_ai.request.top_p": request.top_p,
            "gen_ai.request.top_k": request.top_k,
            "gen_ai.request.seed": request.seed,
        }
    return {name: value for name, value in found.items() if value is not None}
