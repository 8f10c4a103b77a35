"""An OpenAI-compatible server whose behaviour can be switched while it runs: what the gateway must cope with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class SwitchableServer:
    """`mode`: well; refuse (400); busy (503); fail (500); cut (before the first byte); cut_after (in mid-answer);
    hang (says nothing); ill (cuts, and its health check fails too); mute (hangs, and its health check as well).
    `fail_next`: how many of the next requests fail (500).
    """

    name: str
    mode: str = "well"
    tokens: int = 3
    token_s: float = 0.0
    fail_next: int = 0
    requests: list[dict] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    left_early: int = 0
    url: str = ""

    async def models(self, request: web.Request) -> web.StreamResponse:
        if self.mode == "ill":
            request.transport.abort()
        if self.mode == "mute":
            await asyncio.sleep(30)
        return web.json_response({"data": [{"id": "m", "owned_by": "test"}]})

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        if self.mode != "well":
            return web.json_response({"error": {"message": self.mode}}, status=500)
        rows = [{"index": i, "embedding": [1.0, float(i)]} for i in range(len(body["input"]))]
        return web.json_response({"data": rows, "usage": {"prompt_tokens": 2}})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._chat(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left_early += 1
            raise
        finally:
            self.under_way -= 1

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        statuses = {"refuse": 400, "busy": 503, "fail": 500}
        if self.fail_next:
            self.fail_next -= 1
            return web.json_response({"error": {"message": "once"}}, status=500)
        if self.mode in statuses:
            return web.json_response({"error": {"message": self.mode}}, status=statuses[self.mode])
        if self.mode in ("cut", "ill"):
            request.transport.abort()
            return web.Response()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if self.mode in ("hang", "mute"):
            await asyncio.sleep(30)
        for index in range(self.tokens):
            await asyncio.sleep(self.token_s)
            await response.write(_event({"choices": [{"index": 0, "delta": {"content": f"{self.name}{index} "}}]}))
            if self.mode == "cut_after":
                request.transport.abort()
                return response
        await response.write(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        usage = {"prompt_tokens": 5, "completion_tokens": self.tokens}
        await response.write(_event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")
        return response


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


@asynccontextmanager
async def switchable(name: str = "a", **options: object) -> AsyncIterator[SwitchableServer]:
    """Such a server on a free loopback port."""
    server = SwitchableServer(name, **options)  # type: ignore[arg-type]
    app = web.Application()
    app.add_routes(
        [
            web.get("/v1/models", server.models),
            web.post("/v1/chat/completions", server.chat),
            web.post("/v1/embeddings", server.embeddings),
        ]
    )
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
