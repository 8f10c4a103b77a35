"""What an agent is: its model, prompt, tools and limits. JSON-able, kept with each conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from inhouse.core.errors import UsageError

SYSTEM = (
    "You are a careful assistant that works with tools. Use a tool where it is needed to answer, and answer from what "
    "it returned. Where no tool fits, answer yourself. Answer in the language of the question, in few words."
)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a turn is stopped. Each counts from the person's last message; None: no limit.

    `repairs` are answers in a row that could not be used; `same_call` is how often the very same call may be made.
    """

    steps: int = 12
    tokens: int | None = None
    krw: float | None = None
    seconds: float | None = None
    repairs: int = 2
    same_call: int = 3
    engine_retries: int = 2


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """An agent. `tool_form`: how calls are asked for: "native" (as the engine offers tools), "text" (described in
    the system message), "schema" (as text, the answer held to a JSON schema of calls and answers).

    `context` is the window in tokens; `memory` "summary" tells older turns in short and recalls those that touch
    the question, "truncate" just leaves the oldest out.
    """

    model: str
    engine: str = "embedded"
    system: str = SYSTEM
    tools: tuple[str, ...] = ()
    tool_form: Literal["native", "text", "schema"] = "native"
    context: int = 4096
    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float | None = None
    seed: int = 0
    memory: Literal["summary", "truncate"] = "summary"
    limits: Limits = field(default_factory=Limits)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AgentConfig:
        """The inverse of `to_dict`; what a newer version added is left out."""
        known = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        try:
            known["tools"] = tuple(known.get("tools", ()))
            limits = known.get("limits", {})
            known["limits"] = Limits(**{one.name: limits[one.name] for one in fields(Limits) if one.name in limits})
            return cls(**known)
        except TypeError as error:
            raise UsageError("The agent's configuration cannot be read", why=str(error)) from None

    def with_(self, **changes: Any) -> AgentConfig:
        """The same but for the changes that are not None."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})
