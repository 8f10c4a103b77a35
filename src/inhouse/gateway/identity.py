"""Who calls the gateway, and what that caller may use. Knows nothing of how a key is kept or checked."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

KeyRole = Literal["user", "admin"]


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Rates of one key, or of all keys of a team together; None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """What a key may use, by calendar day and month (UTC); None is no limit. Money is in KRW."""

    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    krw_per_day: Decimal | None = None
    krw_per_month: Decimal | None = None

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return self is not NO_BUDGET and self != NO_BUDGET


NO_LIMITS = KeyLimits()
NO_BUDGET = Budget()


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of the key that came with a request."""

    key_id: str
    name: str
    team: str | None = None
    role: KeyRole = "user"
    models: tuple[str, ...] | None = None
    """The models it may use; None for all."""
    limits: KeyLimits = NO_LIMITS
    team_limits: KeyLimits = NO_LIMITS
    """Rates that all keys of its team share."""
    budget: Budget = NO_BUDGET
    team_budget: Budget = NO_BUDGET
    priority: int = 0
    """In the queue: a higher one goes first."""
    tags: frozenset[str] = frozenset()
    """Access tags: documents with tags are only for callers with one of them."""

    @property
    def sees(self) -> frozenset[str] | None:
        """The access tags to search documents with; None sees all, which only an admin does."""
        return None if self.role == "admin" else self.tags

    def may_use(self, model: str) -> bool:
        """Whether the key's scope covers the model."""
        return self.models is None or model in self.models


LOCAL_CALLER = Caller(key_id="local", name="local", role="admin")
"""Whoever calls a gateway that has no keys, which listens on the loopback interface only."""
