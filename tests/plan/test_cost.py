"""Bills against sums worked out by hand, to the won; API prices against genai-prices."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import numpy as np
import pytest

from inhouse.core.errors import UsageError
from inhouse.plan.assumptions import Amount, Assumptions, given
from inhouse.plan.comparison import compare
from inhouse.plan.cost import Option, Way, drawn, in_won, likely, lines, machines, options, total
from inhouse.plan.market import price_usd, working_noon

AT = working_noon(datetime(2026, 11, 25, tzinfo=UTC))

# 100 users × 10 requests × 250 days = 250,000 requests a year. The busiest hour has 200 of them, 40,000 tokens,
# 11.1 a second: one machine of 1,000 tokens/s used to a half, and one to spare.
BY_HAND = {
    "own": {
        "hardware": 8_000_000,  # 2 machines × (10,000 $ × 1,000 + 6,000,000) ÷ 4 years
        "maintenance": 3_200_000,  # 32,000,000 × 0.1
        # 2 × 8,760 h × 100 W, and 50,000,000 tokens ÷ 1,000 a second = 13.89 h × 400 W more: 1,757.56 kWh × 1.5 × 150
        "power": 395_450,
        "network": 1_000_000,
        "storage": 600_000,  # 1,000 GB × 50 × 12
        "people": 70_000_000,  # (0.2 + 0.3 + 0.1 + 2 × 0.05) × 100,000,000
        "setup": 5_000_000,  # 50 days × 400,000 ÷ 4 years
        "evaluation": 8_000_000,  # 4 × 5 days × 400,000
        "security": 5_000_000,
        "downtime": 1_000_000,  # 10 h × 100 users × 1,000
    },
    "cloud": {
        "rent": 17_520_000,  # 1 machine × 2 $ × 8,760 h × 1,000
        "network": 500_000,
        "storage": 1_200_000,  # 1,000 GB × 0.1 $ × 12 × 1,000
        "people": 60_000_000,
        "setup": 4_000_000,
        "evaluation": 8_000_000,
        "security": 5_000_000,
        "downtime": 600_000,
    },
    "managed": {
        "rent": 6_000_000,  # 3 $ × 2,000 h × 1,000
        "people": 40_000_000,
        "setup": 2_000_000,
        "evaluation": 8_000_000,
        "security": 3_000_000,
        "downtime": 400_000,
    },
    "seats": {
        "seats": 24_000_000,  # 100 users × 20 $ × 12 × 1,000
        "people": 10_000_000,
        "setup": 500_000,
        "evaluation": 1_600_000,
        "security": 1_000_000,
        "downtime": 400_000,
    },
}
TOTALS = {"own": 102_195_450, "cloud": 96_820_000, "managed": 59_400_000, "seats": 37_500_000}


def bill(assumptions: Assumptions, way: str) -> dict[str, int]:
    option = next(one for one in options(assumptions) if one.way == way)
    return in_won(lines(likely(assumptions, AT), option))


@pytest.mark.parametrize("way", BY_HAND)
def test_each_line_of_the_worked_example_is_right_to_the_won(example, way: str):
    assert bill(example, way) == BY_HAND[way]


@pytest.mark.parametrize("way", TOTALS)
def test_each_bill_of_the_worked_example_adds_up_to_the_won(example, way: str):
    made = compare(example, AT, draws=10)
    found = next(one for one in made.bills if one.option.way == way)
    assert found.total == sum(found.lines.values()) == TOTALS[way]
    assert found.year.likely == pytest.approx(TOTALS[way], abs=len(found.lines))
    assert found.usd == pytest.approx(TOTALS[way] / 1000)


def test_unit_costs_are_the_bill_over_what_was_used(example):
    own = compare(example, AT, draws=10).own
    assert own.per_request.likely == pytest.approx(102_195_450 / 250_000)
    assert own.per_million_tokens.likely == pytest.approx(102_195_450 / 300)  # 250,000 × 1,200 tokens
    assert own.per_user_month.likely == pytest.approx(102_195_450 / 100 / 12)


def test_american_salaries_are_raised_by_the_employers_share(example):
    american = Assumptions(replace(example.choice, country="us"), example.amounts)
    salaries = {role: example.amounts[f"roles.{role}.us"].likely for role in ("platform", "ml", "security")}
    by_hand = 0.1 * salaries["platform"] + 0.2 * salaries["ml"] + 0.1 * salaries["security"]
    assert bill(american, "api")["people"] == round(by_hand * 1.42 * 1000)


# --- what others charge ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["groq:llama-3.1-8b-instant", "openai:gpt-5.4-mini",
                         "google:gemini-3.5-flash-lite", "anthropic:claude-haiku-4-5"])  # fmt: skip
def test_an_apis_bill_is_what_genai_prices_charges(example, shipped, model: str):
    assert model in shipped.choice.api
    provider, name = model.split(":")
    one = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=1000, output_tokens=200), name, provider_id=provider, genai_request_timestamp=AT
    )
    found = lines(likely(example, AT), Option(Way.API, model))
    assert round(found["tokens"]) == round(one.total_price * 250_000 * 1000)
    assert price_usd(model, 1000, 200, at=AT) == one.total_price


def test_cached_prompt_tokens_are_charged_as_cached(example):
    half = example.replaced(
        {"demand.cached_share": given("demand.cached_share", example.amounts["demand.cached_share"], 0.5)}
    )
    usage = genai_prices.Usage(input_tokens=1000, output_tokens=200, cache_read_tokens=500)
    one = genai_prices.calc_price(usage, "gpt-5.4-mini", provider_id="openai", genai_request_timestamp=AT)
    found = lines(likely(half, AT), Option(Way.API, "openai:gpt-5.4-mini"))
    assert round(found["tokens"]) == round(one.total_price * 250_000 * 1000)
    assert found["tokens"] < lines(likely(example, AT), Option(Way.API, "openai:gpt-5.4-mini"))["tokens"]


def test_a_price_that_rises_with_the_prompt_is_taken_at_the_prompts_length(example):
    """Providers that charge more for each token of a long prompt: a tier of the price list is chosen by length."""
    model = "openai:gpt-6-luna"
    short, long = price_usd(model, 1000, 200, at=AT), price_usd(model, 1_000_000, 200, at=AT)
    assert long > 1000 * short  # the price of a token itself is higher
    amounts = {
        "demand.prompt_tokens": given("demand.prompt_tokens", example.amounts["demand.prompt_tokens"], 1_000_000)
    }
    found = lines(likely(example.replaced(amounts), AT), Option(Way.API, model))
    assert round(found["tokens"]) == round(Decimal(long) * 250_000 * 1000)


def test_a_price_that_changes_with_the_date_is_that_dates():
    before, after = (working_noon(datetime(year, 6, 1, tzinfo=UTC)) for year in (2026, 2027))
    model = "google:gemini-3.8-flash"
    assert price_usd(model, 1000, 200, at=after) == 2 * price_usd(model, 1000, 200, at=before)


def test_a_model_without_a_price_is_said_so(example):
    unknown = Assumptions(replace(example.choice, api=("openai:no-such-model",)), example.amounts)
    with pytest.raises(UsageError, match="no price for openai:no-such-model"):
        compare(unknown, AT, draws=10)


# --- demand ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("users", "count"), [(100, 2), (4500, 2), (4501, 3), (9001, 4)])
def test_a_machine_more_is_bought_when_the_busiest_hour_asks_for_it(example, users: int, count: int):
    case = likely(example, AT).holding({"demand.users": float(users)})
    assert machines(case, case["hardware.box.output_tokens_s"], 1.0) == count


def test_a_number_of_machines_that_is_given_stands(example):
    case = likely(example, AT, machines=5)
    assert in_won(lines(case, options(example)[0]))["hardware"] == 5 * 16_000_000 / 4


# --- draws -------------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_ranges(shipped):
    one, other = (compare(shipped, AT, seed=3, draws=500) for _ in range(2))
    assert one == other
    assert one.own.year != compare(shipped, AT, seed=4, draws=500).own.year


def test_draws_keep_within_low_and_high(shipped):
    case = drawn(shipped, AT, 2000, 0)
    for key, amount in shipped.used().items():
        values = np.asarray(case[key])
        assert amount.low <= values.min() <= values.max() <= amount.high, key


def test_another_amount_leaves_the_draws_of_the_others_as_they_are(shipped):
    changed = shipped.replaced({"power.pue": Amount(1.1, 1.2, 1.3, "ratio", "a measurement")})
    before, after = (drawn(one, AT, 50, 0) for one in (shipped, changed))
    assert all(np.array_equal(before[key], after[key]) for key in shipped.used() if key != "power.pue")


def test_like_amounts_of_two_ways_are_high_and_low_together(shipped):
    case = drawn(shipped, AT, 500, 0)
    ranks = [np.argsort(np.argsort(case[f"share.ml.{way}"])) for way in ("own", "api")]
    assert np.corrcoef(*ranks)[0, 1] > 0.99
    unlike = [np.argsort(np.argsort(case[key])) for key in ("share.ml.own", "power.pue")]
    assert abs(np.corrcoef(*unlike)[0, 1]) < 0.2


def test_sure_amounts_make_a_sure_bill(example):
    sure = example.replaced({key: given(key, one, one.likely) for key, one in example.amounts.items()})
    own = compare(sure, AT, draws=20).own.year
    assert own.low == pytest.approx(own.high) == pytest.approx(own.likely)


def test_the_formulas_take_arrays_and_numbers_alike(shipped):
    case, random = likely(shipped, AT), drawn(shipped, AT, 7, 1)
    for option in options(shipped):
        each = [
            total(
                lines(case.holding({key: float(np.broadcast_to(random[key], 7)[n]) for key in random.numbers}), option)
            )
            for n in range(7)
        ]
        assert np.asarray(total(lines(random, option))) == pytest.approx(each), option
