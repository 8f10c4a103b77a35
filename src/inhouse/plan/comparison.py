"""The answer to "what does it cost?": every way's bill with its range, unit costs, break-evens and what moves them.

Made once from the assumptions, kept as a run whose metrics the report and the findings stand on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from inhouse.bench.keeping import ending
from inhouse.core.environment import Environment
from inhouse.core.records import Metric, Run, Scalar
from inhouse.plan.assumptions import Assumptions
from inhouse.plan.breakeven import REQUESTS, USERS, BreakEven, break_even, share_cheaper, year_over
from inhouse.plan.cost import (
    Case,
    Number,
    Option,
    drawn,
    in_won,
    likely,
    lines,
    options,
    requests_year,
    tokens_year,
    total,
)
from inhouse.plan.market import library_version, working_noon
from inhouse.plan.solved import Solved
from inhouse.plan.uncertainty import DRAWS, Spread, Swing, spread, swings
from inhouse.store.repository import Store

KIND = "plan_cost"
_METHOD = "predicted: cost model"
_USERS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)
_SWINGS = 12
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Bill:
    """A year of one option in won: its lines add up to `year`. Unit costs are of the whole bill, people included."""

    option: Option
    lines: Mapping[str, int]
    usd: float
    year: Spread
    per_million_tokens: Spread
    per_request: Spread
    per_user_month: Spread

    @property
    def total(self) -> int:
        """The sum of the lines."""
        return sum(self.lines.values())


@dataclass(frozen=True, slots=True)
class Curve:
    """An option's year in won over numbers of users; `cheaper`: the share of draws in which our machines cost less."""

    option: Option
    users: tuple[int, ...]
    won: tuple[float, ...]
    cheaper: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All ways compared, ours first."""

    assumptions: Assumptions
    at: datetime
    seed: int
    draws: int
    machines: int | None
    requests: float
    tokens: float
    bills: tuple[Bill, ...]
    curves: tuple[Curve, ...]
    break_evens: tuple[BreakEven, ...]
    swings: tuple[Swing, ...]
    solved: tuple[tuple[Solved, float], ...]
    """Runs of the agent, and what a task that it solved costs on our machines, in won."""

    @property
    def own(self) -> Bill:
        """Our machines' bill."""
        return self.bills[0]

    @property
    def cheapest(self) -> Bill:
        """The cheapest way, with every amount as likely."""
        return min(self.bills, key=lambda bill: bill.total)


def compare(
    assumptions: Assumptions, at: datetime, *, seed: int = 0, draws: int = DRAWS, machines: int | None = None,
    solved: Sequence[Solved] = (),
) -> Comparison:  # fmt: skip
    """Computes everything. `at` is when API prices are taken (the working day's noon of that date is asked for).

    Raises:
        UsageError: a model of the assumptions has no known price.
        MissingExtra: the price library is not installed.
    """
    at = working_noon(at)
    case = likely(assumptions, at, machines)
    random = drawn(assumptions, at, draws, seed, machines)
    compared = options(assumptions)
    bills = tuple(_bill(option, case, random) for option in compared)
    own = compared[0]
    others = compared[1:]
    per_token = bills[0].per_million_tokens.likely / _MILLION
    return Comparison(
        assumptions, at, seed, draws, machines, float(requests_year(case)), float(tokens_year(case)), bills,
        tuple(_curve(option, own, case, random) for option in compared),
        tuple(break_even(case, own, other, key) for other in others for key in (USERS, REQUESTS)),
        tuple(swings(lambda one: total(lines(one, own)), case)[:_SWINGS]),
        tuple((one, one.tokens * per_token) for one in solved),
    )  # fmt: skip


def _bill(option: Option, case: Case, random: Case) -> Bill:
    def year(one: Case) -> Number:
        return total(lines(one, option))

    won = in_won(lines(case, option))
    return Bill(
        option, won, sum(won.values()) / float(case["money.krw_per_usd"]),
        spread(year, case, random),
        spread(lambda one: year(one) / tokens_year(one) * _MILLION, case, random),
        spread(lambda one: year(one) / requests_year(one), case, random),
        spread(lambda one: year(one) / one["demand.users"] / 12, case, random),
    )  # fmt: skip


def _curve(option: Option, own: Option, case: Case, random: Case) -> Curve:
    won = tuple(float(value) for value in year_over(case, option, USERS, _USERS))
    cheaper = () if option == own else share_cheaper(random, own, option, USERS, _USERS)
    return Curve(option, _USERS, won, cheaper)


# --- as figures of a run ------------------------------------------------------------------------------------------


def figures(made: Comparison) -> Iterator[Metric]:
    """Everything as metrics, all of them predictions."""
    used = made.assumptions.used()
    yield _figure("assumptions", len(used))
    yield _figure("assumed", sum(one.assumed for one in used.values()), n=len(used))
    yield _figure("requests_year", made.requests, "requests")
    yield _figure("tokens_year", made.tokens, "tokens")
    labels: dict[str, Scalar]
    for bill in made.bills:
        labels = _labels(bill.option)
        yield _spread("year_won", bill.year, labels)
        yield _spread("per_million_tokens_won", bill.per_million_tokens, labels)
        yield _spread("per_request_won", bill.per_request, labels)
        yield _spread("per_user_month_won", bill.per_user_month, labels)
        for line, amount in bill.lines.items():
            yield _figure("line_won", amount, "won", {**labels, "line": line})
    for curve in made.curves:
        for place, users in enumerate(curve.users):
            labels = {**_labels(curve.option), "users": users}
            yield _figure("demand_year_won", curve.won[place], "won", labels)
            if curve.cheaper:
                yield _figure("own_cheaper_share", curve.cheaper[place], "", labels, n=made.draws)
    for one in made.break_evens:
        lasting = one.lasting_from
        labels = {**_labels(one.other), "demand": one.key, "most": one.most}
        yield _figure("own_cheaper_never" if lasting is None else "own_cheaper_from", lasting or 0, "", labels)
    for swing in made.swings:
        low, high = sorted((swing.at_low, swing.at_high))
        yield Metric(
            "swing_won", high - low, "won", {"assumption": swing.key}, low, high, None, _METHOD, predicted=True
        )
    for solved, won in made.solved:
        labels = {"suite": solved.suite, "model": solved.model, "run": solved.run_id}
        yield _figure("per_solved_won", won, "won", labels, n=solved.tries)


def keep(store: Store, made: Comparison, environment: Environment, study_id: str | None = None, **config: str) -> Run:
    """Keeps the comparison as a run with its assumptions; returns the finished run."""
    kept = {
        **config, **made.assumptions.to_dict(), "prices_at": made.at.isoformat(), "genai_prices": library_version(),
        "draws": made.draws, "machines": made.machines,
    }  # fmt: skip
    run = store.create_run(KIND, kept, seed=made.seed, environment=environment, study_id=study_id)
    with ending(store, run):
        store.set_metrics(run.id, figures(made))
    return store.get_run(run.id)


def _labels(option: Option) -> dict[str, Scalar]:
    return {"way": str(option.way), "option": option.name}


def _figure(
    name: str, value: float, unit: str = "", labels: Mapping[str, Scalar] | None = None, n: int | None = None
) -> Metric:
    return Metric(name, float(value), unit, labels or {}, n=n, method=_METHOD, predicted=True)


def _spread(name: str, found: Spread, labels: Mapping[str, Scalar]) -> Metric:
    # The likely value can lie outside the draws' range where all amounts lean to one side; the bounds then widen.
    low, high = min(found.low, found.likely), max(found.high, found.likely)
    return Metric(name, found.likely, "won", labels, low, high, None, f"{_METHOD}, Monte Carlo", predicted=True)
