"""Break-evens are where the bills really cross; swings are what the bills really do."""

from datetime import UTC, datetime

import numpy as np
import pytest

from inhouse.plan.assumptions import given
from inhouse.plan.breakeven import REQUESTS, USERS, break_even, share_cheaper, year_over
from inhouse.plan.cost import drawn, likely, lines, options, total
from inhouse.plan.market import working_noon
from inhouse.plan.uncertainty import spread, swings

AT = working_noon(datetime(2026, 11, 25, tzinfo=UTC))


@pytest.fixture
def case(example):
    return likely(example, AT)


def option(assumptions, way: str):
    return next(one for one in options(assumptions) if one.way == way)


def year(case, option, users: float) -> float:
    return float(total(lines(case.holding({USERS: users}), option)))


def test_at_a_crossing_the_cheaper_one_changes(example, case):
    own, seats = option(example, "own"), option(example, "seats")
    found = break_even(case, own, seats)
    at = found.lasting_from
    assert at is not None
    assert year(case, own, at) < year(case, seats, at)
    assert year(case, own, at - 1) >= year(case, seats, at - 1)
    assert not found.ours_first


def test_every_crossing_is_found_by_trying_each_number_of_users(example, case):
    # A company that buys a machine for every few users: the own bill is a staircase that crosses the seats' line often.
    stairs = case.holding({"hardware.box.output_tokens_s": 1.0, "share.ml.own": 0.0, "share.platform.own": 0.0,
                           "seats.plan.price_month": 125.0, "machines.fte_each": 0.0})  # fmt: skip
    own, seats = option(example, "own"), option(example, "seats")
    found = break_even(stairs, own, seats, most=600)
    assert len(found.crossings) > 2
    cheaper = [year(stairs, own, users) < year(stairs, seats, users) for users in range(1, 601)]
    by_trying = [(n + 1, cheaper[n]) for n in range(1, 600) if cheaper[n] != cheaper[n - 1]]
    assert [(one.demand, one.ours) for one in found.crossings] == by_trying
    assert found.ours_first == cheaper[0]


def test_a_way_that_never_gets_cheaper_has_no_break_even(example, case):
    managed = option(example, "managed")
    found = break_even(case, option(example, "own"), managed, most=500)
    assert found.lasting_from is None
    assert found.crossings == ()


def test_break_even_can_be_asked_over_requests_too(example, case):
    own = option(example, "own")
    dear = next(one for one in options(example) if one.name == "anthropic:claude-haiku-4-5")
    found = break_even(case, own, dear, REQUESTS)
    at = found.lasting_from
    assert at is not None
    values = year_over(case, own, REQUESTS, [at - 1, at]) - year_over(case, dear, REQUESTS, [at - 1, at])
    assert values[0] >= 0 > values[1]


def test_the_share_of_draws_is_one_where_every_draw_agrees(shipped):
    random = drawn(shipped, AT, 400, 0)
    own, seats = option(shipped, "own"), option(shipped, "seats")
    few, many = share_cheaper(random, own, seats, USERS, (1, 50_000))
    assert few == 0.0
    assert many == 1.0


def test_a_swing_is_what_the_bill_is_at_both_ends(shipped):
    case = likely(shipped, AT)
    own = option(shipped, "own")

    def figure(one):
        return total(lines(one, own))

    found = swings(figure, case)
    assert [one.size for one in found] == sorted((one.size for one in found), reverse=True)
    for one in found:
        again = shipped.replaced({one.key: given(one.key, one.amount, one.amount.high)})
        assert figure(likely(again, AT)) == pytest.approx(one.at_high), one.key
    assert "share.ml.seats" not in {one.key for one in found}


def test_a_range_holds_95_of_a_hundred_draws(shipped):
    case, random = likely(shipped, AT), drawn(shipped, AT, 2000, 0)
    own = option(shipped, "own")
    found = spread(lambda one: total(lines(one, own)), case, random)
    values = np.asarray(total(lines(random, own)))
    assert np.mean((values >= found.low) & (values <= found.high)) == pytest.approx(0.95, abs=0.002)
    assert found.low < found.median < found.high
