"""Makes a call with its tool's time limit, retries with back-off and jitter, and a circuit breaker for each tool.

Knows no tool and no loop; time, chance and sleep come in.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from inhouse.agent.records import CallStatus, Outcome
from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.core.breaker import Breaker, Circuit
from inhouse.core.errors import ToolError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0


class ToolRuntime:
    """A runner (see `records.Runner`); one for a process, so that its breakers remember.

    An effect without `keyed` is tried once: whether a failed attempt took effect cannot be known. What a person
    or the model has to mend (a ToolError that is not retryable) is neither retried nor held against the tool.
    """

    def __init__(
        self,
        *,
        chance: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        failures: int = 3,
        first_s: float = 5.0,
    ) -> None:
        self._chance = chance or random.Random()
        self._clock = clock
        self._sleep = sleep
        self._failures = failures
        self._first_s = first_s
        self._breakers: dict[str, Breaker] = {}

    async def __call__(self, tool: Tool, arguments: Mapping[str, Any], context: ToolContext) -> Outcome:
        """See `records.Runner`."""
        breaker = self._breakers.setdefault(
            tool.name, Breaker(failures=self._failures, first_s=self._first_s, longest_s=300.0, clock=self._clock)
        )
        once = tool.effect == "effect" and not tool.keyed
        for attempt in range(1, (1 if once else tool.retries + 1) + 1):
            if breaker.circuit is Circuit.OPEN:
                return _failed(
                    f"{tool.name} failed {self._failures} times in a row and rests for {breaker.trial_in_s:.0f} s. "
                    "Go on without it.",
                    attempt - 1,
                )
            try:
                async with asyncio.timeout(tool.timeout_s):
                    result = await tool.run(arguments, context)
            except TimeoutError:
                error = ToolError(f"{tool.name} took longer than {tool.timeout_s:g} s", retryable=True)
            except ToolError as raised:
                error = raised
            except Exception as raised:  # noqa: BLE001 - other people's tools: whatever they raise is an answer
                error = ToolError(f"{tool.name} broke", why=f"{type(raised).__name__}: {raised}")
            else:
                breaker.succeeded()
                return done(tool, result, attempt)
            if not error.retryable:
                return _failed(str(error), attempt)
            breaker.failed()
            if attempt <= tool.retries and not once:
                await self._sleep(self._pause(attempt))
        return _failed(str(error), attempt)

    def _pause(self, attempt: int) -> float:
        """Seconds before the next attempt: between half and all of a pause that doubles (equal jitter)."""
        return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (attempt - 1)) * self._chance.uniform(0.5, 1.0))


def done(tool: Tool, result: ToolResult, attempts: int) -> Outcome:
    """A result as a call's end; what an untrusted tool gave is tainted, whatever it says."""
    tainted = result.tainted or not tool.trusted
    return Outcome(CallStatus.DONE, result.content, result.data, tainted, result.source, attempts, result=result)


def _failed(content: str, attempts: int) -> Outcome:
    return Outcome(CallStatus.FAILED, f"Error: {content}", attempts=attempts)
