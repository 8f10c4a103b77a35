"""A TCP server that answers each HTTP request with the next of its scripts: bytes, pauses, a cut connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CLOSE = "close"
"""Ends the connection in the usual way."""
RESET = "reset"
"""Tears the connection down, as a killed process does."""

Step = bytes | float | str
"""Bytes to send, seconds to wait, CLOSE or RESET."""


@dataclass
class ScriptedServer:
    """`scripts` are played one a request, the last again and again; `requests` keeps what came (head and body)."""

    scripts: list[list[Step]]
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    connections: int = 0
    closed_by_client: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:")), 0
                )
                body = await reader.readexactly(length)
                script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
                self.requests.append((head, body))
                for step in script:
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    elif isinstance(step, str):
                        if step == RESET:
                            writer.transport.abort()
                        return
                    elif await _gone(reader, step):
                        self.closed_by_client.set()
                        return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed_by_client.set()
        finally:
            writer.close()


async def _gone(reader: asyncio.StreamReader, pause_s: float) -> bool:
    """Waits; true if the client closed its connection meanwhile."""
    try:
        async with asyncio.timeout(pause_s):
            return await reader.read(1) == b""
    except TimeoutError:
        return False


@asynccontextmanager
async def scripted(*scripts: Sequence[Step]) -> AsyncIterator[ScriptedServer]:
    """A server on a free loopback port that plays the scripts."""
    played = ScriptedServer([list(script) for script in scripts])
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    played.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield played
    finally:
        server.close()


def answer(body: bytes, status: str = "200 OK", *headers: str, content_type: str = "application/json") -> bytes:
    """A whole response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One piece of a chunked response."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
