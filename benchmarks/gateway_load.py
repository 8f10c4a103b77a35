"""What the gateway's benchmarks share: servers pinned to a core, and a client that costs little itself.

The client speaks just enough HTTP/1.1 over kept-alive sockets; an answer counts when its last byte has come.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

HERE = Path(__file__).parent
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER_CORE, CLIENT_CORE = CORES[-1], CORES[0]


@dataclass(frozen=True)
class Target:
    """A server under test."""

    name: str
    port: int
    key: str
    pid: int
    model: str = "fake"

    def body(self, *, stream: bool, tokens: int, prompt: str = "Say something.") -> bytes:
        """A chat request."""
        return json.dumps(
            {
                "model": self.model,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": tokens,
                "stream": stream,
            }
        ).encode()

    def request(self, body: bytes) -> bytes:
        """The whole of a request's bytes."""
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def rss_bytes(self) -> int:
        """Resident memory of the server's processes."""
        import psutil

        main = psutil.Process(self.pid)
        return sum(process.memory_info().rss for process in [main, *main.children(recursive=True)])


@dataclass
class Load:
    """What a load measured; times in seconds."""

    wall_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    chunks: int = 0
    errors: int = 0

    @property
    def requests_s(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.wall_s

    def percentile_ms(self, share: float, *, first: bool = False) -> float:
        """A percentile of the latencies (or of the times to the first chunk of an answer), in milliseconds."""
        ordered = sorted(self.first_s if first else self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else float("nan")


class _Connection(asyncio.Protocol):
    """Sends the request again and again; the whole load ends with `more` saying no."""

    def __init__(self, request: bytes, load: Load, more: list[int], done: asyncio.Future[None]) -> None:
        self._request, self._load, self._more, self._done = request, load, more, done
        self._buffer = b""
        self._length: int | None = None
        self._first: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        if self._more[0] <= 0:
            self._transport.close()
            return
        self._more[0] -= 1
        self._buffer, self._length, self._first = b"", None, None
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self._buffer += data
        if self._length is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            if not head.startswith(b"http/1.1 200"):
                self._load.errors += 1
            at = head.find(b"content-length:")
            self._length = -1 if at < 0 else end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
            self._scanned = end + 4
        if self._first is None and b'"content":"' in self._buffer:
            self._first = now
        sized = self._length >= 0
        if len(self._buffer) >= self._length if sized else self._buffer.endswith(b"0\r\n\r\n"):
            self._load.latencies_s.append(now - self._began)
            if self._first is not None:
                self._load.first_s.append(self._first - self._began)
            if self._length < 0:
                self._load.chunks += self._buffer.count(b'"content":" ')
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def load(target: Target, body: bytes, *, streams: int, requests: int) -> Load:
    """Sends `requests` requests over `streams` connections, each as soon as its last one was answered."""
    loop = asyncio.get_running_loop()
    result, more = Load(), [requests]
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(streams)]
    request = target.request(body)
    began = time.perf_counter()
    for end in ends:
        await loop.create_connection(
            lambda end=end: _Connection(request, result, more, end),  # type: ignore[misc]
            "127.0.0.1",
            target.port,
        )
    await asyncio.gather(*ends)
    result.wall_s = time.perf_counter() - began
    return result


def run_load(target: Target, body: bytes, *, streams: int, requests: int) -> Load:
    """As `load`, on an event loop of its own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(load(target, body, streams=streams, requests=requests))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load(target, body, streams=streams, requests=requests))


def pin(core: int) -> None:
    """Keeps this process on one core, where the system allows that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


@contextmanager
def process(
    command: Sequence[str | Path], *, core: int, env: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command on one core until the block ends."""
    with log.open("wb") if log else open(os.devnull, "wb") as out:  # noqa: PTH123
        started = subprocess.Popen(
            [*command],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            env={**os.environ, **(env or {})},
            preexec_fn=lambda: pin(core),
            start_new_session=True,
        )
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGTERM)
            try:
                started.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()


@contextmanager
def fake_upstream() -> Iterator[int]:
    """The model server without a model, beside the client; its port."""
    server = subprocess.Popen(
        [sys.executable, HERE / "fake_server.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: pin(CLIENT_CORE),
    )
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(10)


@contextmanager
def inhouse_gateway(
    upstream: int, *, options: Mapping[str, str] | None = None, log: Path | None = None, role: str = "user"
) -> Iterator[Target]:
    """`inhouse serve` as a company runs it: a key with limits and a budget, ledger, prices, metrics, log."""
    with tempfile.TemporaryDirectory() as folder:
        prices = Path(folder) / "prices.toml"
        prices.write_text("krw_per_usd = 1400\n[models.fake]\ninput = 0.15\noutput = 0.6\n")
        port = free_port()
        env = {
            "INHOUSE_DATA_DIR": folder,
            "INHOUSE_ENGINE": "openai",
            "INHOUSE_BASE_URL": f"http://127.0.0.1:{upstream}/v1",
            "INHOUSE_MODEL": "fake",
            "INHOUSE_GATEWAY_PRICES": str(prices),
            **(options or {}),
        }
        inhouse = [Path(sys.executable).parent / "inhouse"]
        made = subprocess.run(
            [*inhouse, "keys", "create", "bench", "--role", role, "--requests-per-minute", "100000000",
             "--tokens-per-minute", "1000000000", "--tokens-per-month", "1000000000000"],
            env={**os.environ, **env}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        command: list[str | Path] = [*inhouse, "serve", "--port", str(port)]
        with process(command, core=SERVER_CORE, env=env, log=log or Path(folder) / "log") as started:
            wait_for(f"http://127.0.0.1:{port}/readyz")
            yield Target("inhouse", port, made.stdout.strip(), started.pid)


def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, *, within_s: float = 120.0) -> None:
    """Returns once the URL answers with a 200."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"{url} did not answer within {within_s:g} s")
