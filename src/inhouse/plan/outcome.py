"""What simulations brought, summed up: percentiles, and how many requests kept the objectives. Simulates nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from inhouse.bench.plan import Objectives
from inhouse.bench.statistics import QUANTILES
from inhouse.plan.simulate import Simulated

WARM = 0.1
"""Share of a simulation's requests that is left out, since it begins with idle machines."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation brought: percentiles of TTFT, TPOT and E2E by name, and the share that kept the objectives.

    `kept_s` holds, under `ttft_s`, `tpot_s` and `e2e_s`, the tightest objective of each that the share asked for keeps
    (each by itself; left out where so many are not answered at all).
    """

    ttft_s: Mapping[str, float]
    tpot_s: Mapping[str, float]
    e2e_s: Mapping[str, float]
    attained: float
    requests: int
    refused: int = 0
    broken: int = 0
    kept_s: Mapping[str, float] = field(default_factory=dict)


def outcome(
    simulations: Sequence[Simulated],
    objectives: Objectives,
    *,
    share: float = 0.95,
    warm: float = WARM,
    masks: Sequence[Mask] | None = None,
) -> Outcome:
    """What simulations brought together.

    Args:
        simulations: of one load.
        objectives: what an answer is to keep.
        share: of the requests, for `kept_s`.
        warm: the share of each one's requests that is left out at its beginning.
        masks: of each one, the requests that count (None: all).
    """
    ttft, tpot, e2e = (np.concatenate(parts) for parts in zip(*_times(simulations, warm, masks), strict=True))
    good = ~np.isnan(e2e)
    with np.errstate(invalid="ignore"):
        for limit, values in ((objectives.ttft_s, ttft), (objectives.tpot_s, tpot), (objectives.e2e_s, e2e)):
            if limit is not None:
                good &= values <= limit
    answered = ~np.isnan(e2e)
    return Outcome(
        ttft_s=_percentiles(ttft[answered]),
        tpot_s=_percentiles(tpot[answered]),
        e2e_s=_percentiles(e2e[answered]),
        attained=float(good.mean()) if len(good) else 1.0,
        requests=len(good),
        refused=sum(one.refused for one in simulations),
        broken=sum(one.broken for one in simulations),
        kept_s=dict(_kept({"ttft_s": ttft, "tpot_s": tpot, "e2e_s": e2e}, share)),
    )


def _times(
    simulations: Sequence[Simulated], warm: float, masks: Sequence[Mask] | None
) -> list[tuple[Floats, Floats, Floats]]:
    """TTFT, TPOT and E2E of the requests that count, simulation by simulation; NaN where there was no answer."""
    found = []
    for place, one in enumerate(simulations):
        counts = np.arange(len(one.arrivals_s)) >= int(len(one.arrivals_s) * warm)
        if masks is not None:
            counts &= masks[place]
        ttft, e2e = (times[counts] - one.arrivals_s[counts] for times in (one.first_s, one.done_s))
        found.append((ttft, (e2e - ttft) / np.maximum(1, one.output_tokens[counts] - 1), e2e))
    return found


def _kept(times: Mapping[str, Floats], share: float) -> list[tuple[str, float]]:
    # Who got no answer waits for ever: only then is the share one of all that were asked.
    found = [
        (name, float(np.quantile(np.nan_to_num(values, nan=np.inf), share, method="higher")))
        for name, values in times.items()
        if len(values)
    ]
    return [(name, value) for name, value in found if isfinite(value)]


def _percentiles(values: Floats) -> dict[str, float]:
    if not len(values):
        return {}
    return {stat: float(np.quantile(values, q)) for stat, q in QUANTILES.items()}
