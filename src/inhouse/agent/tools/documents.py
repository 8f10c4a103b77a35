"""The document-search tool over any search that is passed in. What documents say is never trusted. Knows no index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult

PARAMETERS = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "minLength": 1, "maxLength": 500},
        "count": {"type": "integer", "minimum": 1, "maximum": 10, "description": "Passages; default 4."},
    },
    "required": ["query"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document: its text, the document's name, and where in it."""

    text: str
    document: str
    place: str = ""


Search = Callable[[str, int], Awaitable[Sequence[Passage]]]
"""The passages that fit a question best, at most so many."""


def make_search(search: Search, about: str = "the company's documents") -> Tool:
    """The tool over that search."""
    run = partial(_search, search)
    return Tool("search_documents", f"Searches {about}.", PARAMETERS, run, trusted=False, timeout_s=30.0, retries=1)


async def _search(search: Search, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    found = await search(arguments["query"], arguments.get("count", 4))
    parts = []
    for number, one in enumerate(found, 1):
        place = f", {one.place}" if one.place else ""
        parts.append(f"[{number}] {one.document}{place}\n{one.text}")
    data = [{"document": one.document, "place": one.place} for one in found]
    return ToolResult("\n\n".join(parts) or "Nothing was found.", data, True, "documents")
