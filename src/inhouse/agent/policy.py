"""The plainest policy over calls: a person is asked about each one that has an effect. Knows no tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inhouse.agent.records import Decision
from inhouse.agent.tools.base import Tool


class AskForEffects:
    """See `records.Policy`."""

    def decide(self, tool: Tool, arguments: Mapping[str, Any], tainted: Sequence[str]) -> Decision:
        """Asks where the tool has an effect, allows otherwise."""
        return Decision("ask", f"{tool.name} has an effect") if tool.effect == "effect" else Decision("allow")


class AllowAll:
    """Runs everything unasked: for evaluations whose tools change nothing real."""

    def decide(self, tool: Tool, arguments: Mapping[str, Any], tainted: Sequence[str]) -> Decision:
        """Allows."""
        return Decision("allow")
