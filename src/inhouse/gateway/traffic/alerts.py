"""Looks every few seconds whether anything is wrong: budgets, errors, latency, the disk, models; tells the webhook.

Rules are plain functions from what was counted to readings. Knows no page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Literal, Protocol

import orjson

from inhouse.agent.tools.fetch import Address, Fetcher, is_public
from inhouse.core.errors import InhouseError, StoreError, ToolError
from inhouse.gateway.failover import PoolStatus
from inhouse.gateway.identity import Budget, Caller
from inhouse.gateway.logs import Log
from inhouse.gateway.replica import Condition
from inhouse.gateway.settings import AlertSettings
from inhouse.gateway.spending import Spent
from inhouse.gateway.traffic.alert_book import Alert, AlertBook, Reading
from inhouse.gateway.traffic.history import RANGES, History
from inhouse.gateway.traffic.meter import ALL
from inhouse.gateway.traffic.sums import Sums, percentiles

Rule = Literal["budget", "errors", "latency", "disk", "model"]
_OF_ALL: tuple[Rule, ...] = ("budget", "errors", "latency", "model")
"""Rules that every process reads alike: what one of them reads no more is over for all."""

LOOK_EVERY_S = 10.0
_FORGET_EVERY = 360
_METADATA = frozenset({ip_address("169.254.169.254"), ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})


class Watched(Protocol):
    """What the rules read; all of it at hand."""

    history: History

    def pools(self) -> tuple[PoolStatus, ...]:
        """The models' queues and replicas."""
        ...

    @property
    def machine(self) -> tuple[str, Mapping[str, float]]:
        """This machine's name, and what was read of it last."""
        ...


class Alerts:
    """The watch of one process; several share the book.

    Args:
        callers: whose budgets count. `spent` gives what keys and teams have used.
        say: an alert in words, for the webhook.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        book: AlertBook,
        settings: AlertSettings,
        watched: Watched,
        *,
        callers: Callable[[], list[Caller]],
        spent: Callable[[], tuple[Mapping[str, Spent], Mapping[str, Spent]]],
        say: Callable[[Alert], str],
        log: Log,
        clock: Callable[[], float],
    ) -> None:
        self.book = book
        self.lasting: tuple[Alert, ...] = ()
        """Those that lasted at the last look, the oldest first."""
        self._settings, self._watched, self._callers, self._spent = settings, watched, callers, spent
        self._say, self._log, self._clock = say, log, clock
        self._fetcher = Fetcher(allowed=may_be_told(settings), ports=None)
        self._down_since: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.create_task(self._run(), name="watch for alerts")

    async def close(self) -> None:
        """Ends."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Looks once, and tells what there is to tell."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        readings = await asyncio.to_thread(self._read)
        await asyncio.to_thread(self.book.settle, readings, _OF_ALL, now)
        self.lasting = tuple(await asyncio.to_thread(self.book.open))
        url = self._settings.webhook.get_secret_value()
        if url:
            taken = await asyncio.to_thread(self.book.take_due, now)
            await asyncio.gather(*(self._tell(url, alert, now) for alert in taken))

    async def _run(self) -> None:
        looks = 0
        while True:
            try:
                await self.look()
                looks += 1
                if looks % _FORGET_EVERY == 0:
                    await asyncio.to_thread(self.book.forget, datetime.fromtimestamp(self._clock(), UTC))
            except StoreError as error:
                self._log.debug("alerts_failed", error=str(error))  # the ledger says so louder
            except InhouseError as error:
                self._log.warning("alerts_failed", error=str(error))
            except Exception as error:  # noqa: BLE001 - a defect here must not end the watch
                self._log.error("defect", part="alerts", exc_info=error)
            await asyncio.sleep(LOOK_EVERY_S)

    def _read(self) -> list[Reading]:
        """What all rules read. Blocks."""
        settings, now, history = self._settings, self._clock(), self._watched.history
        pools = self._watched.pools()
        models = {pool.model: history.since(f"model:{pool.model}", settings.window_s, now) for pool in pools}
        return [
            *read_budgets(settings, self._callers(), *self._spent()),
            *read_errors(settings, history.since(ALL, settings.window_s, now)),
            *read_latency(settings, models),
            *read_disk(settings, *self._watched.machine),
            *self._read_machines_gone(now),
            *self._read_models(pools, now),
        ]

    def _read_machines_gone(self, now: float) -> Iterator[Reading]:
        """A machine that has written nothing for an hour is gone, and its disk with it."""
        own = f"host:{self._watched.machine[0]}"
        full = [alert.subject for alert in self.book.open() if alert.rule == "disk" and alert.subject != own]
        there = self._watched.history.subjects("host", RANGES[0], now) if full else []
        for subject in full:
            if subject.removeprefix("host:") not in there:
                yield Reading("disk", subject, 0.0, self._settings.disk_share)

    def _read_models(self, pools: tuple[PoolStatus, ...], now: float) -> Iterator[Reading]:
        """For how long each model has been down: one that is loading, or begins when it is asked, is not."""
        for pool in pools:
            down = all(replica.condition is Condition.DOWN for replica in pool.replicas)
            since = self._down_since.setdefault(pool.model, now) if down else self._down_since.pop(pool.model, now)
            yield Reading("model", f"model:{pool.model}", now - since if down else 0.0, self._settings.model_down_s)

    async def _tell(self, url: str, alert: Alert, taken_at: datetime) -> None:
        try:
            await self._fetcher.post_json(url, orjson.dumps(message(alert, self._say(alert))))
        except ToolError as error:
            now = datetime.fromtimestamp(self._clock(), UTC)
            await asyncio.to_thread(self.book.not_told, alert, taken_at, str(error)[:300], now)
            self._log.warning("webhook_failed", alert=alert.id, rule=alert.rule, error=str(error)[:300])
        else:
            await asyncio.to_thread(self.book.told, alert, taken_at)


def may_be_told(settings: AlertSettings) -> Callable[[Address], bool]:
    """Which addresses the webhook may lie at: the public internet's, and those of the networks that are allowed.

    Never where clouds keep a machine's credentials.
    """

    def allowed(address: Address) -> bool:
        if address in _METADATA or getattr(address, "ipv4_mapped", None) in _METADATA:
            return False
        return is_public(address) or any(address in network for network in settings.webhook_networks)

    return allowed


def message(alert: Alert, text: str) -> dict[str, object]:
    """What the webhook gets: `text` for people (where Slack and Mattermost look for it), the rest for programs."""
    return {
        "text": text,
        "id": alert.id,
        "state": "open" if alert.until is None else "over",
        "rule": alert.rule,
        "subject": alert.subject,
        "value": alert.value,
        "threshold": alert.threshold,
        "since": alert.since.isoformat(),
        "until": None if alert.until is None else alert.until.isoformat(),
    }


def read_budgets(
    settings: AlertSettings, callers: list[Caller], by_key: Mapping[str, Spent], by_team: Mapping[str, Spent]
) -> Iterator[Reading]:
    """The largest share of any budget that each key and team has used up."""
    keys, teams = budgets_of(callers)
    for kind, budgets, spent in (("key", keys, by_key), ("team", teams, by_team)):
        for name, budget in budgets.items():
            share = budget_share(budget, spent.get(name, Spent()))
            if share is not None:
                yield Reading("budget", f"{kind}:{name}", share, settings.budget_share)


def read_errors(settings: AlertSettings, sums: Sums) -> Iterator[Reading]:
    """The share of the last minutes' requests that failed by our fault, where there were enough to tell."""
    requests = sums.get("requests", 0)
    if requests >= settings.least_requests:
        yield Reading("errors", ALL, sums.get("failed", 0) / requests, settings.error_share)


def read_latency(settings: AlertSettings, models: Mapping[str, Sums]) -> Iterator[Reading]:
    """What one in twenty of a model's requests waits longer for its first token than."""
    for model, sums in models.items():
        (p95,) = percentiles(sums, "ttft", (0.95,))
        if p95 is not None and sums.get("requests", 0) >= settings.least_requests:
            yield Reading("latency", f"model:{model}", p95, settings.ttft_p95_s)


def read_disk(settings: AlertSettings, name: str, read: Mapping[str, float]) -> Iterator[Reading]:
    """The used share of the disk that the store is on."""
    if "disk" in read:
        yield Reading("disk", f"host:{name}", read["disk"], settings.disk_share)


def budget_share(budget: Budget, spent: Spent) -> float | None:
    """The largest share of any of its budgets that is used up; None where it has none."""
    pairs = (
        (budget.tokens_per_day, spent.day_tokens),
        (budget.tokens_per_month, spent.month_tokens),
        (budget.krw_per_day, spent.day_micro_krw / 1e6),
        (budget.krw_per_month, spent.month_micro_krw / 1e6),
    )
    return max((used / float(limit) for limit, used in pairs if limit), default=None)


def budgets_of(callers: list[Caller]) -> tuple[dict[str, Budget], dict[str, Budget]]:
    """The budgets of keys, by id, and of teams; those that have none are left out."""
    keys = {caller.key_id: caller.budget for caller in callers if caller.budget}
    teams = {caller.team: caller.team_budget for caller in callers if caller.team and caller.team_budget}
    return keys, teams
