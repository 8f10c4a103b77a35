"""Tools over files in the folder that the user allows (the first, where there are several)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.tools.folder import Folder
from inhouse.core.errors import ToolError
from inhouse.core.settings import Settings
from inhouse.core.units import format_bytes

MOST_BYTES, MOST_ENTRIES = 400_000, 500
_PATH = {"type": "string", "description": "Relative to the allowed folder."}


def make_list(settings: Settings) -> Tool:
    """The tool that lists a folder."""
    parameters = {"type": "object", "properties": {"path": _PATH}, "additionalProperties": False}
    # Names of files may come from outside as well (an unpacked archive): not trusted.
    return Tool("list_files", "Lists the files in a folder.", parameters, _list, trusted=False, retries=0)


def make_read(settings: Settings) -> Tool:
    """The tool that reads a text file."""
    parameters = {
        "type": "object",
        "properties": {"path": _PATH},
        "required": ["path"],
        "additionalProperties": False,
    }
    return Tool("read_file", "Reads a text file.", parameters, _read, trusted=False, retries=0)


def make_write(settings: Settings) -> Tool:
    """The tool that writes a text file; writing the same again changes nothing."""
    parameters = {
        "type": "object",
        "properties": {"path": _PATH, "content": {"type": "string", "maxLength": MOST_BYTES}},
        "required": ["path", "content"],
        "additionalProperties": False,
    }
    return Tool("write_file", "Writes a text file.", parameters, _write, effect="effect", retries=0)


async def _list(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    path = arguments.get("path", "")
    found = await asyncio.to_thread(_folder(context).list, path, MOST_ENTRIES)
    lines = [f"{one.path}/" if one.folder else f"{one.path} ({format_bytes(one.size)})" for one in found]
    if len(found) == MOST_ENTRIES:
        lines.append(f"[only the first {MOST_ENTRIES}]")
    return ToolResult("\n".join(lines) or "The folder is empty.", source=path or ".")


async def _read(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    path = arguments["path"]
    content, size = await asyncio.to_thread(_folder(context).read, path, MOST_BYTES)
    if b"\0" in content[:8192]:
        raise ToolError(f"{path} is no text file")
    try:
        text = content.decode("utf-8", "strict" if size <= MOST_BYTES else "ignore")
    except UnicodeDecodeError:
        text = content.decode("cp949", "replace")  # what older Korean programs write
    cut = f"\n[cut: the file has {format_bytes(size)}]" if size > MOST_BYTES else ""
    return ToolResult(text + cut, source=path)


async def _write(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    path, content = arguments["path"], arguments["content"].encode()
    await asyncio.to_thread(_folder(context).write, path, content)
    return ToolResult(f"Wrote {path} ({format_bytes(len(content))}).", source=path)


def _folder(context: ToolContext) -> Folder:
    if not context.allowed_folders:
        raise ToolError("No folder is allowed", do="The user must name one: --folder PATH")
    return Folder(context.allowed_folders[0])
