"""The calendar tools: events as iCalendar files (RFC 5545) in one folder, which calendar programs can subscribe to.

Reads single events; those that repeat (RRULE) are told with their first date only, and marked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.tools.outbox import keep, key_name
from inhouse.agent.tools.settings import outbox, tool_settings
from inhouse.core.errors import ToolError
from inhouse.core.settings import Settings

_DAY = {"type": "string", "description": "YYYY-MM-DD"}
_MOST_FILES, _MOST_BYTES = 2000, 1_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """An event, in the machine's time zone. `all_day`: its times are midnights."""

    start: datetime
    end: datetime
    title: str
    all_day: bool = False
    repeats: bool = False


def make_events(settings: Settings) -> Tool:
    """The tool that tells the events between two days."""
    parameters = {
        "type": "object",
        "properties": {"first": _DAY, "last": {**_DAY, "description": "YYYY-MM-DD; default: the first day."}},
        "required": ["first"],
        "additionalProperties": False,
    }
    run = partial(_events, outbox(settings, tool_settings()) / "calendar")
    # Others write invitations: what an event is called is not trusted.
    return Tool("calendar_events", "Tells the events on days.", parameters, run, trusted=False, retries=0)


def make_add(settings: Settings) -> Tool:
    """The tool that adds an event."""
    parameters = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 200},
            "start": {"type": "string", "description": "YYYY-MM-DDTHH:MM, local time."},
            "minutes": {"type": "integer", "minimum": 1, "maximum": 10_080, "description": "Default 60."},
        },
        "required": ["title", "start"],
        "additionalProperties": False,
    }
    run = partial(_add, outbox(settings, tool_settings()))
    return Tool("calendar_add", "Adds an event to the calendar.", parameters, run, effect="effect")


async def _events(folder: Path, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    zone = context.clock().astimezone().tzinfo
    first = _day(arguments["first"])
    last = _day(arguments.get("last", arguments["first"]))
    if not first <= last <= first + timedelta(days=366):
        raise ToolError("The last day must follow the first, within a year")
    begin = datetime.combine(first, time(), zone)
    end = datetime.combine(last + timedelta(days=1), time(), zone)
    found = sorted(await asyncio.to_thread(lambda: list(_stored(folder, zone))), key=lambda event: event.start)
    shown = [one for one in found if one.start < end and max(one.end, one.start + timedelta(seconds=1)) > begin]
    lines = [_line(one) for one in shown]
    return ToolResult("\n".join(lines) or "No events.", [_line(one) for one in shown], source="calendar")


async def _add(folder: Path, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    try:
        start = datetime.fromisoformat(arguments["start"])
    except ValueError:
        raise ToolError(f"{arguments['start']!r} is no time", do="Write it as 2026-03-01T14:00") from None
    start = start if start.tzinfo else start.replace(tzinfo=context.clock().astimezone().tzinfo)
    end = start + timedelta(minutes=arguments.get("minutes", 60))
    key = key_name(context)
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//inhouse//agent//EN", "BEGIN:VEVENT", f"UID:{key}@inhouse",
        f"DTSTAMP:{_stamp(context.clock())}", f"DTSTART:{_stamp(start)}", f"DTEND:{_stamp(end)}",
        f"SUMMARY:{_escaped(arguments['title'])}", "END:VEVENT", "END:VCALENDAR", "",
    ]  # fmt: skip
    await asyncio.to_thread(keep, folder, f"calendar/{key}.ics", "\r\n".join(map(_folded, lines)).encode())
    return ToolResult(f"Added: {_line(Event(start, end, arguments['title']))}", source="calendar")


def _stored(folder: Path, zone: Any) -> Iterator[Event]:
    for path in sorted(folder.glob("*.ics"))[:_MOST_FILES]:
        try:
            if path.stat().st_size <= _MOST_BYTES:
                yield from read_events(path.read_text(encoding="utf-8", errors="replace"), zone)
        except OSError:
            continue  # gone since it was listed


def read_events(text: str, zone: Any) -> Iterator[Event]:
    """The events of an iCalendar text, their times in `zone`; one that cannot be read is left out."""
    lines = re.sub(r"\r?\n[ \t]", "", text).splitlines()
    fields: dict[str, tuple[str, str]] | None = None
    for line in lines:
        head, _, value = line.partition(":")
        name, _, parameters = head.upper().partition(";")
        if line.upper() == "BEGIN:VEVENT":
            fields = {}
        elif line.upper() == "END:VEVENT" and fields is not None:
            with suppress(ValueError, KeyError, ZoneInfoNotFoundError):
                yield _event(fields, zone)
            fields = None
        elif fields is not None:
            # The zone's name keeps its case.
            fields[name] = (head[len(name) + 1 :] if parameters else "", value)


def _event(fields: Mapping[str, tuple[str, str]], zone: Any) -> Event:
    parameters, value = fields["DTSTART"]
    start, all_day = _moment(parameters, value, zone)
    length = timedelta(days=1) if all_day else timedelta()
    end = _moment(*fields["DTEND"], zone)[0] if "DTEND" in fields else start + length
    title = re.sub(r"\\([,;\\])", r"\1", fields.get("SUMMARY", ("", "(untitled)"))[1].replace("\\n", " "))
    return Event(start, end, title, all_day, "RRULE" in fields)


def _moment(parameters: str, value: str, zone: Any) -> tuple[datetime, bool]:
    if re.fullmatch(r"\d{8}", value):
        return datetime.combine(datetime.strptime(value, "%Y%m%d").replace(tzinfo=zone).date(), time(), zone), True
    given = re.search(r"TZID=\"?([^;\"]+)", parameters, re.IGNORECASE)
    its = UTC if value.endswith("Z") else ZoneInfo(given.group(1)) if given else zone
    moment = datetime.strptime(value.removesuffix("Z"), "%Y%m%dT%H%M%S").replace(tzinfo=its)
    return moment.astimezone(zone), False


def _line(event: Event) -> str:
    when = f"{event.start:%Y-%m-%d}" if event.all_day else f"{event.start:%Y-%m-%d %H:%M} to {event.end:%H:%M}"
    return f"{when} {event.title}{' (repeats)' if event.repeats else ''}"


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ToolError(f"{text!r} is no date", do="Write it as YYYY-MM-DD") from None


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escaped(text: str) -> str:
    return re.sub(r"([,;\\])", r"\\\1", " ".join(text.split()))


def _folded(line: str) -> str:
    """A line of at most 75 bytes, continued on the next ones (RFC 5545, 3.1)."""
    pieces, piece = [], ""
    for sign in line:
        if len((piece + sign).encode()) > 74:
            pieces.append(piece)
            piece = ""
        piece += sign
    return "\r\n ".join([*pieces, piece])
