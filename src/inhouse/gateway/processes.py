"""Runs the gateway: in this process, or in several that this one looks after."""

from __future__ import annotations

from collections.abc import Callable

from inhouse.core.event_loop import run
from inhouse.core.settings import Settings
from inhouse.gateway.open import StudyPage, open_gateway
from inhouse.gateway.parent import run_workers
from inhouse.gateway.server import listen, run_server, serving_line
from inhouse.gateway.settings import GatewaySettings


def run_gateway(
    settings: Settings,
    gateway_settings: GatewaySettings,
    tell: Callable[[str], None],
    *,
    report: StudyPage | None = None,
) -> None:
    """Serves until a signal ends it. `tell` gets what a person should know, `report` makes studies' reports."""
    if gateway_settings.workers > 1:
        run(run_workers(settings, gateway_settings, tell, report))
        return
    run(_serve(settings, gateway_settings, tell, report))


async def _serve(
    settings: Settings, gateway_settings: GatewaySettings, tell: Callable[[str], None], report: StudyPage | None
) -> None:
    gateway = await open_gateway(settings, gateway_settings, report=report)
    listening = listen(gateway_settings.host, gateway_settings.port)
    await run_server(gateway, listening, started=lambda: tell(serving_line(listening)))
