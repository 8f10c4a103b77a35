"""A small MCP server, over stdio, or over HTTP on the port that it is given: notes that are counted and added."""

from __future__ import annotations

import sys

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("notes")
notes: list[str] = []


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def count() -> int:
    """Counts the notes."""
    return len(notes)


@server.tool()
def add(text: str, stars: int = 0) -> str:
    """Adds a note."""
    if not text:
        raise ToolError("an empty note")
    notes.append(text + "*" * stars)
    return f"added {notes[-1]}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
