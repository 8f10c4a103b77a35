"""What a year of each way to an LLM costs: own machines, a cloud's, a managed one, an API, seats.

One formula for each line, over numbers or over arrays of draws alike, so that ranges and curves come from the same
words as the bill. Won throughout; knows no range and no demand but the numbers it is given.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from inhouse.plan.assumptions import CATALOGUES, Amount, Assumptions, stem_of
from inhouse.plan.market import rates

Floats = NDArray[np.float64]
Number = float | Floats

_HOURS_YEAR = 8760
_MONTHS = 12
_ROLES = ("platform", "ml", "security", "quality")


class Way(StrEnum):
    """How a company comes to an LLM."""

    OWN = "own"
    CLOUD = "cloud"
    MANAGED = "managed"
    API = "api"
    SEATS = "seats"


@dataclass(frozen=True, slots=True)
class Option:
    """A way, and what of it: a machine, an instance, a model, a product."""

    way: Way
    name: str


@dataclass(frozen=True, slots=True)
class Case:
    """The assumptions with a number each, or an array each. `machines` fixes how many there are, spare ones included.

    `at` is when API prices are taken.
    """

    assumptions: Assumptions
    numbers: Mapping[str, Number]
    at: datetime
    machines: int | None = None
    reference: tuple[int, int] = field(default=(1, 1))
    """The prompt and completion tokens of the likely request, at whose length API prices are taken."""

    def __getitem__(self, key: str) -> Number:
        """The number under the assumption's name, in the assumption's own unit."""
        return self.numbers[key]

    def krw(self, key: str) -> Number:
        """An amount of money in won."""
        rate = self["money.krw_per_usd"] if self.assumptions.amounts[key].unit.startswith("USD") else 1.0
        return self[key] * rate

    def holding(self, numbers: Mapping[str, Number]) -> Case:
        """With other numbers for those amounts."""
        return replace(self, numbers={**self.numbers, **numbers})


def likely(assumptions: Assumptions, at: datetime, machines: int | None = None) -> Case:
    """The case in which every amount is as likely."""
    amounts = assumptions.amounts
    prompt, completion = (round(amounts[f"demand.{name}"].likely) for name in ("prompt_tokens", "completion_tokens"))
    return Case(
        assumptions,
        {key: one.likely for key, one in amounts.items()},
        at,
        machines,
        (max(1, prompt), max(1, completion)),
    )


def drawn(assumptions: Assumptions, at: datetime, n: int, seed: int, machines: int | None = None) -> Case:
    """The case of `n` draws: each amount from the triangle of its low, likely and high.

    Like amounts of several ways (the share of a role, the speed of a machine) are high or low together, as they are in
    one company: otherwise chance would make up differences between the ways. All else is independent. An amount's
    draws depend on its name and the seed only: another amount more leaves them as they are.
    """
    case = likely(assumptions, at, machines)
    return replace(case, numbers={key: _draw(key, one, n, seed) for key, one in assumptions.used().items()})


def _draw(key: str, amount: Amount, n: int, seed: int) -> Number:
    if amount.low == amount.high:
        return amount.likely
    stem, _ = stem_of(key)
    like = stem.rpartition(".")[2] if key.split(".")[0] in CATALOGUES else stem
    rng = np.random.default_rng((seed, zlib.crc32(like.encode())))
    return rng.triangular(amount.low, amount.likely, amount.high, n)


def options(assumptions: Assumptions) -> tuple[Option, ...]:
    """What is compared, our own machines first."""
    choice = assumptions.choice
    return (
        Option(Way.OWN, choice.own),
        Option(Way.CLOUD, choice.cloud),
        Option(Way.MANAGED, choice.managed),
        *(Option(Way.API, model) for model in choice.api),
        *(Option(Way.SEATS, product) for product in choice.seats),
    )


# --- demand -----------------------------------------------------------------------------------------------------


def requests_year(case: Case) -> Number:
    """Requests of all users in a year."""
    return case["demand.users"] * case["demand.requests_per_user_day"] * case["demand.days_per_year"]


def tokens_year(case: Case) -> Number:
    """Tokens of all users in a year, prompts and answers."""
    return requests_year(case) * (case["demand.prompt_tokens"] + case["demand.completion_tokens"])


def machines(case: Case, output_tokens_s: Number, spare: Number = 0.0) -> Number:
    """How many machines the busiest hour takes, whole ones, at least one, and the spare ones."""
    if case.machines is not None:
        return float(case.machines)
    hour = case["demand.users"] * case["demand.requests_per_user_day"] * case["demand.peak_hour_share"]
    needed = hour * case["demand.completion_tokens"] / 3600 / (output_tokens_s * case["machines.utilisation"])
    return np.maximum(np.ceil(needed), 1.0) + np.rint(spare)


# --- the bill ---------------------------------------------------------------------------------------------------


def lines(case: Case, option: Option) -> dict[str, Number]:
    """The lines of a year's bill, in won, largest matters first."""
    way, name = option.way, option.name
    more_people: Number = 0.0
    if way is Way.OWN:
        count = machines(case, case[f"hardware.{name}.output_tokens_s"], case["machines.spare"])
        more_people = count * case["machines.fte_each"] * _role(case, "platform")
        first = _owned(case, name, count)
    elif way in (Way.CLOUD, Way.MANAGED):
        table = f"{way}.{name}"
        count = machines(case, case[f"{table}.output_tokens_s"])
        first = {"rent": count * case.krw(f"{table}.price_hour") * case[f"{table}.hours_year"]}
    elif way is Way.API:
        first = {"tokens": request_usd(case, name) * requests_year(case) * case["money.krw_per_usd"]}
    else:
        first = {"seats": case["demand.users"] * case.krw(f"seats.{name}.price_month") * _MONTHS}
    return {**first, **_kept(case, way), **_work(case, way, more_people)}


def request_usd(case: Case, model: str) -> Number:
    """What the API charges for one request, in US dollars."""
    rate = rates(model, *case.reference, case.at)
    cached = case["demand.prompt_tokens"] * case["demand.cached_share"]
    fresh = case["demand.prompt_tokens"] - cached
    return fresh * rate.prompt + cached * rate.cached + case["demand.completion_tokens"] * rate.completion


def total(bill: Mapping[str, Number]) -> Number:
    """The sum of a bill's lines."""
    return sum(bill.values(), 0.0)


def in_won(bill: Mapping[str, Number]) -> dict[str, int]:
    """The lines rounded to the won, each by itself: a bill adds up as it is printed."""
    return {name: round(float(value)) for name, value in bill.items()}


def energy_kwh(case: Case, name: str, count: Number) -> Number:
    """Electricity of the machines in a year, cooling included: idle all year, and busy for as long as answers take."""
    table = f"hardware.{name}"
    busy_h = requests_year(case) * case["demand.completion_tokens"] / case[f"{table}.output_tokens_s"] / 3600
    watt_hours = count * _HOURS_YEAR * case[f"{table}.idle_w"] + busy_h * (
        case[f"{table}.busy_w"] - case[f"{table}.idle_w"]
    )
    return watt_hours / 1000 * case["power.pue"]


def _owned(case: Case, name: str, count: Number) -> dict[str, Number]:
    table = f"hardware.{name}"
    each = case[f"{table}.gpus"] * case.krw(f"{table}.gpu_price") + case.krw(f"{table}.host_price")
    return {
        "hardware": count * each / case["machines.years"],
        "maintenance": count * each * case["maintenance.share"],
        "power": energy_kwh(case, name, count) * case["power.krw_per_kwh"],
    }


def _kept(case: Case, way: Way) -> dict[str, Number]:
    """Network and storage, where they are one's own to pay; the other ways have them in their price."""
    if way not in (Way.OWN, Way.CLOUD):
        return {}
    return {
        "network": case.krw(f"network.{way}"),
        "storage": case["storage.gb"] * case.krw(f"storage.{way}") * _MONTHS,
    }


def _work(case: Case, way: Way, more: Number) -> dict[str, Number]:
    """People, and what is theirs to do: setting up, evaluating, keeping safe; and the hours it does not work."""
    days = case["demand.days_per_year"]
    return {
        "people": sum((case[f"share.{role}.{way}"] * _role(case, role) for role in _ROLES), 0.0) + more,
        "setup": case[f"setup.{way}"] * _role(case, "ml") / days / case["machines.years"],
        "evaluation": case["evaluation.rounds"] * case[f"evaluation.{way}"] * _role(case, "quality") / days,
        "security": case.krw(f"security.{way}"),
        "downtime": case[f"downtime.{way}"] * case["demand.users"] * case.krw("downtime.krw_per_user_hour"),
    }


def _role(case: Case, role: str) -> Number:
    """What a full year of a role costs the employer."""
    country = case.assumptions.choice.country
    return case.krw(f"roles.{role}.{country}") * case[f"overhead.{country}"]
