"""What others charge for tokens, by the genai-prices library; knows nothing of demand or of our own costs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from types import ModuleType

from inhouse.core.errors import MissingExtra, UsageError


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars for one token: prompt, cached prompt, completion; as charged for a request of a certain length."""

    prompt: float
    cached: float
    completion: float


def price_usd(model: str, prompt: int, completion: int, cached: int = 0, *, at: datetime | None = None) -> Decimal:
    """What one request costs at an API.

    Args:
        model: provider:model, as genai-prices names both.
        prompt: tokens of the prompt, those from the provider's cache included.
        completion: tokens of the answer.
        cached: tokens of the prompt that come from the provider's cache.
        at: when it is made (some prices change by date or by hour); None for now.

    Raises:
        UsageError: the library has no price for the model.
        MissingExtra: the library is not installed.
    """
    genai_prices = _library()
    provider, _, name = model.partition(":")
    usage = genai_prices.Usage(input_tokens=prompt, output_tokens=completion, cache_read_tokens=cached)
    try:
        found = genai_prices.calc_price(usage, name, provider_id=provider, genai_request_timestamp=at)
    except LookupError as error:
        raise UsageError(
            f"There is no price for {model}", why=str(error.args[0]) if error.args else "", do=
            "Name the provider and the model as genai-prices does, such as openai:gpt-5.4-mini",
        ) from None  # fmt: skip
    return Decimal(found.total_price)


@lru_cache
def rates(model: str, prompt: int, completion: int, at: datetime | None = None) -> Rates:
    """The price of a token in a request of that length: prices that rise with the prompt's length are taken there."""
    # Each kind of token is what the whole request costs more by it, so that every tier is chosen as it is charged.
    whole = price_usd(model, prompt, completion, at=at)
    without_answer = price_usd(model, prompt, 0, at=at)
    all_cached = price_usd(model, prompt, 0, prompt, at=at)
    return Rates(
        float(without_answer / prompt), float(all_cached / prompt), float((whole - without_answer) / completion)
    )


def library_version() -> str:
    """The version of the price library, which is the date of its prices."""
    _library()
    from importlib.metadata import version

    return version("genai-prices")


def working_noon(day: datetime) -> datetime:
    """Noon in Korea on that day (03:00 UTC): providers that charge by the hour charge office hours."""
    return day.astimezone(UTC).replace(hour=3, minute=0, second=0, microsecond=0)


def _library() -> ModuleType:
    try:
        import genai_prices
    except ImportError:
        raise MissingExtra(
            "API prices are not installed", do="Install them with: pip install 'inhouse[plan]'"
        ) from None
    return genai_prices
