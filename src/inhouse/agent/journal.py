"""The journal that the loop writes: a conversation's steps, each kept before the next is begun.

The store's journal survives a kill (conversations.py); this one, in memory, serves replays and evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from sqlalchemy import Connection

from inhouse.agent.records import CallRecord, Step


class Journal(Protocol):
    """One conversation, open for writing by one driver."""

    @property
    def id(self) -> str:
        """The conversation's id."""
        ...

    @property
    def steps(self) -> list[Step]:
        """All steps so far, calls as they stand."""
        ...

    async def append(self, step: Step) -> None:
        """Keeps a step with its calls, all or nothing."""
        ...

    async def set_call(self, call: CallRecord, commit: Callable[[Connection], None] | None = None) -> None:
        """Keeps how a call stands, together with `commit`'s effect, all or nothing."""
        ...


class MemoryJournal:
    """A journal that ends with the process; `commit`s are not done, since there is no store to do them in."""

    def __init__(self, conversation_id: str, steps: Iterable[Step] = ()) -> None:
        self._id = conversation_id
        self._steps = list(steps)

    @property
    def id(self) -> str:
        """See `Journal.id`."""
        return self._id

    @property
    def steps(self) -> list[Step]:
        """See `Journal.steps`."""
        return self._steps

    async def append(self, step: Step) -> None:
        """See `Journal.append`."""
        self._steps.append(step)

    async def set_call(self, call: CallRecord, commit: Callable[[Connection], None] | None = None) -> None:
        """See `Journal.set_call`."""
        self._steps[call.step] = with_call(self._steps[call.step], call)


def with_call(step: Step, call: CallRecord) -> Step:
    """The step with that call in place of its earlier state."""
    calls = tuple(call if one.index == call.index else one for one in step.calls)
    return replace(step, calls=calls)
