"""A circuit breaker: after failures in a row nothing is sent for a while, then one try. Knows no engine and no tool."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum


class Circuit(StrEnum):
    """CLOSED lets all through, OPEN nothing, TRIAL one at a time until one succeeds."""

    CLOSED = "closed"
    OPEN = "open"
    TRIAL = "trial"


class Breaker:
    """Opens after `failures` in a row, for `first_s` seconds, twice as long after each trial that fails.

    `clock` counts seconds and never goes back.
    """

    def __init__(
        self,
        *,
        failures: int = 3,
        first_s: float = 1.0,
        longest_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = failures
        self._first_s = first_s
        self._longest_s = longest_s
        self._clock = clock
        self._failed = 0
        self._open_s = first_s
        self._opened_at: float | None = None

    @property
    def circuit(self) -> Circuit:
        """The state now."""
        if self._opened_at is None:
            return Circuit.CLOSED
        return Circuit.TRIAL if self._clock() >= self._opened_at + self._open_s else Circuit.OPEN

    @property
    def trial_in_s(self) -> float:
        """Seconds until the next trial; 0 where one may be made now or none is needed."""
        return 0.0 if self._opened_at is None else max(0.0, self._opened_at + self._open_s - self._clock())

    def succeeded(self) -> None:
        """An answer came: everything is well again."""
        if self._failed:
            self._failed = 0
            self._open_s = self._first_s
            self._opened_at = None

    def failed(self) -> None:
        """No answer, or a broken one. What fails while it is open began before, and is no further evidence."""
        circuit = self.circuit
        if circuit is Circuit.OPEN:
            return
        self._failed += 1
        if circuit is Circuit.TRIAL:
            self._open_s = min(self._open_s * 2, self._longest_s)
        if circuit is Circuit.TRIAL or self._failed >= self._allowed:
            self._opened_at = self._clock()
