"""Makes of a model's events what it meant: text, tool calls ready to run, and what is wrong with it.

Pure functions; knows no engine. How calls are written is engines.call_forms' knowledge.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inhouse.agent.arguments import find_fault, fit_arguments
from inhouse.agent.records import CallRecord, CallStatus
from inhouse.agent.tools.base import Tool
from inhouse.engines.base import DoneEvent, Event, TextEvent, ToolCallEvent
from inhouse.engines.call_forms import read_arguments, read_calls
from inhouse.engines.mended_json import read_json

_REFUSAL = re.compile(
    r"^\W*(?:i'?m sorry|sorry|i can(?:'|no)?t|i am (?:not able|unable)|i'm (?:not able|unable)|as an ai\b"
    r"|죄송|미안하지만|도와드릴 수 없)",
    re.IGNORECASE,
)
_CALL_LIKE = re.compile(r"<tool_call>|<function=|\[TOOL_CALLS\]|^\s*\{\s*[\"'](?:name|tool|function)[\"']\s*:")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an answer means. `problem` is empty where it can be used as it is:

    empty, unreadable call, unknown tool, invalid arguments (these ask for a repair), cut off, refusal (these do not).
    """

    text: str
    calls: tuple[CallRecord, ...]
    problem: str
    finish: str | None


REPAIRABLE = ("empty", "unreadable call", "unknown tool", "invalid arguments")

# What the model is told where there is no call to answer with the fault.
HINTS = {
    "empty": "Your answer was empty. Answer the question, or call a tool.",
    "unreadable call": (
        "Your tool call could not be read. Write it as one JSON object: "
        '{"name": <function-name>, "arguments": <args-json-object>}'
    ),
}


def read_answer(events: Sequence[Event], step: int, tools: Mapping[str, Tool]) -> Meaning:
    """The meaning of the events that answer step `step`, for an agent with those tools."""
    text = "".join(event.text for event in events if isinstance(event, TextEvent))
    finish = next((event.finish_reason for event in events if isinstance(event, DoneEvent)), None)
    written = [
        (event.call.name, event.call.arguments, event.form, ())
        for event in events
        if isinstance(event, ToolCallEvent)
    ]  # fmt: skip
    found: list[tuple[str, str, str, tuple[str, ...]]] = list(written)
    if not found and tools and text.strip():
        specs = [tool.spec for tool in tools.values()]
        read, rest = read_calls(text, specs, lenient=True)
        if read:
            found = [(call.name, call.arguments, call.form, call.mended) for call in read]
            text = rest
        else:
            text, found = _plain(text, found)
    calls = tuple(_check(step, index, *one, tools) for index, one in enumerate(found))
    return Meaning(text.strip(), calls, _problem(text, calls, finish, bool(tools)), finish)


def _plain(
    text: str, found: list[tuple[str, str, str, tuple[str, ...]]]
) -> tuple[str, list[tuple[str, str, str, tuple[str, ...]]]]:
    """A text without a call of an offered tool: an answer in JSON is unpacked, a call of another tool is noticed."""
    try:
        value, _, mended = read_json(text.strip())
    except ValueError:
        return text, found
    if isinstance(value, dict):
        if set(value) == {"answer"} and isinstance(value["answer"], str):
            return value["answer"], found
        name, arguments = value.get("name"), value.get("arguments", value.get("parameters"))
        if isinstance(name, str) and isinstance(arguments, dict):
            import json

            return "", [(name, json.dumps(arguments, ensure_ascii=False), "json", mended)]
    return text, found


def _check(
    step: int, index: int, name: str, written: str, form: str, mended: tuple[str, ...], tools: Mapping[str, Tool]
) -> CallRecord:
    """The call, planned if it can be run, else invalid with what is wrong as its content."""
    arguments, more = read_arguments(written)
    mended = (*mended, *more)

    def invalid(reason: str, content: str) -> CallRecord:
        return CallRecord(
            step, index, name, written, arguments or {}, form, CallStatus.INVALID, mended, reason, f"Error: {content}"
        )

    tool = tools.get(name)
    if tool is None:
        near = difflib.get_close_matches(name, tools, n=2)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        return invalid(
            "unknown tool", f"there is no tool {name!r}.{meant} The tools are: {', '.join(tools) or 'none'}."
        )
    if arguments is None:
        return invalid("invalid arguments", f"the arguments of {name} must be one JSON object.")
    arguments, fitted = fit_arguments(arguments, tool.parameters)
    mended = (*mended, *fitted)
    if fault := find_fault(arguments, tool.parameters):
        return invalid("invalid arguments", f"the arguments of {name} do not fit: {fault}. Call it again, mended.")
    return CallRecord(step, index, name, written, arguments, form, CallStatus.PLANNED, mended)


def _problem(text: str, calls: Sequence[CallRecord], finish: str | None, tools: bool) -> str:
    invalid = [call.reason for call in calls if call.status is CallStatus.INVALID]
    if invalid:
        return invalid[0]
    if calls:
        return ""
    if not text.strip():
        return "empty"
    if finish == "content_filter" or _REFUSAL.match(text):
        return "refusal"
    if tools and _CALL_LIKE.search(text):
        return "unreadable call"
    return "cut off" if finish == "length" else ""
