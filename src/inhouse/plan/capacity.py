"""From a service model and a demand to machines: what each load brings, what can be kept, how many it takes.

Percentiles are simulated, since they are what objectives are set on; the queueing model stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np

from inhouse.bench.plan import Objectives
from inhouse.bench.statistics import QUANTILES
from inhouse.core.errors import UsageError
from inhouse.plan.demand import Demand, Lengths, workload_at
from inhouse.plan.queueing import LoadPrediction, capacity, knee, predict_load, rates
from inhouse.plan.service import ServiceModel
from inhouse.plan.simulate import Outage, Simulated, simulate

LEVELS = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95)
"""Shares of the capacity at which a load is shown."""
OBJECTIVES = Objectives(ttft_s=2.0, tpot_s=0.1)
"""What is to be kept where nobody says: the first token within 2 s and 10 tokens/s after it (an assumption)."""
SHARE = 0.95
"""The share of the requests that are to keep the objectives where nobody says (an assumption)."""
REPAIR_S = 4 * 3600.0
"""How long a machine that failed is away (an assumption)."""

_REQUESTS = 4000  # simulated for a level: the p95 then rests on 200
_WARM = 0.1  # share of a simulation that is left out, since it begins with idle machines
_HALVINGS = 9
_FULLEST = 0.98
_MOST_MACHINES = 4096
_FAILS_S = 180.0  # when in the busiest hour a machine fails


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation brought: percentiles of TTFT and E2E by name, and the share that kept the objectives."""

    ttft_s: Mapping[str, float]
    e2e_s: Mapping[str, float]
    attained: float
    requests: int
    refused: int = 0
    broken: int = 0


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

    @property
    def headroom(self) -> float | None:
        """How many times the busiest hour's load the needed machines could carry within the objectives."""
        if self.need.machines is None or not self.need.rate:
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
    seed: int = 0,
) -> CapacityPlan:
    """What the machine does and how many of them the demand takes.

    Args:
        model: what a step takes on one machine.
        demand: what is asked of all of them.
        objectives: what an answer is to keep.
        share: of the requests that are to keep them.
        seed: fixes the simulations.
    """
    if not objectives or not 0 < share < 1:
        raise UsageError("Capacity is planned for objectives that a share of the requests keeps, between 0 and 1")
    lengths, each = demand.lengths, rates(model, demand.lengths)
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
        kept_requests_s=most_kept(model, lengths, objectives, share, burst=demand.burst, seed=seed),
        levels=tuple(
            level_at(model, lengths, part * most, objectives, burst=demand.burst, seed=seed) for part in LEVELS
        ),
        demand_requests_hour=demand.peak_requests_hour,
        users=demand.users,
        need=machines_for(model, demand, objectives, share, seed=seed),
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
) -> Level:
    """A load of `rate` requests a second on so many machines."""
    return Level(
        machines,
        predict_load(model, lengths, rate, machines=machines, burst=burst, seed=seed),
        _simulated(model, lengths, rate, objectives, machines, burst, seed),
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
    seed: int = 0,
) -> Need:
    """The fewest machines that keep the objectives in the busiest hour, and with one of them failing in it.

    Raises:
        UsageError: it would take more than 4,096 of them.
    """
    lengths, rate = demand.lengths, demand.rate
    alone = most_kept(model, lengths, objectives, share, burst=demand.burst, seed=seed)
    if not alone:
        return Need(rate, None, None, None, None, repair_s)
    # Together machines carry at least what each carries alone, and no more than all of them can at all.
    low, high = max(1, ceil(rate / capacity(model, lengths))), max(1, ceil(rate / alone))
    if high > _MOST_MACHINES:
        raise UsageError(
            f"The demand would take some {high:,} machines",
            why=f"one of them keeps the objectives up to {alone * 3600:.4g} requests an hour",
            do="Choose a faster machine or a smaller model, or fewer requests",
        )
    while low < high:
        middle = (low + high) // 2
        if _simulated(model, lengths, rate, objectives, middle, demand.burst, seed).attained >= share:
            high = middle
        else:
            low = middle + 1
    machines = high
    hours = {
        count: _one_away(model, demand, objectives, count, repair_s, seed) for count in range(machines, machines + 3)
    }
    return Need(
        rate=rate,
        machines=machines,
        level=level_at(model, lengths, rate, objectives, machines=machines, burst=demand.burst, seed=seed),
        one_away=hours[machines],
        with_spare=next((count for count, hour in hours.items() if hour.attained >= share), None),
        repair_s=repair_s,
    )


def outcome(simulations: Sequence[Simulated], objectives: Objectives, *, warm: float = _WARM) -> Outcome:
    """What simulations brought together, the first `warm` share of each one's requests left out."""
    parts = [(one, slice(int(len(one.arrivals_s) * warm), None)) for one in simulations]
    ttft = np.concatenate([(one.first_s - one.arrivals_s)[part] for one, part in parts])
    e2e = np.concatenate([(one.done_s - one.arrivals_s)[part] for one, part in parts])
    left = np.concatenate([np.maximum(1, one.output_tokens[part] - 1) for one, part in parts])
    good = ~np.isnan(e2e)
    with np.errstate(invalid="ignore"):
        for limit, values in (
            (objectives.ttft_s, ttft), (objectives.tpot_s, (e2e - ttft) / left), (objectives.e2e_s, e2e),
        ):  # fmt: skip
            if limit is not None:
                good &= values <= limit
    answered = ~np.isnan(e2e)
    return Outcome(
        ttft_s=_percentiles(ttft[answered]),
        e2e_s=_percentiles(e2e[answered]),
        attained=float(good.mean()),
        requests=len(good),
        refused=sum(one.refused for one in simulations),
        broken=sum(one.broken for one in simulations),
    )


def _simulated(
    model: ServiceModel,
    lengths: Lengths,
    rate: float,
    objectives: Objectives,
    machines: int,
    burst: float,
    seed: int,
) -> Outcome:
    # So many that all slots fill and empty many times over.
    count = max(_REQUESTS, 40 * machines * model.slots)
    work = workload_at(rate, lengths, count, burst=burst, seed=seed)
    return outcome([simulate(model, work, machines=machines)], objectives)


def _one_away(
    model: ServiceModel, demand: Demand, objectives: Objectives, machines: int, repair_s: float, seed: int
) -> Outcome:
    """The busiest hour in which one machine fails at its third minute; of several such hours where few ask in one."""
    each = max(1, round(demand.peak_requests_hour))
    away = Outage(0, _FAILS_S, _FAILS_S + repair_s)
    works = [demand.workload(each, seed=seed + hour) for hour in range(max(1, min(50, ceil(_REQUESTS / each))))]
    return outcome([simulate(model, work, machines=machines, outages=(away,)) for work in works], objectives, warm=0.0)


def _percentiles(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    if not len(values):
        return {}
    return {stat: float(np.quantile(values, q)) for stat, q in QUANTILES.items()}
