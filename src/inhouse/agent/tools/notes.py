"""Tools over the agent's own memory: read on in a result that was cut, and remember a fact about the person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inhouse.agent.facts import insert_fact
from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.core.errors import ToolError
from inhouse.core.settings import Settings

READ_MORE = "read_more"
_PIECE = 4000  # characters


def make_read_more(settings: Settings) -> Tool:
    """The tool that reads on; offered only where a result was cut."""
    parameters = {
        "type": "object",
        "properties": {
            "handle": {"type": "string", "description": "As named at the end of the cut result."},
            "start": {"type": "integer", "minimum": 0, "description": "From which character on."},
            "find": {"type": "string", "description": "Or: read around the first place that holds this text."},
        },
        "required": ["handle"],
        "additionalProperties": False,
    }
    # What it returns is as trusted as what it reads from, which it cannot know: so not.
    return Tool(READ_MORE, "Reads on in a tool result that was cut.", parameters, _read_more, trusted=False)


def make_remember(settings: Settings) -> Tool:
    """The tool that keeps a fact about the person for later conversations."""
    parameters = {
        "type": "object",
        "properties": {"fact": {"type": "string", "minLength": 1, "maxLength": 300}},
        "required": ["fact"],
        "additionalProperties": False,
    }
    description = "Remembers a lasting fact about the user for later conversations."
    return Tool("remember", description, parameters, _remember, effect="effect")


async def _read_more(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    handle = arguments["handle"]
    text = context.read_result(handle)
    if text is None:
        raise ToolError(f"there is no result {handle!r}", do="Use the handle as the cut result names it")
    start = int(arguments.get("start", 0))
    if find := arguments.get("find"):
        place = text.casefold().find(find.casefold())
        if place < 0:
            raise ToolError(f"the result does not hold {find!r}")
        start = max(0, place - _PIECE // 4)
    piece = text[start : start + _PIECE]
    end = start + len(piece)
    more = f"\n[characters {start} to {end} of {len(text)}]"
    return ToolResult(piece + more, {"start": start, "end": end, "of": len(text)}, source=handle)


async def _remember(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    fact = " ".join(arguments["fact"].split())
    now, person, conversation = context.clock(), context.person, context.conversation
    # Kept in the transaction that records the call as done: never twice, never half.
    return ToolResult(
        f"Remembered: {fact}",
        commit=lambda connection: insert_fact(connection, person, fact, now, conversation_id=conversation),
    )
