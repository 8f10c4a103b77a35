"""The clock tool: the date and time in any time zone, and how a date lies from today."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.core.errors import ToolError
from inhouse.core.settings import Settings

PARAMETERS = {
    "type": "object",
    "properties": {
        "timezone": {"type": "string", "description": "IANA name such as Asia/Seoul; default: this machine's."},
        "date": {"type": "string", "description": "Only to ask about another day than today: YYYY-MM-DD."},
    },
    "additionalProperties": False,
}


def make(settings: Settings) -> Tool:
    """The tool; it has no settings."""
    return Tool("clock", "Tells the current date, time and weekday.", PARAMETERS, run, timeout_s=2.0, retries=0)


async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    """Answers one call."""
    now = context.clock()
    if zone := arguments.get("timezone"):
        try:
            now = now.astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ToolError(f"{zone!r} is no time zone", do="Give an IANA name such as Asia/Seoul or UTC") from None
    else:
        now = now.astimezone()
    data: dict[str, Any] = {"now": now.isoformat(timespec="seconds"), "weekday": now.strftime("%A")}
    text = f"{now:%Y-%m-%d %H:%M:%S} {now.tzname()}, {now:%A}"
    asked = str(arguments.get("date", "")).strip()
    if asked.lower() not in ("", "today", "now"):  # small models fill in what they need not
        try:
            day = date.fromisoformat(asked)
        except ValueError:
            raise ToolError(f"{asked!r} is no date", do="Write it as YYYY-MM-DD") from None
        days = (day - now.date()).days
        data |= {"date": day.isoformat(), "date_weekday": day.strftime("%A"), "days_from_today": days}
        text += f"; {day.isoformat()} is a {day:%A}, {days:+d} days from today"
    return ToolResult(text, data, source="clock")
