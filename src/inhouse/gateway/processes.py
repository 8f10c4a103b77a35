"""Runs the gateway in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvloop

from inhouse.core.settings import Settings
from inhouse.gateway.open import is_loopback_host, open_gateway
from inhouse.gateway.server import listen, run_server
from inhouse.gateway.settings import GatewaySettings


def run_gateway(settings: Settings, gateway_settings: GatewaySettings, tell: Callable[[str], None]) -> None:
    """Serves until a signal ends it. `tell` gets what a person should know."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, gateway_settings, tell))


async def _serve(settings: Settings, gateway_settings: GatewaySettings, tell: Callable[[str], None]) -> None:
    gateway = await open_gateway(settings, gateway_settings)
    listening = listen(gateway_settings.host, gateway_settings.port)
    host, port = listening.getsockname()[:2]
    where = f"http://{'127.0.0.1' if is_loopback_host(host) else host}:{port}"
    tell(f"Serving on {where}/v1 (OpenAI), {where} (Ollama), {where}/docs; Ctrl-C stops it")
    await run_server(gateway, listening)
