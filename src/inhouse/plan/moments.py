"""What the busiest hour brings when something happens in it: a rush, a failure, machines that have just been started.

Each is simulated on a number of machines that keeps the objectives while nothing happens. Chooses no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from inhouse.bench.plan import Objectives
from inhouse.core.errors import UsageError
from inhouse.plan.demand import Demand, workload_at
from inhouse.plan.outcome import Mask, Outcome, outcome
from inhouse.plan.service import ServiceModel
from inhouse.plan.simulate import Outage, Workload, simulate

HAPPENS_S = 180.0
"""When in the busiest hour it happens."""
WINDOW_S = 600.0
"""For how long after it the requests are looked at."""
RUSH_S = 300.0
"""How long a rush lasts (an assumption: people come back from a meeting)."""
RUSH = 3.0
"""How many times as many ask in a rush, where nobody says (an assumption)."""
COLD_START_S = 60.0
"""How long a machine takes from its start to its first token, where nobody measured or says it (an assumption)."""

_REQUESTS = 4000  # simulated in all, so that a p95 rests on many
_HOURS = 50
_AFTER_S = (
    600.0  # what comes later still may go before one that waits; beyond this it changes nothing that is looked at
)


@dataclass(frozen=True, slots=True)
class Happening:
    """What is to be asked of the busiest hour.

    `rush` times as many ask for five minutes; of them the share `urgent` goes before the others (0: nobody does).
    A machine that is started takes `cold_start_s`; `cold_from` says where that comes from.
    """

    rush: float = RUSH
    urgent: float = 0.0
    cold_start_s: float = COLD_START_S
    cold_from: str = "assumption"

    def __post_init__(self) -> None:
        if not (self.rush >= 1 and 0 <= self.urgent < 1 and self.cold_start_s >= 0):
            raise UsageError(
                "A rush is 1 or more times the requests, the urgent share 0 to 1, a cold start 0 s or more"
            )


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happens, and what the requests of the ten minutes from then on met.

    `name`: `rush`; `rush_urgent` and `rush_others`, the same with two ranks; `replaced`: a machine fails and is back
    after a cold start; `cold`: all machines are started as the hour begins.
    """

    name: str
    outcome: Outcome


def busiest_hours(demand: Demand, seed: int) -> list[Workload]:
    """The busiest hour, as it was recorded; else several that are drawn, where few ask in one."""
    if demand.recorded is not None:
        return [demand.recorded]
    each = max(1, round(demand.peak_requests_hour))
    return [demand.workload(each, seed=seed + hour) for hour in range(max(1, min(_HOURS, ceil(_REQUESTS / each))))]


def moments(
    model: ServiceModel,
    demand: Demand,
    machines: int,
    objectives: Objectives,
    *,
    happening: Happening | None = None,
    share: float = 0.95,
    seed: int = 0,
) -> tuple[Moment, ...]:
    """What each thing that can happen brings on so many machines."""
    asked = happening or Happening()
    hours = [_until(work, HAPPENS_S + WINDOW_S + _AFTER_S) for work in busiest_hours(demand, seed)]

    def brought(
        works: Sequence[Workload],
        outages: Sequence[Outage] = (),
        since: float = HAPPENS_S,
        rank: int | None = None,
    ) -> Outcome:
        return outcome(
            [simulate(model, work, machines=machines, outages=outages) for work in works],
            objectives,
            share=share,
            warm=0.0,
            masks=[_looked_at(work, since, rank) for work in works],
        )

    rushed = [_rushed(work, demand, asked.rush, seed + 1000 + place) for place, work in enumerate(hours)]
    found = [Moment("rush", brought(rushed))]
    if asked.urgent:
        ranked = [_ranked(work, asked.urgent, seed + 2000 + place) for place, work in enumerate(rushed)]
        found += [Moment(name, brought(ranked, rank=rank)) for rank, name in enumerate(("rush_urgent", "rush_others"))]
    back = Outage(0, HAPPENS_S, HAPPENS_S + asked.cold_start_s)
    starting = [Outage(machine, 0.0, asked.cold_start_s) for machine in range(machines)]
    found.append(Moment("replaced", brought(hours, [back] if asked.cold_start_s else [])))
    found.append(Moment("cold", brought(hours, starting if asked.cold_start_s else [], since=0.0)))
    return tuple(found)


def _looked_at(work: Workload, since: float, rank: int | None) -> Mask:
    """The requests of the ten minutes from then on, of one rank or of all."""
    counts: Mask = (work.arrivals_s >= since) & (work.arrivals_s < since + WINDOW_S)
    return counts if rank is None or work.priority is None else counts & (work.priority == rank)


def _until(work: Workload, end_s: float) -> Workload:
    """The hour's beginning: all that comes before `end_s`, at least one request."""
    count = max(1, int(np.searchsorted(work.arrivals_s, end_s)))
    return Workload(work.arrivals_s[:count], work.prompt_tokens[:count], work.output_tokens[:count])


def _rushed(work: Workload, demand: Demand, times: float, seed: int) -> Workload:
    """The hour with so many times the requests for five minutes."""
    more = (times - 1) * demand.rate
    if not more:
        return work
    rng = np.random.default_rng(seed)
    count = int(rng.poisson(more * RUSH_S))
    if not count:
        return work
    extra = workload_at(demand.rate, demand.lengths, count, seed=seed)
    arrivals = np.concatenate([work.arrivals_s, rng.uniform(HAPPENS_S, HAPPENS_S + RUSH_S, count)])
    order = np.argsort(arrivals, kind="stable")
    return Workload(
        arrivals[order],
        np.concatenate([work.prompt_tokens, extra.prompt_tokens])[order],
        np.concatenate([work.output_tokens, extra.output_tokens])[order],
    )


def _ranked(work: Workload, urgent: float, seed: int) -> Workload:
    """The same requests, that share of them in the first rank."""
    drawn = np.random.default_rng(seed).random(len(work.arrivals_s))
    return replace(work, priority=(drawn >= urgent).astype(np.int64))
