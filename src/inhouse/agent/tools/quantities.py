"""Numbers with units, and dates, as the calculator computes with them: exact decimals, bounded in size and time.

Knows no text of an expression; see arithmetic.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow

from inhouse.core.errors import ToolError

# 50 digits and exponents to ±6,144: no operation can take long or make a number that fills the memory.
CONTEXT = Context(
    prec=50, rounding=ROUND_HALF_EVEN, Emin=-6143, Emax=6144, traps=[InvalidOperation, DivisionByZero, Overflow]
)

# Length, mass, time, calendar months, temperature, data, current: a unit's exponents in these.
Dimensions = tuple[int, int, int, int, int, int]
_BASE = ("m", "kg", "s", "month", "K", "byte")
NONE: Dimensions = (0, 0, 0, 0, 0, 0)
_M, _KG, _S, _MONTH, _K, _B = (tuple(int(i == n) for i in range(6)) for n in range(6))


def _units() -> dict[str, tuple[Decimal, Dimensions]]:
    table: dict[str, tuple[Decimal, Dimensions]] = {}

    def add(dimensions: tuple[int, ...], **factors: str) -> None:
        for names, factor in factors.items():
            for name in names.split("_"):
                table[name] = (Decimal(factor), dimensions)  # type: ignore[assignment]

    square, cube = tuple(2 * n for n in _M), tuple(3 * n for n in _M)
    speed = (1, 0, -1, 0, 0, 0)
    add(_M, m_meter_meters_metre_metres_미터="1", km_kilometer_kilometers_kilometre_kilometres_킬로미터="1000")
    add(_M, cm_centimeter_centimeters_센티미터="0.01", mm_millimeter_millimeters="0.001", um_µm="1e-6", nm="1e-9")
    add(_M, inch_inches="0.0254", ft_foot_feet="0.3048", yd_yard_yards="0.9144", mi_mile_miles="1609.344")
    add(square, sqm_m2_제곱미터="1", pyeong_평="3.3057851239669421488", ha_hectare_hectares="10000")
    add(square, acre_acres="4046.8564224", km2="1e6", ft2_sqft="0.09290304")
    add(cube, l_L_liter_liters_litre_litres_리터="0.001", ml_mL="1e-6", gal_gallon_gallons="0.003785411784")
    add(_KG, kg_kilogram_kilograms_킬로그램="1", g_gram_grams_그램="0.001", mg="1e-6", t_ton_tons_tonne_tonnes="1000")
    add(_KG, lb_lbs_pound_pounds="0.45359237", oz_ounce_ounces="0.028349523125", 근="0.6")
    add(_S, s_sec_secs_second_seconds_초="1", ms_millisecond_milliseconds="0.001", us_µs="1e-6", ns="1e-9")
    add(_S, min_mins_minute_minutes_분="60", h_hr_hrs_hour_hours_시간="3600", d_day_days_일="86400")
    add(_S, week_weeks_주="604800")
    add(_MONTH, month_months_개월_달="1", year_years_yr_yrs_년="12")
    add(_K, K_kelvin="1")
    add(_B, B_byte_bytes="1", bit_bits="0.125", kB_KB="1000", MB="1e6", GB="1e9", TB="1e12", PB="1e15")
    add(_B, KiB="1024", MiB="1048576", GiB="1073741824", TiB="1099511627776", kbit="125", Mbit="125000", Gbit="125e6")
    add(speed, mph="0.44704", kph_kmh="0.27777777777777777777777777777777777777777777777778")
    add(speed, knot_knots="0.51444444444444444444444444444444444444444444444444")
    add(NONE, 천="1e3", 만="1e4", 백만="1e6", 억="1e8", 조="1e12", dozen="12")
    return table


UNITS = _units()
# Zero points: a number in one of these becomes kelvin as (n + offset) × factor.
TEMPERATURES: dict[str, tuple[Decimal, Decimal]] = {
    **dict.fromkeys(("C", "°C", "℃", "degC", "celsius"), (Decimal("273.15"), Decimal(1))),
    **dict.fromkeys(
        ("F", "°F", "℉", "degF", "fahrenheit"),
        (Decimal("459.67"), CONTEXT.divide(Decimal(5), Decimal(9))),
    ),
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value in base units. `percent`: it was written with a percent sign, which + and - treat apart."""

    value: Decimal
    dimensions: Dimensions = NONE
    percent: bool = False


Value = Quantity | date | str


def combine(left: Quantity, right: Quantity, sign: int) -> Quantity:
    """The product (sign 1) or quotient (sign -1)."""
    dimensions = tuple(a + sign * b for a, b in zip(left.dimensions, right.dimensions, strict=True))
    if sign < 0 and right.value == 0:
        raise ToolError("That divides by zero")
    operation = CONTEXT.multiply if sign > 0 else CONTEXT.divide
    return Quantity(operation(left.value, right.value), dimensions)  # type: ignore[arg-type]


def add(left: Value, right: Value, sign: int) -> Value:
    """The sum (sign 1) or difference (sign -1): of alike quantities, of a date and days or months, of two dates.

    `a + b %` is a with b per cent of it more, as on a pocket calculator.
    """
    if isinstance(left, date) and isinstance(right, date) and sign < 0:
        return Quantity(Decimal((left - right).days) * 86400, _S)  # type: ignore[arg-type]
    if isinstance(left, date) and isinstance(right, Quantity):
        return _shift(left, right, sign)
    if isinstance(left, Quantity) and isinstance(right, date) and sign > 0:
        return _shift(right, left, 1)
    if not isinstance(left, Quantity) or not isinstance(right, Quantity):
        raise ToolError("These cannot be added or subtracted", do="Add days to a date, or subtract a date from a date")
    if right.percent and not left.percent:
        return Quantity(CONTEXT.multiply(left.value, 1 + sign * right.value), left.dimensions)
    if left.dimensions != right.dimensions:
        raise ToolError(
            f"{unit_text(left.dimensions) or 'a plain number'} and {unit_text(right.dimensions) or 'a plain number'} "
            "cannot be added",
            do="Give both the same kind of unit",
        )
    value = CONTEXT.add(left.value, right.value if sign > 0 else -right.value)
    return Quantity(value, left.dimensions, left.percent and right.percent)


def _shift(day: date, by: Quantity, sign: int) -> date:
    amount = by.value * sign
    try:
        if by.dimensions == _MONTH and amount == int(amount):
            months = day.year * 12 + day.month - 1 + int(amount)
            year, month = divmod(months, 12)
            for last in (day.day, 30, 29, 28):  # 31 January and a month is the end of February
                try:
                    return date(year, month + 1, last)
                except ValueError:
                    if last == 28:
                        raise
        if by.dimensions == _S and amount % 86400 == 0:
            return day + timedelta(days=int(amount / 86400))
    except (ValueError, OverflowError):
        raise ToolError("That date is outside the years 1 to 9999") from None
    raise ToolError("A date can be moved by whole days, weeks, months or years only")


def power(base: Quantity, exponent: Quantity) -> Quantity:
    """Base to the exponent, a plain number; whole and small where the base has a unit."""
    if exponent.dimensions != NONE:
        raise ToolError("An exponent has no unit")
    if base.dimensions != NONE:
        if exponent.value != int(exponent.value) or abs(exponent.value) > 9:
            raise ToolError("A unit can be raised to a whole power up to 9 only")
        n = int(exponent.value)
        return Quantity(CONTEXT.power(base.value, n), tuple(n * d for d in base.dimensions))  # type: ignore[arg-type]
    if abs(exponent.value) > 1_000_000:
        raise ToolError("The exponent is too large", why="it may be a million at most")
    if base.value == 0 and exponent.value <= 0:
        raise ToolError("Zero to that power is not defined")
    return Quantity(CONTEXT.power(base.value, exponent.value))


def unit_text(dimensions: Dimensions) -> str:
    """The base units of a quantity, as m/s or m^2."""
    names = list(zip(_BASE, dimensions, strict=True))
    above = "·".join(name if n == 1 else f"{name}^{n}" for name, n in names if n > 0)
    below = "·".join(name if n == -1 else f"{name}^{-n}" for name, n in names if n < 0)
    return f"{above or '1'}/{below}" if below else above


def number_text(value: Decimal, exact: bool) -> str:
    """A number for people: whole where it is exact, else with 15 significant digits."""
    if not exact:
        value = value.normalize(Context(prec=15, Emin=CONTEXT.Emin, Emax=CONTEXT.Emax))
    if value == 0:
        return "0"
    value = value.normalize(CONTEXT)
    if -7 <= value.adjusted() < 50:
        return f"{value:f}"
    return f"{value:e}".replace("e+", "e")
