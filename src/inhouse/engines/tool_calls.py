"""Tool calls that a small model wrote as text, turned into ToolCallEvents, whatever engine it runs in.

Three ways of writing are read: bare JSON as the whole answer, a ```json fence, <tool_call> tags. Only a call
of a tool that was offered counts; everything else stays the text that it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from inhouse.engines.base import DoneEvent, Event, TextEvent, ToolCall, ToolCallEvent, ToolSpec

_MARKS = ("<tool_call>", "```")
_BLOCK = re.compile(
    r"<tool_call>\s*(?P<tagged>.*?)\s*(?:</tool_call>|\Z)"
    r"|```(?:json|tool_call|tool_code)?\s*(?P<fenced>.*?)\s*(?:```|\Z)",
    re.DOTALL,
)
_WRAPPERS = ("function", "function_call", "tool_call", "tool_calls")


async def with_text_calls(
    events: AsyncGenerator[Event, None], tools: Sequence[ToolSpec]
) -> AsyncGenerator[Event, None]:
    """The same events, with calls written as text as ToolCallEvents before the usage.

    Text flows on as it comes until it could be the beginning of a call; from there on it is held back to the
    end of the answer, and passed on as it was (with its times) if it turns out to hold no call.
    """
    names = {tool.name for tool in tools}
    held: list[TextEvent] = []
    passed = ""  # only its last characters matter: a mark may be cut by the border between two pieces
    holding = False
    native = False
    called = False
    async with aclosing(events) as source:
        async for event in source:
            if isinstance(event, TextEvent):
                if not holding:
                    held.append(event)
                    text = "".join(piece.text for piece in held)
                    holding = _begins_call(text, at_start=not passed)
                    if not holding and not _may_begin_call(text):
                        for piece in held:
                            yield piece
                        passed += text
                        held.clear()
                else:
                    held.append(event)
                continue
            native = native or isinstance(event, ToolCallEvent)
            if held:
                calls, rest = ([], "") if native else _split("".join(piece.text for piece in held), names)
                if calls:
                    called = True
                    if rest.strip():
                        yield TextEvent(held[0].at, rest)
                    for number, (name, arguments) in enumerate(calls):
                        yield ToolCallEvent(held[-1].at, ToolCall(f"call_{number}", name, arguments))
                else:
                    for piece in held:
                        yield piece
                held.clear()
                holding = False
            if called and isinstance(event, DoneEvent) and event.finish_reason == "stop":
                event = replace(event, finish_reason="tool_calls")
            yield event
    for piece in held:
        yield piece


def _begins_call(text: str, *, at_start: bool) -> bool:
    return any(mark in text for mark in _MARKS) or (at_start and text.lstrip().startswith(("{", "[")))


def _may_begin_call(text: str) -> bool:
    """Whether the text is blank, or ends in the first characters of a mark."""
    return not text.strip() or any(text.endswith(mark[:n]) for mark in _MARKS for n in range(1, len(mark)))


def _split(text: str, names: set[str]) -> tuple[list[tuple[str, str]], str]:
    """The calls in the text, and the text around them."""
    stripped = text.strip()
    if stripped.startswith(("{", "[")):
        return _calls(stripped, names), ""
    calls: list[tuple[str, str]] = []
    rest = []
    end = 0
    for block in _BLOCK.finditer(text):
        if found := _calls(block["tagged"] or block["fenced"] or "", names):
            calls += found
            rest.append(text[end : block.start()])
            end = block.end()
    rest.append(text[end:])
    return calls, "".join(rest)


def _calls(text: str, names: set[str]) -> list[tuple[str, str]]:
    """Calls from one or more JSON values after one another; none if anything in them is something else."""
    decoder = json.JSONDecoder()
    calls: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError):
            return []
        found = list(_from_value(value, names))
        if not found:
            return []
        calls += found
        while position < len(text) and (text[position].isspace() or text[position] in ",;"):
            position += 1
    return calls


def _from_value(value: Any, names: set[str]) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for item in value:
            yield from _from_value(item, names)
        return
    if not isinstance(value, Mapping):
        return
    if (name := value.get("name")) in names and isinstance(name, str):
        arguments = value.get("arguments", value.get("parameters", {}))
        if isinstance(arguments, str):
            yield name, arguments
        elif isinstance(arguments, Mapping):
            yield name, json.dumps(arguments, ensure_ascii=False)
        return
    for wrapper in _WRAPPERS:
        if wrapper in value:
            yield from _from_value(value[wrapper], names)
