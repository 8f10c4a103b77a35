"""How the models' queues and replicas stand over all processes of a gateway, whichever of them is asked.

Each process shows the others what it sees (shared.py); here that is put together. Knows no HTTP and no Prometheus.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from inhouse.core.errors import SharedStateLost
from inhouse.gateway.failover import PoolStatus, ReplicaStatus
from inhouse.gateway.replica import Condition

if TYPE_CHECKING:
    from inhouse.gateway.shared import Shared

_TOPIC = "flow"
_WORSE = tuple(Condition)  # as they are listed: from what takes all to what takes nothing


@dataclass(frozen=True, slots=True)
class ProcessFlow:
    """What one process sees. `parent` is alike for the processes of one machine's gateway."""

    process: str
    parent: str
    pools: tuple[PoolStatus, ...]


class FlowBoard:
    """The pools of this process and, with a Redis, of the others as they were a second ago at most.

    Args:
        status: this process's pools now.
        refresh: brings what this process knows of shared queues up to date; may raise SharedStateLost.
        shared: the Redis of several processes.
        parent: a name that only the workers of one parent share; empty for a process without one.
    """

    def __init__(
        self,
        status: Callable[[], tuple[PoolStatus, ...]],
        refresh: Callable[[], Awaitable[None]],
        shared: Shared | None = None,
        parent: str = "",
    ) -> None:
        self._status = status
        self._refresh = refresh
        self._shared = shared
        self._process = "" if shared is None else shared.process
        self._parent = parent or self._process
        self._others: tuple[ProcessFlow, ...] = ()
        if shared is not None:
            shared.show(_TOPIC, lambda: to_json(self._own()))

    async def look(self) -> None:
        """Asks how the others stand. While the Redis is lost there are no others."""
        self._others = ()
        if self._shared is None:
            return
        with suppress(SharedStateLost):
            await self._refresh()
            shown = await self._shared.shown(_TOPIC)
            self._others = tuple(from_json(name, text) for name, text in shown.items() if name != self._process)

    def siblings(self) -> tuple[PoolStatus, ...]:
        """Over the processes of this parent, as `look` last found them: what one machine answers for."""
        return together([self._own(), *(flow for flow in self._others if flow.parent == self._parent)])

    def everyone(self) -> tuple[PoolStatus, ...]:
        """Over all processes on the Redis, as `look` last found them."""
        return together([self._own(), *self._others])

    @property
    def processes(self) -> int:
        """How many there are."""
        return 1 + len(self._others)

    def _own(self) -> ProcessFlow:
        return ProcessFlow(self._process, self._parent, self._status())


def together(flows: Iterable[ProcessFlow]) -> tuple[PoolStatus, ...]:
    """One status for each model. A queue that processes share is counted once, as the first of them sees it.

    A replica's requests are summed; its condition is the worst that any process sees, since that is what part of
    the requests meet.
    """
    pools: dict[str, PoolStatus] = {}
    counted: set[tuple[str, str]] = set()
    for flow in flows:
        for pool in flow.pools:
            queue = (pool.model, pool.shared or f"process {flow.process}")
            again = queue in counted
            counted.add(queue)
            known = pools.get(pool.model)
            if known is None:
                pools[pool.model] = pool
                continue
            pools[pool.model] = replace(
                known,
                running=known.running + (0 if again else pool.running),
                waiting=known.waiting + (0 if again else pool.waiting),
                slots=known.slots + (0 if again else pool.slots),
                waiting_by=Counter(known.waiting_by) + Counter(pool.waiting_by),
                replicas=_replicas(known.replicas, pool.replicas),
            )
    return tuple(pools.values())


def _replicas(some: Iterable[ReplicaStatus], more: Iterable[ReplicaStatus]) -> tuple[ReplicaStatus, ...]:
    found = {one.name: one for one in some}
    for one in more:
        known = found.get(one.name)
        if known is None:
            found[one.name] = one
        else:
            worst = max(known, one, key=lambda each: _WORSE.index(each.condition))
            restarts = max((each.restarts for each in (known, one) if each.restarts is not None), default=None)
            found[one.name] = replace(worst, running=known.running + one.running, restarts=restarts)
    return tuple(found.values())


def to_json(flow: ProcessFlow) -> str:
    """What a process shows the others."""
    return json.dumps({"parent": flow.parent, "pools": [asdict(pool) for pool in flow.pools]})


def from_json(process: str, text: str) -> ProcessFlow:
    """What `to_json` wrote."""
    shown: Mapping[str, Any] = json.loads(text)
    pools = []
    for pool in shown["pools"]:
        replicas = tuple(ReplicaStatus(**one | {"condition": Condition(one["condition"])}) for one in pool["replicas"])
        pools.append(PoolStatus(**pool | {"replicas": replicas}))
    return ProcessFlow(process, shown["parent"], tuple(pools))
