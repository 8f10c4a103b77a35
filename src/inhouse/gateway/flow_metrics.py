"""Queues and replicas as Prometheus reads them: asked for at each reading, so that the hot path pays nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from inhouse.gateway.failover import PoolStatus
from inhouse.gateway.replica import Condition

_BY_MODEL = ("model",)
_BY_REPLICA = ("model", "replica")


class FlowCollector(Collector):
    """The gauges of what `status` tells. A queue that machines share is counted on each as a whole."""

    def __init__(self, status: Callable[[], tuple[PoolStatus, ...]]) -> None:
        self._status = status

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See `Collector.collect`."""
        waiting = GaugeMetricFamily("inhouse_num_requests_waiting", "Requests that wait for a slot.", labels=_BY_MODEL)
        used = GaugeMetricFamily("inhouse_slots_used", "Slots of the model's replicas in use.", labels=_BY_MODEL)
        slots = GaugeMetricFamily("inhouse_slots", "Slots of the replicas that are up.", labels=_BY_MODEL)
        running = GaugeMetricFamily(
            "inhouse_replica_requests_running", "Requests that the gateway has at the replica.", labels=_BY_REPLICA
        )
        up = GaugeMetricFamily(
            "inhouse_replica_up", "1 where the replica takes requests of all processes.", labels=_BY_REPLICA
        )
        for pool in self._status():
            waiting.add_metric((pool.model,), pool.waiting)
            used.add_metric((pool.model,), pool.running)
            slots.add_metric((pool.model,), pool.slots)
            for replica in pool.replicas:
                running.add_metric((pool.model, replica.name), replica.running)
                up.add_metric((pool.model, replica.name), replica.condition in (Condition.READY, Condition.TRIAL))
        yield from (waiting, used, slots, running, up)
