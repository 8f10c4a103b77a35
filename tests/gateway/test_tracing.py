"""Traces as a collector gets them: a real OTLP/HTTP receiver, the protocol's own messages."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inhouse.core.errors import EngineUnavailable, UsageError
from inhouse.engines.base import Engine
from inhouse.engines.ollama import OllamaEngine
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.gateway.failover import Router
from inhouse.gateway.pool import Offer
from inhouse.gateway.replica import Replica
from inhouse.gateway.tracing import Tracing

URL = "/v1/chat/completions"
BODY = {"model": "parrot", "messages": [{"role": "user", "content": "my secret words"}], "temperature": 0.5}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Takes spans over OTLP/HTTP."""

    def __init__(self) -> None:
        self.url = ""
        self.raw = b""
        self.spans: list[Span] = []
        self.resource: dict = {}

    async def take(self, request: web.Request) -> web.Response:
        self.raw += (data := await request.read())
        message = ExportTraceServiceRequest.FromString(data)
        for one in message.resource_spans:
            self.resource = plain(one.resource.attributes)
            self.spans += [span for scope in one.scope_spans for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")


def plain(attributes) -> dict:
    return {one.key: value(one.value) for one in attributes}


def value(one):
    kind = one.WhichOneof("value")
    return [value(item) for item in one.array_value.values] if kind == "array_value" else getattr(one, kind)


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = "http://127.0.0.1:{}".format(*site._server.sockets[0].getsockname()[1:2])
    yield made
    await runner.cleanup()


async def traced(start, collector: Collector, body: dict, headers: dict | None = None, share: float = 1.0, **parts):
    """The spans of one request, by name, and its answer."""
    tracing = Tracing(collector.url, share=share)
    running = await start(tracing=tracing, **parts)
    async with httpx.AsyncClient(base_url=running.url) as http:
        answer = await http.post(URL, json=body, headers=headers)
    await asyncio.sleep(0.05)
    await asyncio.to_thread(tracing.flush)
    return answer, {span.name: span for span in collector.spans}


async def test_a_request_is_a_span_with_the_models_work_under_it(start, collector):
    before = time.time_ns()
    answer, spans = await traced(start, collector, {**BODY, "stream": True, "max_tokens": 50})
    outer, inner = spans[f"POST {URL}"], spans["chat parrot"]
    assert (outer.kind, inner.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert inner.parent_span_id == outer.span_id
    assert inner.trace_id == outer.trace_id
    assert not outer.parent_span_id
    http = plain(outer.attributes)
    assert (http["http.request.method"], http["http.route"], http["http.response.status_code"]) == ("POST", URL, 200)
    assert http["inhouse.request.id"] == answer.headers["x-request-id"]
    model = plain(inner.attributes)
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "parrot",
        "gen_ai.response.model": "parrot",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 50,
        "inhouse.key.id": "local",
    }.items() <= model.items()
    (first,) = inner.events
    assert first.name == "first token"
    assert before <= outer.start_time_unix_nano <= first.time_unix_nano <= outer.end_time_unix_nano <= time.time_ns()
    assert model["gen_ai.response.time_to_first_chunk"] > 0
    assert model["inhouse.queue.wait_s"] >= 0
    assert collector.resource["service.name"] == "inhouse-gateway"
    assert b"secret" not in collector.raw


async def test_the_callers_trace_is_continued_and_its_choice_to_record_is_kept(start, collector):
    _, spans = await traced(start, collector, BODY, {"traceparent": f"00-{TRACE}-{PARENT}-01"}, share=0.0)
    outer = spans[f"POST {URL}"]
    assert (outer.trace_id.hex(), outer.parent_span_id.hex()) == (TRACE, PARENT)
    assert spans["chat parrot"].trace_id.hex() == TRACE


class EngineServer:
    """As much of an OpenAI-compatible server and of Ollama as a request needs; keeps the headers that come with one."""

    def __init__(self) -> None:
        self.url = ""
        self.headers: list[dict[str, str]] = []

    async def openai_chat(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b'data: {"choices": [{"index": 0, "delta": {"content": "well"}, "finish_reason": "stop"}]}')
        await answer.write(b"\n\ndata: [DONE]\n\n")
        return answer

    async def ollama_chat(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        line = {"message": {"role": "assistant", "content": "well"}, "done": True, "done_reason": "stop"}
        counts = {"prompt_eval_count": 3, "eval_count": 1}
        return web.json_response(line | counts, content_type="application/x-ndjson", dumps=ndjson_line)

    async def openai_embeddings(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        return web.json_response({"data": [{"index": 0, "embedding": [0.6, 0.8]}], "usage": {"prompt_tokens": 1}})


@pytest.fixture
async def engine_server() -> AsyncIterator[EngineServer]:
    made = EngineServer()
    app = web.Application()
    known = {
        "/v1/models": {"data": [{"id": "parrot"}]},
        "/api/version": {"version": "0.12.0"},
        "/api/ps": {"models": [{"name": "parrot", "digest": "d"}]},
        "/api/show": {"capabilities": ["completion"]},
        "/api/generate": {"done": True, "done_reason": "load"},
    }
    for path, answer in known.items():
        app.router.add_route("*", path, partial(told, answer))
    app.router.add_post("/v1/chat/completions", made.openai_chat)
    app.router.add_post("/v1/embeddings", made.openai_embeddings)
    app.router.add_post("/api/chat", made.ollama_chat)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = "http://127.0.0.1:{}".format(*site._server.sockets[0].getsockname()[1:2])
    yield made
    await runner.cleanup()


def ndjson_line(answer: dict) -> str:
    return json.dumps(answer) + "\n"


async def told(answer: dict, request: web.Request) -> web.Response:
    return web.json_response(answer)


def before(engine: Engine) -> Router:
    return Router({"parrot": Offer((Replica("far", engine, "parrot", 4),))})


ENGINES = [OpenAICompatibleEngine, OllamaEngine]


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_engines_server_gets_the_trace_under_the_models_span(start, collector, engine_server, engine):
    parts = {"upstream": before(engine(engine_server.url))}
    sent = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=one"}
    _, spans = await traced(start, collector, BODY, sent, share=0.0, **parts)
    (got,) = engine_server.headers
    assert got["traceparent"] == f"00-{TRACE}-{spans['chat parrot'].span_id.hex()}-01"
    assert got["tracestate"] == "vendor=one"


async def test_a_new_trace_is_told_to_the_engines_server_too(start, collector, engine_server):
    parts = {"upstream": before(OpenAICompatibleEngine(engine_server.url))}
    tracing = Tracing(collector.url)
    running = await start(tracing=tracing, **parts)
    async with httpx.AsyncClient(base_url=running.url) as http:
        for sent in ({"traceparent": f"00-{TRACE}-{PARENT}-01"}, {}, {}):
            await http.post(URL, json=BODY, headers=sent)
        await http.post("/v1/embeddings", json={"model": "parrot", "input": "one"})
    await asyncio.sleep(0.05)
    await asyncio.to_thread(tracing.flush)
    ids = [f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" for span in collector.spans if span.kind == 3]
    assert [got["traceparent"] for got in engine_server.headers] == ids
    assert len({span.trace_id for span in collector.spans}) == 4
    assert not any("tracestate" in got for got in engine_server.headers)


async def test_a_trace_that_is_not_recorded_is_told_as_such(start, collector, engine_server):
    await traced(start, collector, BODY, share=0.0, upstream=before(OpenAICompatibleEngine(engine_server.url)))
    assert engine_server.headers[0]["traceparent"].endswith("-00")
    assert collector.spans == []


async def test_without_tracing_the_callers_headers_are_passed_on_as_they_came(start, engine_server):
    running = await start(upstream=before(OpenAICompatibleEngine(engine_server.url)))
    valid = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=one,other=2"}
    async with httpx.AsyncClient(base_url=running.url) as http:
        for sent in (valid, {}, {"traceparent": "00-zz-1-01", "tracestate": "vendor=one"}):
            assert (await http.post(URL, json=BODY, headers=sent)).status_code == 200
    first, *others = engine_server.headers
    assert valid.items() <= first.items()
    assert not any("traceparent" in got or "tracestate" in got for got in others)


@pytest.mark.parametrize("header", [f"00-{TRACE}-{PARENT}-00", "00-zz-1-01", "", "00-" + "0" * 32 + f"-{PARENT}-01"])
async def test_what_is_not_to_be_recorded_is_not(start, collector, header):
    await traced(start, collector, BODY, {"traceparent": header}, share=0.0)
    assert collector.spans == []


async def test_failures_and_refusals_are_told(start, collector):
    tracing = Tracing(collector.url)
    running = await start(tracing=tracing, open_to_all=False)
    _, key = running.keys.create("k")
    running.gateway.keys.refresh()
    running.engine.fails = EngineUnavailable("gone")
    async with httpx.AsyncClient(base_url=running.url) as http:
        await http.post(URL, json=BODY)
        http.headers["authorization"] = f"Bearer {key}"
        await http.post(URL, json=BODY, headers={"x-deadline-seconds": "0.2"})
    await asyncio.sleep(0.05)
    await asyncio.to_thread(tracing.flush)
    refused, inner, failed = collector.spans
    assert plain(refused.attributes)["http.response.status_code"] == 401
    assert plain(refused.attributes)["error.type"] == "invalid_api_key"
    assert refused.status.code == 0  # the caller's fault, as the conventions have it
    assert inner.name == "chat parrot"
    assert (failed.status.code, inner.status.code) == (2, 2)
    assert plain(failed.attributes)["http.response.status_code"] == 503
    assert key.encode() not in collector.raw


async def test_a_collector_that_is_away_costs_no_request_and_no_long_end(start):
    running = await start(tracing=Tracing("http://127.0.0.1:9"))
    async with httpx.AsyncClient(base_url=running.url) as http:
        begin = time.perf_counter()
        assert all([(await http.post(URL, json=BODY)).status_code == 200 for _ in range(20)])
        assert time.perf_counter() - begin < 3
    begin = time.perf_counter()
    await running.gateway.close()
    assert time.perf_counter() - begin < 8


@pytest.mark.parametrize("address", ["localhost:4318", "grpc://x:4317", "", "http://"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(UsageError, match="no address of a collector"):
        Tracing(address)


def test_by_default_nothing_of_opentelemetry_is_loaded():
    script = "import sys, inhouse.gateway.open; print([name for name in sys.modules if 'opentelemetry' in name])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
