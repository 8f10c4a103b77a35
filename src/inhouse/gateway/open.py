"""Puts a gateway together from the settings: engines, routing, keys, ledger, guard."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings
from inhouse.engines.base import Engine
from inhouse.engines.open import open_engine
from inhouse.gateway.base import Upstream
from inhouse.gateway.direct import Backend, Direct
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.key_store import KeyStore
from inhouse.gateway.keys import KeyTable
from inhouse.gateway.ledger import Ledger
from inhouse.gateway.limits import RateLimits
from inhouse.gateway.logs import open_log
from inhouse.gateway.metrics import Metrics
from inhouse.gateway.prices import load_prices
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.spending import Spending
from inhouse.models.launch import launch_spec
from inhouse.store.database import Database

if TYPE_CHECKING:
    from inhouse.gateway.guard.guard import Guard


async def open_gateway(settings: Settings, gateway_settings: GatewaySettings) -> Gateway:
    """A gateway that is ready to be started. UsageError where the settings do not allow it."""
    prices = {} if gateway_settings.prices is None else load_prices(gateway_settings.prices)
    database = open_database(settings)
    try:
        loopback = is_loopback_host(gateway_settings.host)
        if not loopback and not KeyStore(database).any():
            raise UsageError(
                f"Without keys the gateway listens on this machine only, not on {gateway_settings.host}",
                why="everyone who reaches it could use the models",
                do="Make a key first: inhouse keys create NAME --role admin",
            )
        upstream = await _upstream(settings, gateway_settings)
    except BaseException:
        database.close()
        raise
    return Gateway(
        settings=gateway_settings,
        database=database,
        upstream=upstream,
        keys=KeyTable(KeyStore(database), time.time, open_to_all=loopback),
        spending=Spending(database, time.time),
        ledger=Ledger(database, sync=gateway_settings.ledger_sync),
        prices=prices,
        metrics=Metrics(),
        log=open_log(gateway_settings.log_level),
        limits=RateLimits(),
        guard=_guard(gateway_settings),
    )


def open_database(settings: Settings) -> Database:
    """The store's database; UsageError for one in memory, which no other process could see."""
    database = Database(settings.database_url)
    if database.sqlite and database.path is None:
        database.close()
        raise UsageError(
            "The gateway cannot keep its ledger in memory", do="Name a file or a server in INHOUSE_STORE_URL"
        )
    return database


def is_loopback_host(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    return host in ("localhost", "::1") or host.startswith("127.")


async def _upstream(settings: Settings, gateway_settings: GatewaySettings) -> Upstream:
    kind = settings.engine
    engine = open_engine(kind, settings, lambda name: launch_spec(settings, name))
    try:
        names = [settings.model] if settings.model else await _offered(kind, engine, settings)
        if not names:
            raise UsageError(f"The {kind} engine offers no model", do="Pull one first: inhouse models pull NAME")
    except BaseException:
        await engine.close()
        raise
    return Direct({name: Backend(engine, name) for name in names})


async def _offered(kind: str, engine: Engine, settings: Settings) -> list[str]:
    if kind == "embedded":
        from inhouse.models.choice import default_model

        return [default_model(settings)]
    return [info.name for info in await engine.models()]


def _guard(settings: GatewaySettings) -> Guard | None:
    if settings.guard_policy is None:
        return None
    from inhouse.gateway.guard.guard import Guard
    from inhouse.gateway.guard.policy import load_policy

    return Guard(load_policy(settings.guard_policy))
