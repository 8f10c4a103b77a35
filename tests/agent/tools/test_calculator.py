"""The calculator is exact, knows units, percent and dates, runs nothing, and ends soon whatever it is given."""

from __future__ import annotations

import contextlib
import time
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tool_calls_made import make_call

from inhouse.agent.tools.arithmetic import compute
from inhouse.agent.tools.registry import tools
from inhouse.core.errors import ToolError
from inhouse.core.settings import Settings

DAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("0.1 + 0.2", "0.3"),
        ("1 + 2 * 3", "7"),
        ("2 ** 100", "1267650600228229401496703205376"),
        ("-2 ^ 2", "-4"),
        ("2 ^ 3 ^ 2", "512"),
        ("1/3", "≈ 0.333333333333333"),
        ("1,234,567 * 2", "2469134"),
        ("max(1,234)", "234"),
        ("15% of 240", "36"),
        ("240 + 15%", "276"),
        ("17 % 5", "2"),
        ("-7 % 3", "2"),
        ("25 / 200 to %", "12.5%"),
        ("3억 5000만 + 1억", "450000000"),
        ("50000원 * 3", "150000"),
        ("5 in to cm", "12.7 cm"),
        ("20 °C to °F", "≈ 68 °F"),
        ("-40 C to F", "≈ -40 F"),
        ("3 GB to MiB", "2861.02294921875 MiB"),
        ("2 h 30 min in min", "150 min"),
        ("1000 KB/s * 1 h in GB", "3.6 GB"),
        ("3 m * 2 m", "6 m^2"),
        ("sqrt(16 m^2)", "4 m"),
        ("2026-12-25 - today", "299 days"),
        ("today + 3 weeks", "2026-03-22 (Sunday)"),
        ("2026-01-31 + 1 month", "2026-02-28 (Saturday)"),
        ("weekday(2026-03-01)", "Sunday"),
    ],
)
def test_it_computes(expression, result):
    assert compute(expression, DAY)[0] == result


@pytest.mark.parametrize(
    "expression",
    [
        "9^9^9^9", "1e6000 * 1e6000", "1e999999999", "1/0", "0^-1", "5 m + 3 s", "2 years in days", "2026-02-30", "x",
        "", "((1", "1 2", "(" * 400 + "1" + ")" * 400, "1+" * 5000 + "1", "2000!", "sqrt(-1)", "(-8)^(1/3)", "ln(0)",
        "__import__('os').system('true')", "().__class__", "exec(1)", "round(1, 99999)", "sin(1e400)",
    ],
)  # fmt: skip
def test_what_it_cannot_compute_it_says_at_once(expression):
    start = time.perf_counter()
    with pytest.raises(ToolError):
        compute(expression, DAY)
    assert time.perf_counter() - start < 0.5


@settings(max_examples=150, deadline=500)
@given(st.text(alphabet="0123456789.+-*/^%!() ,kmsinto°Cμ만today", max_size=60))
def test_any_text_ends_in_a_value_or_a_tool_error(text):
    with contextlib.suppress(ToolError):
        compute(text, DAY)


@settings(max_examples=100, deadline=500)
@given(st.decimals(-(10**9), 10**9, places=3), st.decimals(-(10**9), 10**9, places=3))
def test_sums_and_products_are_exact(a, b):
    assert Decimal(compute(f"({a}) + ({b})", DAY)[1]) == a + b
    assert Decimal(compute(f"({a}) * ({b})", DAY)[1]) == a * b


async def test_the_tool_takes_today_from_its_context():
    calculator = tools(["calculator"], Settings())["calculator"]
    assert (await make_call(calculator, expression="today + 1 day")).data == {"value": "2026-03-02"}
