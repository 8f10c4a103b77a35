"""Puts a gateway together from the settings: engines, routing, keys, ledger, guard."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.gateway.audit import open_audit_log
from inhouse.gateway.base import Cache, Limits, Upstream
from inhouse.gateway.bodies import BodyStore
from inhouse.gateway.documents import Collections, DocumentsUpstream, open_collections
from inhouse.gateway.failover import Router
from inhouse.gateway.fair_queue import FairQueue
from inhouse.gateway.flow_board import FlowBoard
from inhouse.gateway.flow_metrics import FlowCollector
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.keeper import Keeper
from inhouse.gateway.key_files import load_key
from inhouse.gateway.key_store import KeyStore
from inhouse.gateway.keys import KeyTable
from inhouse.gateway.ledger import Ledger
from inhouse.gateway.lent_engine import LentEngine
from inhouse.gateway.limits import RateLimits
from inhouse.gateway.logs import Log, RequestLog, open_log
from inhouse.gateway.metrics import Metrics
from inhouse.gateway.offers import Lender, ServedAgent, open_offers, served_agents
from inhouse.gateway.pool import Offer
from inhouse.gateway.prices import load_prices
from inhouse.gateway.queue import Queue
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.spending import Spending
from inhouse.store.database import Database

if TYPE_CHECKING:
    from inhouse.gateway.guard.guard import Guard
    from inhouse.gateway.shared import Shared
    from inhouse.gateway.tracing import Tracing


StudyPage = Callable[[str, str, str, str], str]
"""Makes a study's report from the store's URL, the study's id, a language and a theme; can be pickled."""


@dataclass(frozen=True, slots=True)
class Loan:
    """What a worker process has from its parent: the embedded models, and a name that only its siblings share."""

    parent: str
    engine: Lender


async def open_gateway(
    settings: Settings,
    gateway_settings: GatewaySettings,
    loan: Loan | None = None,
    *,
    report: StudyPage | None = None,
) -> Gateway:
    """A gateway that is ready to be started; in one of several worker processes with what it has on `loan`.

    Raises:
        UsageError: the settings do not allow it.
    """
    prices = {} if gateway_settings.prices is None else load_prices(gateway_settings.prices)
    database = open_database(settings)
    try:
        loopback = is_loopback_host(gateway_settings.host)
        check_keys(database, gateway_settings)
        shared = _shared(gateway_settings)
        offers = await open_offers(settings, gateway_settings, None if loan is None else loan.engine)
    except BaseException:
        database.close()
        raise
    router = Router(offers, make_queue=partial(_queue, shared, "" if loan is None else loan.parent))
    try:
        agents = served_agents(settings, gateway_settings, list(offers))
        documents = open_collections(settings, gateway_settings.documents, list(offers))
    except BaseException:
        await router.close()
        database.close()
        raise
    flow = FlowBoard(router.status, router.refresh, shared, "" if loan is None else loan.parent)
    metrics = Metrics()
    metrics.add(FlowCollector(flow.siblings))
    log = open_log(gateway_settings.log_level)
    keys = KeyTable(KeyStore(database), time.time, open_to_all=loopback)
    spending = Spending(database, time.time)
    traffic, alerts = None, None
    if gateway_settings.web or gateway_settings.alerts.webhook:
        from inhouse.gateway.traffic.open import open_traffic

        traffic, alerts = open_traffic(settings, gateway_settings, database, router, keys, spending, shared, log)
    return Gateway(
        settings=gateway_settings,
        database=database,
        upstream=_upstream(router, documents, agents, database),
        keys=keys,
        spending=spending,
        ledger=Ledger(database, sync=gateway_settings.ledger_sync),
        prices=prices,
        metrics=metrics,
        log=log,
        request_log=RequestLog(gateway_settings.log_level),
        limits=_limits(shared),
        cache=_cache(gateway_settings, shared),
        guard=_guard(gateway_settings),
        shared=shared,
        keeper=_keeper(settings, gateway_settings, database, log),
        tracing=_tracing(gateway_settings, log),
        documents=documents,
        agents=agents,
        report=None if report is None else partial(report, settings.database_url),
        flow=flow,
        traffic=traffic,
        alerts=alerts,
    )


def _upstream(
    router: Router, documents: Collections | None, agents: Mapping[str, ServedAgent], database: Database
) -> Upstream:
    """The models, and before them what answers with their help."""
    others = router if documents is None else DocumentsUpstream(router, documents)
    if not agents:
        return others
    from inhouse.agent.conversations import Conversations
    from inhouse.gateway.agents import AgentsUpstream

    return AgentsUpstream(others, router, agents, Conversations(database))


def check_keys(database: Database, gateway_settings: GatewaySettings) -> None:
    """UsageError where others than this machine could reach a gateway that asks nobody for a key."""
    if not is_loopback_host(gateway_settings.host) and not KeyStore(database).any():
        raise UsageError(
            f"Without keys the gateway listens on this machine only, not on {gateway_settings.host}",
            why="everyone who reaches it could use the models",
            do="Make a key first: inhouse keys create NAME --role admin",
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


def _keeper(settings: Settings, gateway_settings: GatewaySettings, database: Database, log: Log) -> Keeper:
    audit = open_audit_log(database, settings.data_dir, os.environ)
    assert audit is not None
    days = gateway_settings.keep_bodies_days
    bodies = None
    if days is not None:
        key = load_key(settings.data_dir, "bodies", os.environ)
        assert key is not None
        bodies = BodyStore(database, key, timedelta(days=days))
    return Keeper(audit, bodies, log, forget=_forget(gateway_settings, database))


def _forget(gateway_settings: GatewaySettings, database: Database) -> Callable[[], int] | None:
    days = gateway_settings.keep_conversations_days
    if days is None:
        return None
    from inhouse.gateway.retention import forget_conversations

    return partial(forget_conversations, database, timedelta(days=days))


def _shared(settings: GatewaySettings) -> Shared | None:
    url = settings.redis_url.get_secret_value()
    if not url:
        return None
    from inhouse.gateway.shared import Shared

    return Shared(url)


def _queue(shared: Shared | None, parent: str, model: str, offer: Offer) -> Queue:
    # The embedded engine is this process's own: its slots are nobody else's.
    if shared is None or any(isinstance(replica.engine, EmbeddedEngine) for replica in offer.replicas):
        return FairQueue(0, offer.max_waiting)
    from inhouse.gateway.shared_queue import SharedQueue

    # One that is lent belongs to the workers of one parent, and not to other machines on the same Redis.
    lent = any(isinstance(replica.engine, LentEngine) for replica in offer.replicas)
    return SharedQueue(shared, f"{parent}/{model}" if lent else model, offer.max_waiting)


def _limits(shared: Shared | None) -> Limits:
    if shared is None:
        return RateLimits()
    from inhouse.gateway.shared_limits import SharedRateLimits

    return SharedRateLimits(shared, RateLimits())


def _cache(settings: GatewaySettings, shared: Shared | None) -> Cache | None:
    if settings.cache == "off":
        return None
    from inhouse.gateway.cache import AnswerCache
    from inhouse.gateway.cache_store import MemoryStore, RedisStore

    ttl_s = settings.cache_ttl_s
    store = (
        MemoryStore(ttl_s=ttl_s, max_bytes=settings.cache_bytes) if shared is None else RedisStore(shared, ttl_s=ttl_s)
    )
    exact = AnswerCache(store, scope=settings.cache)
    if not settings.cache_semantic:
        return exact
    from inhouse.gateway.semantic_cache import SemanticCache, e5_embedder

    return SemanticCache(exact, e5_embedder())


def _guard(settings: GatewaySettings) -> Guard | None:
    if settings.guard_policy is None:
        return None
    from inhouse.gateway.guard.guard import Guard
    from inhouse.gateway.guard.policy import load_policy

    return Guard(load_policy(settings.guard_policy))


def _tracing(settings: GatewaySettings, log: Log) -> Tracing | None:
    if not settings.otlp_endpoint:
        return None
    from inhouse.gateway.tracing import Tracing

    return Tracing(settings.otlp_endpoint, share=settings.otlp_share, log=log)
