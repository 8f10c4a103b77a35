"""What the agent leaves behind: conversations, their steps, and the tool calls of a step. Pure data.

A conversation is its steps in order and nothing else: what happens next follows from them, so that a run can be
resumed, branched and replayed. Knows no database, engine or tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult


class Status(StrEnum):
    """Where a conversation stands. RUNNING without a live process was cut off, and can be resumed."""

    IDLE = "idle"
    RUNNING = "running"
    WAITING = "waiting"
    """A call needs a person's approval."""
    STOPPED = "stopped"
    """A limit, a loop or the engine ended the last turn before its answer; the last step says why."""


class StepKind(StrEnum):
    """What a step is."""

    INPUT = "input"
    """What the person wrote."""
    MODEL = "model"
    """One request to the model and what came back: text, calls, or an error."""
    SUMMARY = "summary"
    """Older steps told in short by the model, to make room in the context."""
    STOP = "stop"
    """The turn ended without an answer."""


class CallStatus(StrEnum):
    """Where a tool call stands."""

    PLANNED = "planned"
    WAITING = "waiting"
    APPROVED = "approved"
    STARTED = "started"
    """An effectful call is being made; recorded before it runs."""
    DONE = "done"
    FAILED = "failed"
    """The tool could not do it."""
    INVALID = "invalid"
    """No such tool, or arguments that its schema does not allow: never run."""
    REFUSED = "refused"
    """A person or a policy said no."""
    UNKNOWN = "unknown"
    """A kill cut an effectful call off, and whether it took effect cannot be known: not repeated."""

    @property
    def ended(self) -> bool:
        """Whether the model can be told its outcome."""
        return self not in _OPEN


_OPEN = {CallStatus.PLANNED, CallStatus.WAITING, CallStatus.APPROVED, CallStatus.STARTED}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a step used. Money in whole numbers: billionths of a US dollar, millionths of a won."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    nano_usd: int = 0
    micro_krw: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.nano_usd + other.nano_usd,
            self.micro_krw + other.micro_krw,
        )

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. `content` is what the model is told; `attempts` 0: it was never run."""

    status: CallStatus
    content: str
    data: Any = None
    tainted: bool = False
    source: str = ""
    attempts: int = 0
    reason: str = ""
    result: ToolResult | None = field(default=None, compare=False)
    """The tool's own result, where it gave one: its `commit` is still to be done."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One tool call of a step. `form` says how the model wrote it (see engines.call_forms), `repaired` what
    had to be mended in it; `written` is its text as the model wrote it, `arguments` what the tool is given.
    """

    step: int
    index: int
    name: str
    written: str
    arguments: Mapping[str, Any]
    form: str
    status: CallStatus
    repaired: tuple[str, ...] = ()
    reason: str = ""
    """Why it waits, was refused or is invalid."""
    content: str = ""
    data: Any = None
    tainted: bool = False
    source: str = ""
    attempts: int = 0
    at: datetime | None = None
    duration_s: float = 0.0
    tokens: int = 0
    """Of `content`, as the model counts."""

    @property
    def handle(self) -> str:
        """By what the model names it, to be answered and to read more of a cut result."""
        return f"call_{self.step}_{self.index}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `data` by kind: MODEL and SUMMARY keep `request` and `events` as sent and received (enough to
    replay them), SUMMARY also `until` (the last step it covers), STOP its `reason`.
    """

    number: int
    kind: StepKind
    text: str
    at: datetime
    duration_s: float = 0.0
    tokens: int = 0
    """Of `text`, as the model counts."""
    usage: Usage = Usage()
    error: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    calls: tuple[CallRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its steps. `config` is AgentConfig as JSON; a branch names where it left."""

    id: str
    title: str
    config: Mapping[str, Any]
    status: Status
    person: str
    created_at: datetime
    updated_at: datetime
    parent_id: str | None = None
    parent_step: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says of a call: run it, ask a person, or refuse it, and why."""

    verdict: Literal["allow", "ask", "refuse"]
    reason: str = ""


class Policy(Protocol):
    """Decides over a call before it runs."""

    def decide(
        self, tool: Tool, arguments: Mapping[str, Any], tainted: Sequence[str], told: Sequence[str] = ()
    ) -> Decision:
        """`tainted`: the texts from outsiders that the model had read when it wrote the call; `told`: what the person
        wrote.
        """
        ...


class Runner(Protocol):
    """Makes one call with the tool's time limit and retries, and tells how it ended; raises nothing but defects."""

    async def __call__(self, tool: Tool, arguments: Mapping[str, Any], context: ToolContext) -> Outcome:
        """Runs the tool; ToolError becomes a FAILED outcome in its own words."""
        ...


class Approver(Protocol):
    """Asks a person about a call. None: nobody is here to say; the conversation waits."""

    async def __call__(self, tool: Tool, call: CallRecord) -> bool | None:
        """True to run it, False to refuse it."""
        ...
