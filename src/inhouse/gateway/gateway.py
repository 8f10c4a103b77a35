"""The gateway's parts, put together and started: what every request finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inhouse.gateway.base import Cache, Limits, Upstream
from inhouse.gateway.keys import KeyTable
from inhouse.gateway.ledger import Ledger
from inhouse.gateway.logs import Log, RequestLog
from inhouse.gateway.metrics import Metrics
from inhouse.gateway.prices import Price
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.spending import Spending
from inhouse.store.database import Database

if TYPE_CHECKING:
    from inhouse.gateway.documents import Collections
    from inhouse.gateway.flow_board import FlowBoard
    from inhouse.gateway.guard.guard import Guard
    from inhouse.gateway.keeper import Keeper
    from inhouse.gateway.offers import ServedAgent
    from inhouse.gateway.shared import Shared
    from inhouse.gateway.tracing import Tracing
    from inhouse.gateway.traffic.alerts import Alerts
    from inhouse.gateway.traffic.sampler import Sampler


ReportPage = Callable[[str, str, str], str]
"""Makes a study's report from its id, in a language and a theme (light, dark or the system's: empty): a page of HTML.
It is pickled and called in another process."""


@dataclass(slots=True)
class Gateway:
    """One process's gateway. The optional parts are None where they are turned off."""

    settings: GatewaySettings
    database: Database
    upstream: Upstream
    keys: KeyTable
    spending: Spending
    ledger: Ledger
    prices: Mapping[str, Price]
    metrics: Metrics
    log: Log
    request_log: RequestLog
    limits: Limits | None = None
    cache: Cache | None = None
    guard: Guard | None = None
    shared: Shared | None = None
    keeper: Keeper | None = None
    """Writes the audit log, and kept bodies where they are turned on."""
    tracing: Tracing | None = None
    documents: Collections | None = None
    """The collections of documents on offer, where there are any."""
    agents: Mapping[str, ServedAgent] = field(default_factory=dict)
    """The agents on offer, by the names that callers ask them by; they are models of the upstream as well."""
    flow: FlowBoard | None = None
    """How the models' queues and replicas stand, over all processes."""
    traffic: Sampler | None = None
    """Counts requests as they end, and keeps their history; where pages or alerts want it."""
    report: ReportPage | None = None
    """How the pages have a report made; None where none can be."""
    alerts: Alerts | None = None
    """Looks whether anything is wrong, where traffic is sampled."""
    clock: Callable[[], float] = time.time
    draining: bool = False
    running: int = 0
    """Requests that are being answered."""

    async def start(self) -> None:
        """Begins what runs in the background. In the event loop that serves."""
        if self.shared is not None:
            await self.shared.start()
        self.ledger.start()
        if self.keeper is not None:
            await self.keeper.start()
        await self.keys.start()
        await self.spending.start()
        await self.upstream.start()
        if self.traffic is not None:
            await self.traffic.start()
        if self.alerts is not None:
            await self.alerts.start()

    async def close(self) -> None:
        """Ends everything; usage that was taken is written first."""
        self.draining = True
        await self.upstream.close()
        if self.alerts is not None:
            await self.alerts.close()
        if self.traffic is not None:
            await self.traffic.close()
        await self.spending.close()
        await self.keys.close()
        await self.ledger.close()
        if self.keeper is not None:
            await self.keeper.close()
        if self.shared is not None:
            await self.shared.close()
        if self.tracing is not None:
            await self.tracing.close()
        self.database.close()
