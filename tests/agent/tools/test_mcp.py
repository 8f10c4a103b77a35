"""Tools of real MCP servers, over stdio and over HTTP, are offered, called, and trusted no further than is said."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path

import pytest
from tool_calls_made import make_call

from inhouse.agent.tools.mcp import McpServer, mcp_tools, read_servers
from inhouse.core.errors import ToolError, UsageError

pytest.importorskip("mcp", reason="the package mcp is not installed")
SCRIPT = Path(__file__).parents[2] / "support" / "mcp_notes_server.py"
STDIO = McpServer("notes", command=sys.executable, args=(str(SCRIPT),))


async def test_a_stdio_servers_tools_are_offered_and_called():
    async with mcp_tools([STDIO]) as offered:
        tools = {tool.name: tool for tool in offered}
        added = await make_call(tools["notes_add"], text="milk", stars=2)

        assert added.content == "added milk**"
        assert added.tainted
        assert (await make_call(tools["notes_count"])).content == "1"
        assert tools["notes_add"].parameters["required"] == ["text"]
        with pytest.raises(ToolError, match="empty note"):
            await make_call(tools["notes_add"], text="")
        # What the server says of itself counts only where the user trusts it.
        assert {tool.effect for tool in offered} == {"effect"}


async def test_what_is_read_only_is_the_users_to_say_or_a_trusted_servers():
    from dataclasses import replace

    for server in (replace(STDIO, trusted=True), replace(STDIO, read_only=frozenset({"count"}))):
        async with mcp_tools([server]) as offered:
            assert {tool.name: tool.effect for tool in offered} == {"notes_count": "none", "notes_add": "effect"}


async def test_an_http_servers_tools_are_called():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.1)
        async with mcp_tools([McpServer("web", url=f"http://127.0.0.1:{port}/mcp")]) as offered:
            tools = {tool.name: tool for tool in offered}
            assert (await make_call(tools["web_add"], text="tea")).content == "added tea"
    finally:
        process.terminate()
        await process.wait()


async def test_a_server_that_cannot_be_started_is_named():
    with pytest.raises(UsageError, match="MCP server gone"):
        async with mcp_tools([McpServer("gone", command="/no/such/program")]):
            pass


def test_servers_are_read_from_a_file_with_the_environments_values(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY", "secret")
    path = tmp_path / "mcp.json"
    path.write_text(
        json.dumps(
            {
                "mcpServers": {
                    "a": {"command": "x", "args": ["-v"], "env": {"TOKEN": "${KEY}"}, "readOnly": ["get"]},
                    "b": {"url": "http://b/mcp", "headers": {"Authorization": "Bearer ${KEY}"}, "trusted": True},
                }
            }
        )
    )
    a, b = read_servers(path)

    assert (a.command, a.args, a.env["TOKEN"], a.read_only) == ("x", ("-v",), "secret", {"get"})
    assert (b.url, b.headers["Authorization"], b.trusted) == ("http://b/mcp", "Bearer secret", True)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"mcpServers": {"a": {}}}', '{"mcpServers": {"a": {"command": "${NO_SUCH}"}}}']
)
def test_a_file_that_names_no_servers_is_refused(tmp_path, text):
    path = tmp_path / "mcp.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="names no MCP servers"):
        read_servers(path)
