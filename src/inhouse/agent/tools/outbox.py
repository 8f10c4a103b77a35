"""Tools that write what a person then sends or works on: an e-mail draft, a ticket. Nothing is sent from here.

Each file is named by the call's idempotency key: the same call made again finds its file and writes no second one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.tools.folder import Folder
from inhouse.agent.tools.settings import outbox, tool_settings
from inhouse.core.errors import ToolError
from inhouse.core.settings import Settings

_TEXT = {"type": "string", "minLength": 1, "maxLength": 20_000}
_LINE = {"type": "string", "minLength": 1, "maxLength": 300}
_KEY = re.compile(r"[^A-Za-z0-9_-]")


def make_draft(settings: Settings) -> Tool:
    """The tool that writes an e-mail draft."""
    parameters = {
        "type": "object",
        "properties": {
            "to": {"type": "array", "items": _LINE, "minItems": 1, "maxItems": 50, "description": "E-mail addresses."},
            "subject": _LINE,
            "body": _TEXT,
        },
        "required": ["to", "subject", "body"],
        "additionalProperties": False,
    }
    run = partial(_draft, outbox(settings, tool_settings()))
    return Tool("email_draft", "Writes an e-mail draft for the user to send.", parameters, run, effect="effect")


def make_ticket(settings: Settings) -> Tool:
    """The tool that writes a ticket."""
    parameters = {
        "type": "object",
        "properties": {
            "title": _LINE,
            "description": _TEXT,
            "priority": {"type": "string", "enum": ["low", "normal", "high"]},
        },
        "required": ["title", "description"],
        "additionalProperties": False,
    }
    run = partial(_ticket, outbox(settings, tool_settings()))
    return Tool("ticket", "Opens a ticket for the support team.", parameters, run, effect="effect")


async def _draft(folder: Path, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    message = EmailMessage(policy=SMTP)
    try:
        message["To"] = [_address(one) for one in arguments["to"]]
        message["Subject"] = arguments["subject"]
    except (ValueError, MessageError) as error:  # a line break in a header would begin another one
        raise ToolError("The draft's head cannot be written", why=str(error)) from None
    message["Date"] = format_datetime(context.clock())
    message["X-Unsent"] = "1"  # mail programs open it as a draft
    message.set_content(arguments["body"])
    name = f"drafts/{key_name(context)}.eml"
    await asyncio.to_thread(keep, folder, name, message.as_bytes())
    told = f"Draft kept as {name}; the user has to send it."
    return ToolResult(told, {"file": name, "to": list(arguments["to"])}, source=name)


async def _ticket(folder: Path, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    name = f"tickets/{key_name(context)}.json"
    ticket = {
        "title": arguments["title"],
        "description": arguments["description"],
        "priority": arguments.get("priority", "normal"),
        "by": context.person,
        "at": context.clock().isoformat(timespec="seconds"),
    }
    await asyncio.to_thread(keep, folder, name, orjson.dumps(ticket, option=orjson.OPT_INDENT_2))
    return ToolResult(f"Ticket kept as {name}.", {"file": name}, source=name)


def keep(folder: Path, name: str, content: bytes) -> None:
    """Writes the file below the folder unless it is there: then the call was made before."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Folder(folder).write(name, content, new=True)
    except OSError as error:
        raise ToolError(f"{name} cannot be written", why=error.strerror or str(error), retryable=True) from None


def key_name(context: ToolContext) -> str:
    """The idempotency key as a file's name."""
    return _KEY.sub("_", context.idempotency_key)


def _address(text: str) -> Address:
    found = Address(addr_spec=text.strip())
    if not found.domain:
        raise ValueError(f"{text!r} is no e-mail address")
    return found
