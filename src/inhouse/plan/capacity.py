"""From a service model and a demand to machines: what each load brings, what can be kept, how many it takes.

Percentiles are simulated, since they are what objectives are set on; the queueing model stands beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from inhouse.bench.plan import Objectives
from inhouse.core.errors import UsageError
from inhouse.plan.demand import Demand, Lengths, workload_at
from inhouse.plan.moments import HAPPENS_S, Happening, Moment, busiest_hours, moments
from inhouse.plan.outcome import Outcome, outcome
from inhouse.plan.queueing import LoadPrediction, capacity, knee, predict_load, rates
from inhouse.plan.service import ServiceModel
from inhouse.plan.simulate import Outage, Workload, simulate

LEVELS = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95)
"""Shares of the capacity at which a load is shown."""
OBJECTIVES = Objectives(ttft_s=2.0, tpot_s=0.1)
"""What is to be kept where nobody says: the first token within 2 s and 10 tokens/s after it (an assumption)."""
SHARE = 0.95
"""The share of the requests that are to keep the objectives where nobody says (an assumption)."""
REPAIR_S = 4 * 3600.0
"""How long a machine that failed is away (an assumption)."""

_REQUESTS = 4000  # simulated for a level: the p95 then rests on 200
_HALVINGS = 9
_FULLEST = 0.98
_MOST_MACHINES = 4096


@dataclass(frozen=True, slots=True)
class Level:
    """A load on so many machines, as the queueing model predicts it and as it was simulated."""

    machines: int
    queue: LoadPrediction
    simulated: Outcome


@dataclass(frozen=True, slots=True)
class Need:
    """How many machines a demand takes. `machines` is None where no number of them keeps the objectives.

    `level` is the busiest hour's load on them, `one_away` that hour with one of them failing in its third minute for
    `repair_s`, and `with_spare` machines keep the objectives even so (None: not even two more do).
    """

    rate: float
    machines: int | None
    level: Level | None
    one_away: Outcome | None
    with_spare: int | None
    repair_s: float


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """All that is said of one service model: alone, and for a demand.

    `knee_requests` is the fewest requests at once that bring nearly the most, `most_requests_s` what one machine
    completes, and `kept_requests_s` the most at which the objectives are kept (0: at none).
    """

    model: ServiceModel
    objectives: Objectives
    share: float
    prompt_tokens: float
    output_tokens: float
    knee_requests: int
    knee_requests_s: float
    most_requests_s: float
    kept_requests_s: float
    levels: tuple[Level, ...]
    demand_requests_hour: float
    users: float | None
    need: Need
    happening: Happening
    moments: tuple[Moment, ...]
    """What the busiest hour on the needed machines brings when something happens; empty where none keep it."""

    @property
    def headroom(self) -> float | None:
        """How many times the busiest hour's load the needed machines could carry within the objectives."""
        if self.need.machines is None or not self.kept_requests_s:
            return None
        return self.need.machines * self.kept_requests_s / self.need.rate

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {**asdict(self), "headroom": self.headroom}


def plan_capacity(
    model: ServiceModel,
    demand: Demand,
    *,
    objectives: Objectives = OBJECTIVES,
    share: float = SHARE,
    happening: Happening | None = None,
    seed: int = 0,
) -> CapacityPlan:
    """What the machine does and how many of them the demand takes.

    Args:
        model: what a step takes on one machine.
        demand: what is asked of all of them.
        objectives: what an answer is to keep.
        share: of the requests that are to keep them.
        happening: what may happen in the busiest hour.
        seed: fixes the simulations.
    """
    if not objectives or not 0 < share < 1:
        raise UsageError("Capacity is planned for objectives that a share of the requests keeps, between 0 and 1")
    happening = happening or Happening()
    lengths, each = demand.lengths, rates(model, demand.lengths)
    kept = most_kept(model, lengths, objectives, share, burst=demand.burst, seed=seed)
    need = machines_for(model, demand, objectives, share, alone=kept, seed=seed)
    at = knee(model, lengths)
    most = capacity(model, lengths)
    return CapacityPlan(
        model=model,
        objectives=objectives,
        share=share,
        prompt_tokens=lengths.mean[0],
        output_tokens=lengths.mean[1],
        knee_requests=at,
        knee_requests_s=float(each[at - 1]),
        most_requests_s=most,
        kept_requests_s=kept,
        levels=tuple(
            level_at(model, lengths, part * most, objectives, burst=demand.burst, seed=seed, share=share)
            for part in LEVELS
        ),
        demand_requests_hour=demand.peak_requests_hour,
        users=demand.users,
        need=need,
        happening=happening,
        moments=()
        if need.machines is None
        else moments(model, demand, need.machines, objectives, happening=happening, share=share, seed=seed),
    )


def level_at(
    model: ServiceModel,
    lengths: Lengths,
    rate: float,
    objectives: Objectives,
    *,
    machines: int = 1,
    burst: float = 1.0,
    seed: int = 0,
    share: float = SHARE,
) -> Level:
    """A load of `rate` requests a second on so many machines."""
    return Level(
        machines,
        predict_load(model, lengths, rate, machines=machines, burst=burst, seed=seed),
        _simulated(model, lengths, rate, objectives, machines, burst, seed, share),
    )


def most_kept(
    model: ServiceModel,
    lengths: Lengths,
    objectives: Objectives,
    share: float,
    *,
    machines: int = 1,
    burst: float = 1.0,
    seed: int = 0,
) -> float:
    """The most requests a second at which that share of them keeps the objectives; 0 where even few do not."""
    most = capacity(model, lengths, machines)

    def kept(part: float) -> bool:
        return _simulated(model, lengths, part * most, objectives, machines, burst, seed).attained >= share

    low, high = 0.0, _FULLEST
    if kept(high):
        return high * most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) else (low, middle)
    return low * most


def machines_for(
    model: ServiceModel,
    demand: Demand,
    objectives: Objectives,
    share: float,
    *,
    repair_s: float = REPAIR_S,
    alone: float | None = None,
    seed: int = 0,
) -> Need:
    """The fewest machines that keep the objectives in the busiest hour, and with one of them failing in it.

    `alone` is what one of them keeps (requests a second), where the caller knows it.

    Raises:
        UsageError: it would take more than 4,096 of them.
    """
    lengths, rate = demand.lengths, demand.rate
    if alone is None:
        alone = most_kept(model, lengths, objectives, share, burst=demand.burst, seed=seed)
    if not alone and _undisturbed(model, lengths, objectives, share) < share:
        return Need(rate, None, None, None, None, repair_s)

    def on(count: int) -> Outcome:
        if demand.recorded is not None:
            return outcome([simulate(model, demand.recorded, machines=count)], objectives, share=share)
        return _simulated(model, lengths, rate, objectives, count, demand.burst, seed, share)

    # Together machines carry at least what each carries alone, and no more than all of them can at all.
    low = max(1, ceil(rate / capacity(model, lengths)))
    high = max(low, ceil(rate / alone)) if alone else low
    while high <= _MOST_MACHINES and on(high).attained < share:  # a recorded hour is not as even as its mean
        low, high = high + 1, 2 * high
    if high > _MOST_MACHINES:
        raise UsageError(
            f"The demand would take some {high:,} machines",
            why=f"one of them keeps the objectives up to {alone * 3600:.4g} requests an hour",
            do="Choose a faster machine or a smaller model, or fewer requests",
        )
    while low < high:
        middle = (low + high) // 2
        if on(middle).attained >= share:
            high = middle
        else:
            low = middle + 1
    hours = busiest_hours(demand, seed)
    away = {count: _one_away(model, hours, objectives, count, repair_s, share) for count in range(high, high + 3)}
    queue = predict_load(model, lengths, rate, machines=high, burst=demand.burst, seed=seed)
    return Need(
        rate=rate,
        machines=high,
        level=Level(high, queue, on(high)),
        one_away=away[high],
        with_spare=next((count for count, hour in away.items() if hour.attained >= share), None),
        repair_s=repair_s,
    )


def _simulated(
    model: ServiceModel,
    lengths: Lengths,
    rate: float,
    objectives: Objectives,
    machines: int,
    burst: float,
    seed: int,
    share: float = SHARE,
) -> Outcome:
    # So many that all slots fill and empty many times over.
    count = max(_REQUESTS, 40 * machines * model.slots)
    work = workload_at(rate, lengths, count, burst=burst, seed=seed)
    return outcome([simulate(model, work, machines=machines)], objectives, share=share)


def _undisturbed(model: ServiceModel, lengths: Lengths, objectives: Objectives, share: float) -> float:
    """The share of the requests that keep the objectives where each has a machine for itself."""
    longest_s = model.cycle_s(1, float(lengths.prompt_tokens.max()), float(lengths.output_tokens.max()))
    work = replace(
        workload_at(1.0, lengths, _REQUESTS), arrivals_s=np.arange(_REQUESTS, dtype=np.float64) * 2 * longest_s
    )
    return outcome([simulate(model, work)], objectives, share=share).attained


def _one_away(
    model: ServiceModel, hours: Sequence[Workload], objectives: Objectives, machines: int, repair_s: float, share: float
) -> Outcome:
    """The busiest hour (each of several) in which one machine fails at its third minute."""
    away = Outage(0, HAPPENS_S, HAPPENS_S + repair_s)
    played = [simulate(model, work, machines=machines, outages=(away,)) for work in hours]
    return outcome(played, objectives, share=share, warm=0.0)
