"""The calculator tool: exact arithmetic with units, percent and dates. Computing is arithmetic.py's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inhouse.agent.tools.arithmetic import compute
from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.core.settings import Settings

PARAMETERS = {
    "type": "object",
    "properties": {
        "expression": {
            "type": "string",
            "minLength": 1,
            "description": "Such as (1200 + 10%) * 3, 5 km to miles, 72 F in C, 2026-12-25 - today.",
        }
    },
    "required": ["expression"],
    "additionalProperties": False,
}


def make(settings: Settings) -> Tool:
    """The tool; it has no settings."""
    return Tool("calculator", "Computes numbers, units, percents and dates.", PARAMETERS, run, timeout_s=2.0, retries=0)


async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    """Answers one call."""
    text, value = compute(arguments["expression"], context.clock().astimezone().date())
    return ToolResult(text, {"value": value}, source="calculator")
