"""Calls of single tools, without an agent around them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def context(*folders: Path, key: str = "talk-1-0") -> ToolContext:
    return ToolContext("talk", 1, key, lambda: NOON, "kim", tuple(folders))


async def make_call(tool: Tool, *folders: Path, key: str = "talk-1-0", **arguments: Any) -> ToolResult:
    return await tool.run(arguments, context(*folders, key=key))
