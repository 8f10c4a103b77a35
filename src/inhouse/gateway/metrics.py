"""What Prometheus reads at /metrics: OpenTelemetry's GenAI metrics, what vLLM counts, and the gateway's own.

Made from usage rows; knows no requests.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from inhouse.gateway.ledger import UsageRow

# OpenTelemetry's own buckets for these metrics (semantic conventions for GenAI), in seconds and in tokens.
_DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TOKEN_TIME = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_OPERATIONS = {"openai.embeddings": "embeddings", "openai.completion": "text_completion"}
TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class _Request:
    """The instruments of one kind of request, looked up once."""

    __slots__ = (
        "completion_size",
        "completion_tokens",
        "count",
        "decode",
        "duration",
        "first_token",
        "krw",
        "prefill",
        "prompt_size",
        "prompt_tokens",
        "queue",
        "token_time",
    )

    def __init__(self, metrics: Metrics, api: str, model: str, status: int, team: str) -> None:
        operation = _OPERATIONS.get(api, "chat")
        error = "" if status < 400 else str(status)
        self.count = metrics.requests.labels(api, model, str(status))
        self.duration = metrics.duration.labels(operation, model, error)
        self.first_token = metrics.first_token.labels(operation, model)
        self.token_time = metrics.token_time.labels(operation, model)
        self.prompt_size = metrics.token_usage.labels(operation, model, "input")
        self.completion_size = metrics.token_usage.labels(operation, model, "output")
        self.prompt_tokens = metrics.prompt_tokens.labels(model, team)
        self.completion_tokens = metrics.completion_tokens.labels(model, team)
        self.queue = metrics.queue_time.labels(model)
        self.prefill = metrics.prefill_time.labels(model)
        self.decode = metrics.decode_time.labels(model)
        self.krw = metrics.krw.labels(model, team)


class Metrics:
    """The instruments of one process; with several (PROMETHEUS_MULTIPROC_DIR is set), one answers for all."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a time stamp for each series, which nobody asked for
        self.registry = CollectorRegistry()
        self._collectors: list[Collector] = []
        model = ("gen_ai_request_model",)
        operation = ("gen_ai_operation_name", *model)
        self.duration = self._histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from the request to the end of the answer.",
            (*operation, "error_type"),
            _DURATION,
        )
        self.first_token = self._histogram(
            "gen_ai_server_time_to_first_token_seconds", "Time to the first token.", operation, _FIRST_TOKEN
        )
        self.token_time = self._histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time for each output token after the first.",
            operation,
            _TOKEN_TIME,
        )
        self.token_usage = self._histogram(
            "gen_ai_client_token_usage", "Tokens of a request.", (*operation, "gen_ai_token_type"), _TOKENS
        )
        self.queue_time = self._histogram(
            "inhouse_request_queue_time_seconds", "Time in the queue.", ("model",), _DURATION
        )
        self.prefill_time = self._histogram(
            "inhouse_request_prefill_time_seconds", "Time of the prompt's evaluation.", ("model",), _DURATION
        )
        self.decode_time = self._histogram(
            "inhouse_request_decode_time_seconds", "Time of the answer's generation.", ("model",), _DURATION
        )
        self.requests = self._counter("inhouse_requests", "Requests by status.", ("api", "model", "status"))
        self.finished = self._counter("inhouse_request_success", "Complete answers.", ("model", "finished_reason"))
        self.refused = self._counter("inhouse_refused", "Requests that were refused.", ("code",))
        self.prompt_tokens = self._counter("inhouse_prompt_tokens", "Tokens of prompts.", ("model", "team"))
        self.completion_tokens = self._counter("inhouse_generation_tokens", "Tokens of answers.", ("model", "team"))
        self.cached_tokens = self._counter(
            "inhouse_prompt_cached_tokens", "Tokens of prompts that the engine had in its cache.", ("model",)
        )
        self.krw = self._counter("inhouse_cost_krw", "Cost by the price table.", ("model", "team"))
        self.cache_hits = self._counter("inhouse_cache_hits", "Answers from the gateway's cache.", ("model", "kind"))
        self.guarded = self._counter("inhouse_guard_actions", "What the guard did about requests.", ("action",))
        self.retries = self._counter("inhouse_retries", "Requests sent to another replica.", ("model",))
        self._kinds: dict[tuple[str, str, int, str | None], _Request] = {}

    @cached_property
    def ledger_failing(self) -> Gauge:
        """1 while the ledger cannot be written."""
        return self._gauge("inhouse_ledger_failing", "1 while usage cannot be written to the store.", "max")

    def add(self, collector: Collector) -> None:
        """Gauges that are asked for at each reading: of this process, or of what all share."""
        self._collectors.append(collector)
        self.registry.register(collector)

    def count(self, row: UsageRow) -> None:
        """Counts a request by its usage row."""
        key = (row.api, row.model, row.status, row.team)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Request(self, row.api, row.model, row.status, row.team or "")
        kind.count.inc()
        kind.duration.observe(row.e2e_s)
        if row.prompt_tokens:
            kind.prompt_tokens.inc(row.prompt_tokens)
            kind.prompt_size.observe(row.prompt_tokens)
        if row.completion_tokens:
            kind.completion_tokens.inc(row.completion_tokens)
            kind.completion_size.observe(row.completion_tokens)
        if row.ttft_s is not None:
            kind.first_token.observe(row.ttft_s)
            if row.completion_tokens > 1:
                kind.token_time.observe((row.e2e_s - row.ttft_s) / (row.completion_tokens - 1))
        for instrument, value in (
            (kind.queue, row.queue_s),
            (kind.prefill, row.prefill_s),
            (kind.decode, row.decode_s),
        ):
            if value is not None:
                instrument.observe(value)
        if row.micro_krw:
            kind.krw.inc(row.micro_krw / 1e6)
        self._count_rare(row)

    def _count_rare(self, row: UsageRow) -> None:
        if row.finish_reason is not None and row.status < 400:
            self.finished.labels(row.model, row.finish_reason).inc()
        if row.cached_tokens:
            self.cached_tokens.labels(row.model).inc(row.cached_tokens)
        if row.cache is not None:
            self.cache_hits.labels(row.model, row.cache).inc()
        if row.guard is not None:
            self.guarded.labels(row.guard).inc()
        if row.retries:
            self.retries.labels(row.model).inc(row.retries)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format; of all processes where there are several. Blocks for a moment."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        every = CollectorRegistry()
        MultiProcessCollector(every)  # type: ignore[no-untyped-call]
        for collector in self._collectors:
            every.register(collector)
        return generate_latest(every)

    def _counter(self, name: str, help_: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, help_, labels, registry=self.registry)

    def _gauge(self, name: str, help_: str, mode: Any) -> Gauge:
        return Gauge(name, help_, registry=self.registry, multiprocess_mode=mode)

    def _histogram(self, name: str, help_: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, help_, labels, buckets=buckets, registry=self.registry)
