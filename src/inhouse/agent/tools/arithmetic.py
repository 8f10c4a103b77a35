"""Reads and computes an expression: numbers, units, percent, dates, functions. A parser of its own: nothing is run.

`expression := sum (("to" | "in" | "as" | "->") unit)?`; the rest is the usual precedence. Bounded in length and depth.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal, DecimalException, Inexact

from inhouse.agent.tools.functions import CONSTANTS, KNOWN, apply, factorial, remainder
from inhouse.agent.tools.quantities import (
    CONTEXT,
    NONE,
    TEMPERATURES,
    UNITS,
    Quantity,
    Value,
    add,
    combine,
    number_text,
    power,
    unit_text,
)
from inhouse.agent.tools.tokens import split_tokens
from inhouse.core.errors import ToolError

LONGEST, DEEPEST = 500, 40  # characters, nested parentheses
_INTO = {"to", "in", "as", "->"}
_MULTIPLY = {"*": 1, "/": -1}


def compute(text: str, today: date) -> tuple[str, str]:
    """The expression's value as text, and its number or date alone (for programs). ToolError where there is none."""
    if len(text) > LONGEST:
        raise ToolError("The expression is too long", why=f"it may have {LONGEST} characters")
    CONTEXT.clear_flags()
    try:
        return _told(*_Parser(text, today).whole())
    except (DecimalException, OverflowError, ValueError):
        raise ToolError("The result is not a number, or too large", do="Use smaller numbers") from None


def _told(value: Value, unit: str) -> tuple[str, str]:
    if isinstance(value, str):
        return value, value
    if isinstance(value, date):
        return f"{value.isoformat()} ({value:%A})", value.isoformat()
    if not value.value.is_finite():
        raise OverflowError
    exact = not CONTEXT.flags[Inexact]
    number = number_text(value.value, exact)
    unit = unit or unit_text(value.dimensions)
    if not unit and value.percent:
        number, unit = number_text(value.value * 100, exact), "%"
    return f"{'' if exact else '≈ '}{number}{' ' if unit not in ('', '%') else ''}{unit}", number


class _Parser:
    def __init__(self, text: str, today: date) -> None:
        self._today = today
        self._tokens = split_tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> tuple[Value, str]:
        value = self._sum()
        unit = ""
        if self._peek() in _INTO:
            self._next()
            value, unit = self._converted(value)
        elif isinstance(value, Quantity) and value.dimensions == UNITS["s"][1]:
            value, unit = _days(value)
        if self._peek() == "=":
            self._next()
        if self._at < len(self._tokens):
            raise ToolError(f"{self._peek()!r} is not expected there", do="Write one expression, such as 15% of 240")
        return value, unit

    def _sum(self) -> Value:
        value = self._product()
        while self._peek() in ("+", "-"):
            sign = 1 if self._next() == "+" else -1
            value = add(value, self._product(), sign)
        return value

    def _product(self) -> Value:
        value = self._factor()
        while True:
            word = self._peek()
            if word in _MULTIPLY:
                self._next()
                value = combine(_number(value), _number(self._factor()), _MULTIPLY[word])
            elif word == "of":
                self._next()
                value = combine(_number(value), _number(self._factor()), 1)
            elif word in ("%", "mod", "//"):
                self._next()
                value = remainder(_number(value), _number(self._factor()), whole=word == "//")
            elif word == "(":  # 2(3 + 4)
                value = combine(_number(value), _number(self._factor()), 1)
            else:
                return value

    def _factor(self) -> Value:
        if self._peek() in ("+", "-"):
            sign = self._next()
            if self._token(0)[0] == "number" and self._token(1)[1] in TEMPERATURES:
                return self._one_measured(Decimal(f"{sign}1"))
            value = self._deeper(self._factor)
            number = _number(value)
            return value if sign == "+" else Quantity(-number.value, number.dimensions, number.percent)
        value = self._postfix()
        if self._peek() == "^":
            self._next()
            value = power(_number(value), _number(self._deeper(self._factor)))
        return value

    def _postfix(self) -> Value:
        value = self._atom()
        while True:
            word = self._peek()
            if word == "!":
                self._next()
                value = factorial(_number(value))
            elif word == "%" and not self._begins_operand(1):
                self._next()
                number = _number(value)
                value = Quantity(CONTEXT.divide(number.value, Decimal(100)), number.dimensions, percent=True)
            else:
                return value

    def _begins_operand(self, ahead: int) -> bool:
        """Whether `%` is followed by what it would be the remainder of: 17 % 5, not 15% of 240."""
        kind, word = self._token(ahead)
        return kind in ("number",) or word == "(" or (kind == "name" and word not in (*_INTO, "of", "mod"))

    def _atom(self) -> Value:
        kind, word = self._token(0)
        if word in ("₩", "$", "€"):  # money is a plain number here
            self._next()
            return self._atom()
        if kind == "date":
            self._next()
            try:
                return date.fromisoformat(word)
            except ValueError:
                raise ToolError(f"{word} is no date") from None
        if kind == "number":
            return self._measured()
        if word == "(":
            self._next()
            value = self._deeper(self._sum)
            self._expect(")")
            return value
        if kind == "name":
            return self._named()
        raise ToolError("The expression ends too early" if not word else f"{word!r} is not expected there")

    def _measured(self) -> Value:
        """A number with its unit, or several that belong together: 2 h 30 min, 3억 5000만."""
        total = self._one_measured()
        while self._token(0)[0] == "number" and self._is_unit(1):
            total = _number(add(total, self._one_measured(), 1))
        return total

    def _one_measured(self, sign: Decimal = Decimal(1)) -> Quantity:
        number = CONTEXT.multiply(sign, CONTEXT.create_decimal(self._next().replace(",", "")))
        while self._is_unit(0):
            name = self._next()
            if name in TEMPERATURES:
                offset, factor = TEMPERATURES[name]
                return Quantity(CONTEXT.multiply(CONTEXT.add(number, offset), factor), UNITS["K"][1])
            unit = Quantity(*UNITS["inch" if name == "in" else name])
            if unit.dimensions == NONE:  # 3만 km: a scale, and then a unit
                number = CONTEXT.multiply(number, unit.value)
                continue
            if self._peek() == "^":
                self._next()
                unit = power(unit, _number(self._factor()))
            return combine(Quantity(number), unit, 1)
        if self._peek() in ("원", "won", "KRW", "USD", "EUR", "dollars"):
            self._next()
        return Quantity(number)

    def _is_unit(self, ahead: int) -> bool:
        kind, word = self._token(ahead)
        if word == "in":  # inches, unless a unit follows: 5 km in miles
            kind, word = self._token(ahead + 1)
            return kind != "name" or word in _INTO
        return kind == "name" and (word in UNITS or word in TEMPERATURES)

    def _named(self) -> Value:
        name = self._next()
        lower = name.lower()
        if lower in ("today", "오늘"):
            return self._today
        if lower in ("pi", "π", "e", "tau"):
            return Quantity(CONSTANTS[lower])
        if self._peek() == "(":
            return self._called(lower)
        if name in UNITS:
            return Quantity(*UNITS[name])
        raise ToolError(f"{name!r} is neither a unit nor a function here", do=f"There are {', '.join(KNOWN)}")

    def _called(self, name: str) -> Value:
        if name not in KNOWN:
            raise ToolError(f"There is no function {name!r} here", do=f"There are {', '.join(KNOWN)}")
        self._expect("(")
        arguments: list[Value] = []
        while self._peek() != ")":
            arguments.append(self._deeper(self._sum))
            if self._peek() == ",":
                self._next()
        self._expect(")")
        if name in ("weekday", "date"):
            if len(arguments) != 1 or not isinstance(arguments[0], date):
                raise ToolError(f"{name} takes one date, such as 2026-03-01")
            return f"{arguments[0]:%A}" if name == "weekday" else arguments[0]
        if not arguments:
            raise ToolError(f"{name} takes a number")
        return apply(name, [_number(one) for one in arguments])

    def _converted(self, value: Value) -> tuple[Quantity, str]:
        quantity = _number(value)
        if self._peek() in TEMPERATURES:
            name = self._next()
            if quantity.dimensions != UNITS["K"][1]:
                raise ToolError(f"That is no temperature, so it cannot be given in {name}")
            offset, factor = TEMPERATURES[name]
            kelvin = CONTEXT.divide(quantity.value, factor)
            return Quantity(CONTEXT.subtract(kelvin, offset), UNITS["K"][1]), name
        if self._peek() in ("%", "percent"):
            self._next()
            return Quantity(quantity.value * 100), "%"
        start = self._at
        if self._token(0) == ("name", "in"):
            self._tokens[self._at] = ("name", "inch")
        unit = _number(self._product())
        text = "".join(word for _, word in self._tokens[start : self._at])
        if unit.dimensions != quantity.dimensions:
            have = unit_text(quantity.dimensions) or "a plain number"
            fixed = " (a month and a year have no fixed number of days)" if "month" in have else ""
            raise ToolError(f"{have} cannot be given in {text}{fixed}")
        return Quantity(CONTEXT.divide(quantity.value, unit.value), unit.dimensions), text

    def _deeper(self, part: Callable[[], Value]) -> Value:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ToolError("The expression is nested too deeply")
        value = part()
        self._depth -= 1
        return value

    def _token(self, ahead: int) -> tuple[str, str]:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ("", "")

    def _peek(self) -> str:
        return self._token(0)[1]

    def _next(self) -> str:
        word = self._peek()
        self._at += 1
        return word

    def _expect(self, word: str) -> None:
        if self._next() != word:
            raise ToolError(f"A {word!r} is missing")


def _number(value: Value) -> Quantity:
    if not isinstance(value, Quantity):
        raise ToolError("A date or a text cannot be used as a number there")
    return value


def _days(value: Quantity) -> tuple[Quantity, str]:
    """A time in the largest unit in which it is whole, days where it came from dates."""
    for name in ("days", "h", "min"):
        factor = UNITS[name][0]
        if value.value % factor == 0:
            return Quantity(value.value / factor, value.dimensions), name
    return value, "s"
