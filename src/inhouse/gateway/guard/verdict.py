"""What a check finds and decides: pure data, shared by every detector; never holds the text that was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inhouse.engines.base import Message


class Action(StrEnum):
    """What a policy does about a finding, from the mildest to the strictest."""

    ALLOW = "allow"
    LOG = "log"
    MASK = "mask"
    BLOCK = "block"


_STRICTNESS = {action: rank for rank, action in enumerate(Action)}


def strictest(actions: tuple[Action, ...]) -> Action:
    """The action that covers all of them; ALLOW for none."""
    return max(actions, key=_STRICTNESS.__getitem__, default=Action.ALLOW)


@dataclass(frozen=True, slots=True)
class Span:
    """One thing found in one text: `kind` (phone, secret, injection, …) at characters start to end.

    `score` is the detector's confidence, 0 to 1; `rule` names what fired, for people who tune a policy.
    """

    kind: str
    start: int
    end: int
    score: float = 1.0
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A span in message number `message` of the request (-1: in the answer), and what the policy says of it."""

    kind: str
    start: int
    end: int
    message: int
    action: Action
    score: float = 1.0
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard decided on a request.

    `messages` are to be sent on (masked where `action` is MASK); `restore` maps each placeholder to what it
    stands for, and must not be logged. With a dry run `action` is ALLOW or LOG and `would` says what it
    would have been.
    """

    action: Action
    messages: tuple[Message, ...]
    findings: tuple[Finding, ...] = ()
    restore: Mapping[str, str] = field(default_factory=dict)
    would: Action = Action.ALLOW

    @property
    def blocked(self) -> bool:
        """Whether the request must not be sent on."""
        return self.action is Action.BLOCK

    @property
    def blocking_kinds(self) -> tuple[str, ...]:
        """The kinds that block, each once, in order of appearance."""
        return tuple(dict.fromkeys(finding.kind for finding in self.findings if finding.action is Action.BLOCK))
