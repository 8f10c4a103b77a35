"""How sure a cost is: its range over seeded draws of all assumptions, and which assumption moves it how far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from inhouse.plan.assumptions import Amount
from inhouse.plan.cost import Case, Number

DRAWS = 4000
"""Draws of a Monte Carlo run: the ends of a 95 % range then rest on 100 of them each."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure with every amount as likely, its median over the draws, and the range that holds 95 % of them."""

    likely: float
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Swing:
    """What a figure is with one amount at its low and at its high, all others as likely."""

    key: str
    amount: Amount
    at_low: float
    at_high: float

    @property
    def size(self) -> float:
        """How far the amount moves the figure."""
        return abs(self.at_high - self.at_low)


def spread(figure: Callable[[Case], Number], case: Case, draws: Case) -> Spread:
    """The figure's range."""
    values = np.atleast_1d(np.asarray(figure(draws), dtype=np.float64))
    low, median, high = np.quantile(values, (0.025, 0.5, 0.975))
    return Spread(float(figure(case)), float(median), float(low), float(high))


def swings(figure: Callable[[Case], Number], case: Case) -> list[Swing]:
    """What each amount does to the figure, the one that moves it furthest first; those that do not are left out."""
    found = []
    for key, amount in case.assumptions.used().items():
        if amount.low == amount.high:
            continue
        at_low, at_high = (float(figure(case.holding({key: value}))) for value in (amount.low, amount.high))
        if at_low != at_high:
            found.append(Swing(key, amount, at_low, at_high))
    return sorted(found, key=lambda one: -one.size)
