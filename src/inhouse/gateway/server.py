"""Serves the application on sockets with uvicorn, bounds slow clients, and drains before it ends.

uvicorn with uvloop and httptools: see benchmarks/gateway_vs_litellm.py for what was measured.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from inhouse.core.errors import UsageError
from inhouse.gateway.app import Application
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.logs import ForwardToLog
from inhouse.gateway.settings import GatewaySettings

_BACKLOG = 2048
_LAST_S = 1.0  # what is still open when the drain is over gets so long


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; UsageError where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise UsageError(
            f"The gateway cannot listen on {host}:{port}",
            why=error.strerror or str(error),
            do="Choose another --host or --port",
        ) from None
    listening.setblocking(False)
    return listening


def serving_line(listening: socket.socket) -> str:
    """What a person is told of where the APIs are."""
    host, port = listening.getsockname()[:2]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "::1") else host  # noqa: S104 - compared, not bound
    where = f"http://{shown}:{port}"
    return f"Serving on {where}/v1 (OpenAI), {where} (Ollama), {where}/docs; Ctrl-C stops it"


async def run_server(gateway: Gateway, listening: socket.socket, *, started: Callable[[], None]) -> None:
    """Starts the gateway's parts and serves until SIGTERM or SIGINT; then drains and closes them.

    `started` is called when the parts run and requests are about to be answered.
    """
    try:
        await gateway.start()
        for name in ("uvicorn", "uvicorn.error", "asyncio"):
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [ForwardToLog(gateway.log)], False
            logger.setLevel(logging.WARNING)
        server = GatewayServer(gateway)
        gateway.log.info("serving", address="{}:{}".format(*listening.getsockname()[:2]))
        started()
        await server.serve(sockets=[listening])
    finally:
        await gateway.close()
        gateway.log.info("stopped", usage_rows=gateway.ledger.rows)


class GatewayServer(uvicorn.Server):
    """On the first signal it finishes what runs and refuses what comes (503); the second ends it at once."""

    def __init__(self, gateway: Gateway) -> None:
        settings = gateway.settings
        super().__init__(
            uvicorn.Config(
                Application(gateway),
                http=_protocol(settings),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=int(settings.keep_alive_s),
                timeout_graceful_shutdown=int(_LAST_S),
            )
        )
        self._gateway = gateway
        self._draining: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles signals in the event loop, in place of uvicorn's way; none off the main thread, where none come."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Begins to drain; called again, ends at once."""
        if self._draining is None:
            self._gateway.draining = True
            self._gateway.log.info("draining", running=self._gateway.running)
            self._draining = asyncio.create_task(self._drain(), name="drain")
        else:
            self.force_exit = self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams of those who watch, which would never end, and then all else."""
        if self._gateway.traffic is not None:
            self._gateway.traffic.end_watching()
        await super().shutdown(sockets)

    async def _drain(self) -> None:
        end = time.monotonic() + self._gateway.settings.drain_s
        # A count, looked at now and then: the hot path need not set an event.
        while self._gateway.running and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self.should_exit = True


def _protocol(settings: GatewaySettings) -> type[asyncio.Protocol]:
    """Uvicorn's protocol with a bound on how long a client may take to send its headers."""

    class Protocol(HttpToolsProtocol):
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._late = self.loop.call_later(settings.head_timeout_s, self._too_late)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._late is None:
                self._late = self.loop.call_later(settings.head_timeout_s, self._too_late)

        def on_headers_complete(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._late is not None:
                self._late.cancel()
            super().connection_lost(exc)

        def _too_late(self) -> None:
            self.transport.close()

    return Protocol
