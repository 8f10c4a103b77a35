"""What the dashboard shows of this moment, made once a second for each subject that anyone looks at, however many do.

Figures only, in no language. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson

from inhouse.gateway.failover import PoolStatus
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.replica import Condition
from inhouse.gateway.spending import Spent
from inhouse.gateway.traffic.meter import ALL
from inhouse.gateway.traffic.now import Now
from inhouse.gateway.traffic.sums import figures

_BUSIEST = 10


@dataclass(frozen=True, slots=True)
class Audience:
    """Who sees a frame: `subject` is what it counts; only an admin sees the machines, and what others do."""

    subject: str
    admin: bool


class Frames:
    """The frames of one moment after another."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._at = 0.0
        self._made: dict[Audience, bytes] = {}
        self._pools: tuple[PoolStatus, ...] = ()
        self._looking = asyncio.Lock()

    async def frame(self, now: Now, audience: Audience) -> bytes:
        """The moment as that audience sees it, as JSON."""
        async with self._looking:  # whoever comes second waits for what the first finds
            if now.at != self._at:
                if self._gateway.flow is not None:
                    await self._gateway.flow.look()
                    self._pools = self._gateway.flow.everyone()
                elif self._gateway.traffic is not None:
                    self._pools = self._gateway.traffic.pools()
                self._at, self._made = now.at, {}
        made = self._made.get(audience)
        if made is None:
            made = self._made[audience] = orjson.dumps(self._frame(now, audience))
        return made

    def _frame(self, now: Now, audience: Audience) -> dict[str, Any]:
        kind, _, name = audience.subject.partition(":")
        waiting = waiting_of(self._pools, kind, name)
        frame: dict[str, Any] = {
            "at": now.at,
            "second": figures(now.second_of(audience.subject)),
            "minute": figures(now.minute_of(audience.subject)),
            "minute_s": now.minute_s,
            "waiting": waiting,
            "running": running_of(self._pools, kind, name),
            "spent": spent_json(spent_by(self._gateway, audience.subject)),
            "models": [_model(pool, now, audience) for pool in self._pools if _seen(pool, kind, name)],
        }
        if audience.admin:
            alerts = self._gateway.alerts
            frame["alerts"] = [] if alerts is None else [alert.id for alert in alerts.lasting]
            frame["machines"] = now.machines
            frame["keys"] = self._busiest(now)
        return frame

    def _busiest(self, now: Now) -> list[dict[str, Any]]:
        """The keys with the most requests in the last minute, or in the queues."""
        names = {caller.key_id: caller.name for caller in self._gateway.keys.callers()}
        waiting: dict[str, int] = {}
        for pool in self._pools:
            for key_id, number in pool.waiting_by.items():
                waiting[key_id] = waiting.get(key_id, 0) + number
        found = {
            subject.removeprefix("key:"): sums for subject, sums in now.minute.items() if subject.startswith("key:")
        }
        keys = sorted(
            found.keys() | waiting.keys(),
            key=lambda key_id: (-waiting.get(key_id, 0), -found.get(key_id, {}).get("requests", 0), key_id),
        )
        return [
            {
                "key": key_id,
                "name": names.get(key_id, key_id[:10]),
                "waiting": waiting.get(key_id, 0),
                "requests": found.get(key_id, {}).get("requests", 0),
                "tokens": found.get(key_id, {}).get("prompt", 0) + found.get(key_id, {}).get("completion", 0),
                "micro_krw": found.get(key_id, {}).get("micro_krw", 0),
            }
            for key_id in keys[:_BUSIEST]
        ]


def waiting_of(pools: tuple[PoolStatus, ...], kind: str, name: str) -> int | None:
    """Requests of the subject that wait now; None of a team, whose keys the queues do not know."""
    if kind == ALL:
        return sum(pool.waiting for pool in pools)
    if kind == "model":
        return sum(pool.waiting for pool in pools if pool.model == name)
    return sum(pool.waiting_by.get(name, 0) for pool in pools) if kind == "key" else None


def running_of(pools: tuple[PoolStatus, ...], kind: str, name: str) -> int | None:
    """Requests of the subject that are being answered; None of a key or team, which replicas do not know."""
    if kind not in (ALL, "model"):
        return None
    return sum(replica.running for pool in pools if _seen(pool, kind, name) for replica in pool.replicas)


def spent_by(gateway: Gateway, subject: str) -> Spent | None:
    """What the subject has used today and this month; None of a model, which has no budget."""
    kind, _, name = subject.partition(":")
    keys, teams = gateway.spending.by_key, gateway.spending.by_team
    if kind == "key":
        return keys.get(name, Spent())
    if kind == "team":
        return teams.get(name, Spent())
    if kind != ALL:
        return None
    whole = Spent()
    for spent in keys.values():
        whole.day_tokens += spent.day_tokens
        whole.month_tokens += spent.month_tokens
        whole.day_micro_krw += spent.day_micro_krw
        whole.month_micro_krw += spent.month_micro_krw
    return whole


def spent_json(spent: Spent | None) -> dict[str, float] | None:
    """As the page's script reads it; money in won."""
    if spent is None:
        return None
    return {
        "day_tokens": spent.day_tokens,
        "month_tokens": spent.month_tokens,
        "day_krw": spent.day_micro_krw / 1e6,
        "month_krw": spent.month_micro_krw / 1e6,
    }


def state_of(pool: PoolStatus) -> str:
    """A model's state in a word: ready while any replica takes requests."""
    conditions = {replica.condition for replica in pool.replicas}
    order = (Condition.READY, Condition.TRIAL, Condition.RESTING, Condition.LOADING, Condition.COLD, Condition.DOWN)
    return next((str(one) for one in order if one in conditions), str(Condition.DOWN))


def _seen(pool: PoolStatus, kind: str, name: str) -> bool:
    return kind != "model" or pool.model == name


def _model(pool: PoolStatus, now: Now, audience: Audience) -> dict[str, Any]:
    """A model's service. Who is no admin sees how it stands, not what others ask of it or where it runs."""
    if not audience.admin:
        return {"model": pool.model, "state": state_of(pool)}
    minute = figures(now.minute_of(f"model:{pool.model}"))
    return {
        "model": pool.model,
        "state": state_of(pool),
        "running": sum(replica.running for replica in pool.replicas),
        "waiting": pool.waiting,
        "slots": pool.slots,
        "requests": minute.get("requests", 0),
        "tokens": minute.get("completion", 0),
        "ttft": minute["ttft"],
        "replicas": [
            {
                "name": replica.name,
                "state": str(replica.condition),
                "running": replica.running,
                "slots": replica.slots,
                "restarts": replica.restarts,
                "detail": replica.detail,
            }
            for replica in pool.replicas
        ],
    }
