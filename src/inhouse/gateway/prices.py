"""What tokens cost: a price table in TOML, applied in whole numbers so that sums of money stay exact.

A model without a price costs nothing: nobody's prices are made up here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

from inhouse.core.errors import UsageError

_MILLION = 1_000_000
_NANO = 1_000_000_000
_MICRO = 1_000_000


class Cost(NamedTuple):
    """An amount in both currencies: billionths of a US dollar, millionths of a won."""

    nano_usd: int
    micro_krw: int


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens, in nano-dollars and in micro-won: (input, cached input, output)."""

    nano_usd: tuple[int, int, int]
    micro_krw: tuple[int, int, int]

    def cost(self, prompt: int, completion: int, cached: int = 0) -> Cost:
        """Of one request; `cached` of the prompt's tokens came from the engine's prompt cache."""
        fresh = prompt - cached
        return Cost(
            _amount(self.nano_usd, fresh, cached, completion), _amount(self.micro_krw, fresh, cached, completion)
        )


FREE = Price((0, 0, 0), (0, 0, 0))


def _amount(rates: tuple[int, int, int], fresh: int, cached: int, completion: int) -> int:
    total = fresh * rates[0] + cached * rates[1] + completion * rates[2]
    return (total + _MILLION // 2) // _MILLION


def load_prices(path: Path) -> dict[str, Price]:
    """Reads a price table.

    [models."name"] has `input` and `output`, and `cached_input` where it differs, for a million tokens in
    `currency` ("USD" or "KRW"); `krw_per_usd` at the top converts to the other.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The price table {path} cannot be read", why=str(error)) from None
    rate = _number(path, table, "krw_per_usd")
    if rate <= 0:
        raise _bad(path, "krw_per_usd must be over 0")
    models = table.get("models", {})
    if not isinstance(models, dict) or not all(isinstance(entry, dict) for entry in models.values()):
        raise _bad(path, 'prices stand under [models."name"]')
    return {name: _price(path, name, entry, rate) for name, entry in models.items()}


def _price(path: Path, name: str, entry: Mapping[str, Any], krw_per_usd: Decimal) -> Price:
    currency = entry.get("currency", "USD")
    if currency not in ("USD", "KRW"):
        raise _bad(path, f"the currency of {name} is {currency!r}; it can be USD or KRW")
    inputs = _number(path, entry, "input")
    outputs = _number(path, entry, "output")
    cached = _number(path, entry, "cached_input") if "cached_input" in entry else inputs
    in_usd = Decimal(1) if currency == "USD" else 1 / krw_per_usd
    in_krw = krw_per_usd if currency == "USD" else Decimal(1)

    def rates(factor: Decimal, unit: int) -> tuple[int, int, int]:
        return tuple(round(amount * factor * unit) for amount in (inputs, cached, outputs))  # type: ignore[return-value]

    return Price(rates(in_usd, _NANO), rates(in_krw, _MICRO))


def _number(path: Path, entry: Mapping[str, Any], name: str) -> Decimal:
    value = entry.get(name)
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise _bad(path, f"{name} must be a number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise _bad(path, f"{name} must be a number") from None
    if not number.is_finite() or number < 0:
        raise _bad(path, f"{name} must not be negative")
    return number


def _bad(path: Path, why: str) -> UsageError:
    return UsageError(f"The price table {path} cannot be used", why=why, do="See docs/gateway.md for its form")
