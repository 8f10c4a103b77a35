"""A server that gives real Ollama's recorded answers over real HTTP, and a proxy that records them.

Knows nothing of our engine: a request with the very body of a recorded one gets that answer, any other a 599.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

FOLDER = Path(__file__).parents[1] / "fixtures" / "ollama"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, byte for byte; `broken_off`: the server died before the answer's end."""

    method: str
    path: str
    body: Any
    status: int
    content_type: str
    chunks: tuple[str, ...]
    broken_off: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What a request is told by."""
        return self.method, self.path, json.dumps(self.body, sort_keys=True)


def read_exchanges(folder: Path = FOLDER) -> list[Exchange]:
    """All recordings."""
    read = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
    return [Exchange(**{**each, "chunks": tuple(each["chunks"])}) for each in read]


class Replay:
    """The replaying server. `requests` and `connections` hold what came in; `generating` counts answers under way.

    `stall_after` and `cut_after` make it fall silent, or break the connection, after so many chunks.
    """

    def __init__(self, exchanges: list[Exchange]) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.connections: set[object] = set()
        self.generating = 0
        self.broken_off_by_client = 0
        self.stall_after: int | None = None
        self.cut_after: int | None = None
        self.url = ""
        self._answers: dict[tuple[str, str, str], list[Exchange]] = {}
        for exchange in exchanges:
            self._answers.setdefault(exchange.key, []).append(exchange)
        self._loaded = True
        self._lingering = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers one request."""
        self.connections.add(request.protocol)
        content = await request.read()
        body = json.loads(content) if content else None
        self.requests.append((request.path, body))
        found = self._answers.get((request.method, request.path, json.dumps(body, sort_keys=True)))
        if not found:
            return web.json_response({"error": f"no recording for {request.path}: {content.decode()}"}, status=599)
        self._follow(request.path, body)
        exchange = self._of_state(found) if request.path == "/api/ps" else found[0]
        response = web.StreamResponse(status=exchange.status, headers={"Content-Type": exchange.content_type})
        if request.path != "/api/chat":
            await response.prepare(request)
            await self._write(request, response, exchange, pace_s=0)
            return response
        self.generating += 1
        try:
            await response.prepare(request)
            await self._write(request, response, exchange, pace_s=0.002)
        except (asyncio.CancelledError, ConnectionError):
            self.broken_off_by_client += 1
            raise
        finally:
            self.generating -= 1
        return response

    async def _write(
        self, request: web.Request, response: web.StreamResponse, exchange: Exchange, pace_s: float
    ) -> None:
        for number, chunk in enumerate(exchange.chunks):
            if number == self.stall_after:
                await asyncio.sleep(3600)
            if number == self.cut_after:
                break
            await response.write(chunk.encode())
            # The end of a long answer comes slowly, so that it is long enough to be broken off.
            await asyncio.sleep(pace_s if number < 64 else 15 * pace_s)
        if (exchange.broken_off or self.cut_after is not None) and request.transport is not None:
            request.transport.abort()

    def _follow(self, path: str, body: Any) -> None:
        """Ollama goes on listing a model for a moment after it was told to drop it."""
        if path == "/api/generate":
            self._loaded = body.get("keep_alive") != 0
            self._lingering = 0 if self._loaded else 2
        elif path == "/api/ps" and self._lingering:
            self._lingering -= 1

    def _of_state(self, found: list[Exchange]) -> Exchange:
        holds = self._loaded or self._lingering > 0
        return next(each for each in found if bool(json.loads("".join(each.chunks))["models"]) == holds)


@asynccontextmanager
async def replaying(exchanges: list[Exchange] | None = None) -> AsyncIterator[Replay]:
    """Runs the replaying server on a free port."""
    replay = Replay(read_exchanges() if exchanges is None else exchanges)
    async with _serving(replay.answer) as replay.url:
        yield replay


class Recording:
    """The recording proxy: passes everything on to `upstream` and writes each exchange to FOLDER under `label`."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.label = ""
        self.url = ""
        self._kept: set[tuple[str, str, str]] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Passes one request on, and its answer back as it comes."""
        content = await request.read()
        chunks: list[str] = []
        broken_off = False
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.request(request.method, self.upstream + request.path, data=content or None) as answer,
        ):
            response = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.headers.get("Content-Type", "")}
            )
            await response.prepare(request)
            try:
                async for chunk in answer.content.iter_any():
                    chunks.append(chunk.decode())
                    await response.write(chunk)
            except aiohttp.ClientError:
                broken_off = True
            self._keep(
                Exchange(
                    request.method,
                    request.path,
                    json.loads(content) if content else None,
                    answer.status,
                    answer.headers.get("Content-Type", ""),
                    tuple(chunks),
                    broken_off,
                )
            )
        if broken_off and request.transport is not None:
            request.transport.abort()
        return response

    def _keep(self, exchange: Exchange) -> None:
        if exchange.key in self._kept and exchange.path != "/api/ps":
            return
        self._kept.add(exchange.key)
        name = re.sub(r"\W+", "-", f"{exchange.path.removeprefix('/api/')}-{self.label}").strip("-")
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{name}.json").write_text(json.dumps(asdict(exchange), indent=1, ensure_ascii=False) + "\n")


@asynccontextmanager
async def recording(upstream: str) -> AsyncIterator[Recording]:
    """Runs the recording proxy on a free port."""
    proxy = Recording(upstream)
    async with _serving(proxy.answer, cancel=False) as proxy.url:
        yield proxy


@asynccontextmanager
async def _serving(handler: Any, *, cancel: bool = True) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=cancel, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
