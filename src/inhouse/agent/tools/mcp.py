"""Tools of MCP servers (Model Context Protocol), over stdio or HTTP. Needs inhouse[mcp].

The file that names them has the form that other programs use: {"mcpServers": {NAME: {"command": …, "args": […],
"env": {…}} or {"url": …, "headers": {…}}}}. Beside those, `readOnly` lists tools without an effect, and `trusted`
lets the server's own hints say so (what a server says of itself is its word only).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.core.errors import MissingExtra, ToolError, UsageError

_NAME = re.compile(r"[^A-Za-z0-9_-]")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class McpServer:
    """How a server is reached: a command that is started here, or an address."""

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    read_only: frozenset[str] = frozenset()
    trusted: bool = False


def read_servers(path: Path) -> list[McpServer]:
    """The servers that a file names; ${NAME} in it is the environment's. UsageError where it cannot be read."""
    try:
        servers = json.loads(path.read_text(encoding="utf-8"))["mcpServers"]
        return [_server(name, entry) for name, entry in servers.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path} names no MCP servers", why=why, do='Write {"mcpServers": {"name": …}}') from None


@asynccontextmanager
async def mcp_tools(servers: list[McpServer]) -> AsyncIterator[list[Tool]]:
    """The tools of the servers, connected as long as this is open; a tool goes by SERVER_TOOL.

    Leave it in the task that entered it. UsageError where a server cannot be reached.
    """
    try:
        from mcp import Client, MCPError, StdioServerParameters
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client
    except ImportError:
        raise MissingExtra(
            "MCP servers need a package that is not installed", do="pip install 'inhouse[mcp]'"
        ) from None
    tools: list[Tool] = []
    async with AsyncExitStack() as stack:
        for server in servers:
            target: Any = StdioServerParameters(
                command=server.command, args=list(server.args), env=dict(server.env), cwd=server.cwd
            )
            try:
                if server.url:
                    http = await stack.enter_async_context(create_mcp_http_client(headers=dict(server.headers)))
                    target = streamable_http_client(server.url, http_client=http)
                client = await stack.enter_async_context(Client(target, read_timeout_seconds=TIMEOUT_S))
                listed = await _listed(client)
            except (OSError, MCPError, ValueError, RuntimeError, ExceptionGroup) as error:
                raise UsageError(
                    f"The MCP server {server.name} cannot be used",
                    why=str(_first(error)) or type(error).__name__,
                    do=f"Check {'its address ' + server.url if server.url else 'its command ' + server.command}",
                ) from None
            tools += [_tool(server, client, one, MCPError) for one in listed]
        yield tools


async def _listed(client: Any) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None or len(found) > 1000:
            return found


def _tool(server: McpServer, client: Any, one: Any, failure: type[Exception]) -> Tool:
    hints = one.annotations
    harmless = one.name in server.read_only or (server.trusted and hints is not None and bool(hints.read_only_hint))
    keyed = server.trusted and hints is not None and bool(hints.idempotent_hint)

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        try:
            result = await client.call_tool(one.name, dict(arguments))
        except failure as error:
            raise ToolError(f"{server.name} could not do {one.name}", why=str(error), retryable=True) from None
        text = "\n".join(_text(part) for part in result.content)
        if result.is_error:
            raise ToolError(text or f"{one.name} failed")
        return ToolResult(text, result.structured_content, True, f"MCP {server.name}")

    return Tool(
        _NAME.sub("_", f"{server.name}_{one.name}")[:64],
        one.description or one.name,
        one.input_schema,
        run,
        "none" if harmless else "effect",
        trusted=False,
        keyed=keyed,
        timeout_s=TIMEOUT_S,
        retries=1,
    )


def _text(part: Any) -> str:
    if part.type == "text":
        return str(part.text)
    if part.type == "resource" and hasattr(part.resource, "text"):
        return str(part.resource.text)
    return f"[{part.type}: {getattr(part, 'mime_type', None) or getattr(part, 'uri', '')}]"


def _server(name: str, entry: Mapping[str, Any]) -> McpServer:
    if bool(entry.get("command")) == bool(entry.get("url")):
        raise ValueError(f"{name} needs a command or a url")
    return McpServer(
        name,
        _filled(entry.get("command", "")),
        tuple(_filled(one) for one in entry.get("args", ())),
        {key: _filled(value) for key, value in entry.get("env", {}).items()},
        entry.get("cwd"),
        _filled(entry.get("url", "")),
        {key: _filled(value) for key, value in entry.get("headers", {}).items()},
        frozenset(entry.get("readOnly", ())),
        bool(entry.get("trusted", False)),
    )


def _filled(text: str) -> str:
    def value(found: re.Match[str]) -> str:
        if found.group(1) not in os.environ:
            raise ValueError(f"{found.group(1)} is not set")
        return os.environ[found.group(1)]

    return _VARIABLE.sub(value, text)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
