"""Puts the sampling of a gateway's traffic together, and the watch for alerts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inhouse.core.settings import Settings
from inhouse.gateway.failover import Router
from inhouse.gateway.keys import KeyTable
from inhouse.gateway.logs import Log
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.spending import Spending
from inhouse.gateway.traffic.alert_book import AlertBook
from inhouse.gateway.traffic.alerts import Alerts
from inhouse.gateway.traffic.machine import Machine
from inhouse.gateway.traffic.sampler import Sampler
from inhouse.gateway.web.alert_words import sayer
from inhouse.store.database import Database

if TYPE_CHECKING:
    from inhouse.gateway.shared import Shared


def open_traffic(
    settings: Settings,
    gateway_settings: GatewaySettings,
    database: Database,
    router: Router,
    keys: KeyTable,
    spending: Spending,
    shared: Shared | None,
    log: Log,
) -> tuple[Sampler, Alerts]:
    """The sampler of one process and its watch; neither is started."""
    machine = Machine(settings.data_dir if database.path is None else database.path.parent)
    sampler = Sampler(
        database, machine, router.status, log, clock=time.time, engine_pids=router.engine_pids, shared=shared
    )
    told = gateway_settings.alerts
    alerts = Alerts(
        AlertBook(database, telling=bool(told.webhook)),
        told,
        sampler,
        callers=keys.callers,
        spent=lambda: (spending.by_key, spending.by_team),
        say=sayer(told.language, keys.callers),
        log=log,
        clock=time.time,
    )
    return sampler, alerts
