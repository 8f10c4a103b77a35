"""From which demand on one way is cheaper than another: every crossing up to a bound, not one number.

Demand is one of the assumptions' numbers (users, requests a user). Cost rises in steps (a machine more), so that two
ways can cross several times. Knows only what cost.py computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inhouse.plan.cost import Case, Floats, Option, lines, total

USERS, REQUESTS = "demand.users", "demand.requests_per_user_day"
MOST = {USERS: 100_000, REQUESTS: 20_000}
"""How far it is looked: demand beyond this is another company's question."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """From this demand on the one is cheaper that was not before (`ours`: our side of the pair)."""

    demand: int
    ours: bool


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Two ways over a demand (`key` of the assumptions), from 1 to `most` of it, whole steps.

    `ours_first`: whether ours is the cheaper at 1; `crossings` in order.
    """

    ours: Option
    other: Option
    key: str
    ours_first: bool
    crossings: tuple[Crossing, ...]
    most: int

    @property
    def lasting_from(self) -> int | None:
        """The demand from which on ours stays the cheaper up to the bound; None where it does not in the end."""
        if not self.crossings:
            return 1 if self.ours_first else None
        return self.crossings[-1].demand if self.crossings[-1].ours else None


def year_over(case: Case, option: Option, key: str, values: Sequence[float] | Floats) -> Floats:
    """A year's cost in won at each value of one number, all else as in the case."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.broadcast_to(np.asarray(total(lines(case.holding({key: numbers}), option))), numbers.shape)


def break_even(case: Case, ours: Option, other: Option, key: str = USERS, most: int | None = None) -> BreakEven:
    """Every whole demand, from 1 to the bound, at which the cheaper of the two changes."""
    most = most or MOST[key]
    demand = np.arange(1.0, most + 1)
    cheaper = year_over(case, ours, key, demand) < year_over(case, other, key, demand)
    at = np.flatnonzero(cheaper[1:] != cheaper[:-1]) + 1
    crossings = tuple(Crossing(int(demand[place]), bool(cheaper[place])) for place in at)
    return BreakEven(ours, other, key, bool(cheaper[0]), crossings, most)


def share_cheaper(draws: Case, ours: Option, other: Option, key: str, values: Sequence[float]) -> tuple[float, ...]:
    """Of the draws, the share in which ours is the cheaper, at each value of the demand."""
    shares = []
    for number in values:
        fixed = draws.holding({key: float(number)})
        shares.append(float(np.mean(total(lines(fixed, ours)) < total(lines(fixed, other)))))
    return tuple(shares)
