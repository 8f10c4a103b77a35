"""A gateway on a socket of this machine, before an engine of this process."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from talking_engine import TalkingEngine

from inhouse.gateway.failover import Router
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.key_store import KeyStore
from inhouse.gateway.keys import KeyTable
from inhouse.gateway.ledger import Ledger
from inhouse.gateway.limits import RateLimits
from inhouse.gateway.logs import RequestLog, open_log
from inhouse.gateway.metrics import Metrics
from inhouse.gateway.pool import Offer
from inhouse.gateway.replica import Replica
from inhouse.gateway.server import GatewayServer, listen
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.spending import Spending
from inhouse.gateway.traffic.alert_book import AlertBook
from inhouse.gateway.traffic.alerts import Alerts
from inhouse.gateway.traffic.machine import Machine
from inhouse.gateway.traffic.sampler import Sampler
from inhouse.gateway.web.alert_words import sayer
from inhouse.store.database import Database
from inhouse.store.gateway_tables import usage


@dataclass
class Running:
    """A gateway that serves; `rows` reads its ledger as another process would."""

    url: str
    port: int
    gateway: Gateway
    engine: TalkingEngine
    keys: KeyStore
    server: GatewayServer
    task: asyncio.Task
    log: io.BytesIO
    database: Database

    def rows(self) -> list[dict]:
        with self.database.read() as connection:
            return [dict(row) for row in connection.execute(usage.select().order_by(usage.c.id)).mappings()]

    def logged(self) -> list[dict]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@asynccontextmanager
async def serving(
    url: str, engine: TalkingEngine | None = None, listening: socket.socket | None = None, **parts
) -> AsyncIterator[Running]:
    """Serves until the block ends. `parts` replace parts of the gateway; `settings` is a dict."""
    engine = engine or TalkingEngine()
    database = Database(url)
    log = io.BytesIO()
    clock = parts.pop("clock", time.time)
    settings = GatewaySettings(**{"drain_s": 2, **parts.pop("settings", {})})
    offers = {name: Offer((Replica("talking", engine, name, 64),)) for name in engine.names}
    open_to_all = parts.pop("open_to_all", True)
    log_lines = open_log("info", log)
    upstream = parts.setdefault("upstream", Router(offers))
    gateway = Gateway(
        **{
            "settings": settings,
            "database": database,
            "keys": KeyTable(KeyStore(database), clock, open_to_all=open_to_all),
            "spending": Spending(database, clock),
            "ledger": Ledger(database),
            "prices": {},
            "metrics": Metrics(),
            "log": log_lines,
            "traffic": Sampler(
                database, Machine(Path.cwd()), getattr(upstream, "status", tuple), log_lines, clock=clock
            ),
            "request_log": RequestLog("info", log),
            "limits": RateLimits(),
            "clock": clock,
            **parts,
        }
    )
    if gateway.traffic is not None:
        gateway.alerts = Alerts(
            AlertBook(database, telling=bool(settings.alerts.webhook)),
            settings.alerts,
            gateway.traffic,
            callers=gateway.keys.callers,
            spent=lambda: (gateway.spending.by_key, gateway.spending.by_team),
            say=sayer(settings.alerts.language, gateway.keys.callers),
            log=gateway.log,
            clock=clock,
        )
    await gateway.start()
    listening = listening or listen("127.0.0.1", 0)
    server = GatewayServer(gateway)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    port = listening.getsockname()[1]
    other = Database(url)
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        yield Running(f"http://127.0.0.1:{port}", port, gateway, engine, KeyStore(other), server, task, log, other)
    finally:
        server.should_exit = True
        await task
        await gateway.close()
        other.close()
