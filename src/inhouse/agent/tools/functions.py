"""The functions and constants of the calculator, over quantities. Knows no text of an expression."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, Inexact

from inhouse.agent.tools.quantities import CONTEXT, NONE, Quantity
from inhouse.core.errors import ToolError

CONSTANTS = {
    "pi": Decimal("3.1415926535897932384626433832795028841971693993751"),
    "e": Decimal("2.7182818284590452353602874713526624977572470936999"),
}
CONSTANTS |= {"π": CONSTANTS["pi"], "tau": 2 * CONSTANTS["pi"]}

_FLOATS: dict[str, Callable[[float], float]] = {"sin": math.sin, "cos": math.cos, "tan": math.tan, "atan": math.atan}
_PLAIN: dict[str, Callable[[Decimal], Decimal]] = {"ln": CONTEXT.ln, "log10": CONTEXT.log10, "exp": CONTEXT.exp}
_WHOLE = {"floor": "ROUND_FLOOR", "ceil": "ROUND_CEILING"}
_MANY = ("min", "max", "sum", "avg", "mean")
KNOWN = (
    "sqrt", "abs", "round", "floor", "ceil", "ln", "log10", "log", "exp", "sin", "cos", "tan", "atan", "factorial",
    *_MANY, "weekday", "date", "today",
)  # fmt: skip


def apply(name: str, arguments: list[Quantity]) -> Quantity:
    """The function's value; ToolError where it does not take those."""
    first = arguments[0]
    same = all(one.dimensions == first.dimensions for one in arguments)
    if name in _MANY and same:
        values = [one.value for one in arguments]
        total = Decimal(0)
        for value in values:
            total = CONTEXT.add(total, value)
        found = {"min": min(values), "max": max(values), "sum": total}.get(name)
        return Quantity(CONTEXT.divide(total, Decimal(len(values))) if found is None else found, first.dimensions)
    if name == "round" and len(arguments) <= 2:
        places = int(arguments[1].value) if len(arguments) == 2 else 0
        if abs(places) > 40:
            raise ToolError("round takes at most 40 places")
        return Quantity(first.value.quantize(Decimal(1).scaleb(-places), context=CONTEXT), first.dimensions)
    if name == "log" and len(arguments) == 2:
        return Quantity(CONTEXT.divide(CONTEXT.ln(first.value), CONTEXT.ln(arguments[1].value)))
    if len(arguments) != 1:
        raise ToolError(f"{name} takes one number, or alike ones")
    if name == "factorial":
        return factorial(first)
    if name == "abs":
        return Quantity(abs(first.value), first.dimensions)
    if name in _WHOLE:
        return Quantity(first.value.to_integral_value(_WHOLE[name]), first.dimensions)
    if name == "sqrt" and all(d % 2 == 0 for d in first.dimensions):
        half = tuple(d // 2 for d in first.dimensions)
        return Quantity(CONTEXT.sqrt(first.value), half)  # type: ignore[arg-type]
    if first.dimensions != NONE:
        raise ToolError(f"{name} takes a plain number")
    if name in _FLOATS:
        CONTEXT.flags[Inexact] = True
        return Quantity(Decimal(repr(round(_FLOATS[name](float(first.value)), 15))))
    if name == "log":  # as in most languages: the natural one
        name = "ln"
    return Quantity(_PLAIN[name](first.value))


def remainder(left: Quantity, right: Quantity, *, whole: bool) -> Quantity:
    """As Python's // and %: the remainder has the divisor's sign."""
    if left.dimensions != right.dimensions or right.value == 0:
        raise ToolError("A remainder needs two alike quantities, the second not zero")
    rest = CONTEXT.remainder(left.value, right.value)
    if rest and (rest < 0) != (right.value < 0):
        rest = CONTEXT.add(rest, right.value)
    if whole:
        return Quantity(CONTEXT.divide(CONTEXT.subtract(left.value, rest), right.value))
    return Quantity(rest, left.dimensions)


def factorial(number: Quantity) -> Quantity:
    """n!, of whole numbers up to 1000."""
    n = number.value
    if number.dimensions != NONE or n != int(n) or not 0 <= n <= 1000:
        raise ToolError("A factorial takes a whole number from 0 to 1000")
    return Quantity(CONTEXT.create_decimal(math.factorial(int(n))))
