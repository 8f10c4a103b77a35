"""The Tool seam: what a tool says of itself, what it is given with a call, and what it gives back.

Knows no tool and no loop. Time limits, retries and approval are the runtime's; a tool only does its work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection

from inhouse.engines.base import ToolSpec

Effect = Literal["none", "effect"]
"""Whether a call changes anything: one that does is asked about, recorded before it runs, and never repeated."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a call is given beside its arguments.

    `idempotency_key` is the same each time this very call is made, across retries and restarts, and no other
    call's: a tool with an effect hands it on, or keeps by it that the effect has been had.
    `read_result` gives the whole result of an earlier call of the conversation, by its handle.
    """

    conversation: str
    step: int
    idempotency_key: str
    clock: Callable[[], datetime]
    """Wall-clock time, with its zone."""
    person: str = ""
    """Whom the agent works for; facts are kept under this name."""
    allowed_folders: tuple[Path, ...] = ()
    read_result: Callable[[str], str | None] = field(default=lambda handle: None)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call gave: `content` for the model, `data` for programs (JSON).

    `tainted`: outsiders could have written it (a web page, a document), whatever the tool's default.
    `source` says where it came from (an address, a file, "recorded 2026-01-05").
    `commit` is an effect on our own store: done in the one transaction that records the call as done.
    """

    content: str
    data: Any = None
    tainted: bool = False
    source: str = ""
    commit: Callable[[Connection], None] | None = field(default=None, compare=False)


Run = Callable[[Mapping[str, Any], ToolContext], Awaitable[ToolResult]]
"""Does a call. Raises core.errors.ToolError where it cannot, and says there whether trying again may help."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool on offer. `parameters` is the JSON schema of an object; arguments are checked before `run`.

    `trusted` False: whatever it returns is tainted. `keyed` says of a tool with an effect that repeating a call
    under the same idempotency key has no second effect; without it, a call that a kill cut off is not repeated
    but reported as unknown. `timeout_s` is for one attempt, `retries` for further attempts after it.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Run
    effect: Effect = "none"
    trusted: bool = True
    keyed: bool = True
    timeout_s: float = 20.0
    retries: int = 2

    @property
    def spec(self) -> ToolSpec:
        """As an engine is told of it."""
        return ToolSpec(self.name, self.description, self.parameters)
