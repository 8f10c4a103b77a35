"""The seam of a queue before an engine: a bounded number wait for its slots, each caller gets its share of them.

fair_queue.py is the queue of one process, shared_queue.py that of several. Nothing here knows models or engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from inhouse.core.errors import DeadlineExceeded, InhouseError, QueueFull


class Ticket(Protocol):
    """The right to use a slot, from `Queue.enter` until `leave`."""

    waited_s: float

    def leave(self, *, complete: bool = True) -> None:
        """Gives the slot back, once. `complete` False: the time it took says nothing of others' times."""
        ...


class Queue(Protocol):
    """What grants slots."""

    @property
    def shared(self) -> str | None:
        """The name under which several processes have this queue together; None where it is this process's own."""
        ...

    @property
    def slots(self) -> int:
        """Requests that may run at once; 0 makes all wait."""
        ...

    @property
    def waiting(self) -> int:
        """Requests that wait now."""
        ...

    @property
    def running(self) -> int:
        """Requests that hold a slot now."""
        ...

    def waiting_by_caller(self) -> Mapping[str, int]:
        """Requests that wait now in this process, by whose they are."""
        ...

    async def enter(
        self, caller: str, *, priority: int = 0, deadline_s: float | None = None, cost: float = 1.0
    ) -> Ticket:
        """Waits for a slot.

        Args:
            caller: whose share it is taken from.
            priority: a higher one always goes first.
            deadline_s: seconds within which it must be granted; refused at once where that looks impossible.
            cost: of the request against others (its tokens), from which its time is guessed.

        Raises:
            QueueFull: no place to wait, or lost it to a caller who has fewer waiting.
            DeadlineExceeded: cannot be granted, or was not, within `deadline_s`.
        """
        ...

    def resize(self, slots: int, *, opens_in_s: float | None = None) -> None:
        """Another number of slots from now on. `opens_in_s`: when the first is expected, where there is none."""
        ...

    def abandon(self, error: InhouseError) -> None:
        """Ends all waiting in this process with the error."""
        ...

    async def refresh(self) -> None:
        """Brings `waiting` and `running` of a queue that processes share up to date.

        Raises:
            SharedStateLost: what they share does not answer.
        """
        ...

    async def close(self) -> None:
        """Frees what it holds."""
        ...


def again(error: InhouseError) -> InhouseError:
    """A copy to raise elsewhere: one exception raised by many tasks would gather all their tracebacks."""
    return type(error)(error.what, why=error.why, do=error.do)


def full(waiting: int, expected_s: float | None) -> QueueFull:
    """The error for a request that finds no place."""
    return QueueFull(
        "The model is overloaded",
        why=f"{waiting} requests wait for it already",
        do="Try again later",
        # By then half of what waits now is done; no client heeds more than a minute.
        retry_after_s=min(max(1.0, (expected_s or 1.0) / 2), 60.0),
    )


def too_late(deadline_s: float, wait_s: float | None) -> DeadlineExceeded:
    """The error for a request that cannot start in time; `wait_s` where that was known beforehand."""
    if wait_s is None:
        return DeadlineExceeded(
            f"The request did not get its turn within {deadline_s:g} s", do="Try again later", retry_after_s=1.0
        )
    return DeadlineExceeded(
        f"The request could not be started within {deadline_s:g} s",
        why=f"it may have to wait for {wait_s:.1f} s",
        do="Try again later, or allow it more time",
        retry_after_s=max(1.0, wait_s - deadline_s),
    )
