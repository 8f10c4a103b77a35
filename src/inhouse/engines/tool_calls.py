"""Tool calls that a model wrote as text in a stream, turned into ToolCallEvents, whatever engine it runs in.

Read strictly (see call_forms): what is written almost right stays the text that it was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from inhouse.engines.base import DoneEvent, Event, TextEvent, ToolCall, ToolCallEvent, ToolSpec
from inhouse.engines.call_forms import MARKS, read_calls


async def with_text_calls(
    events: AsyncGenerator[Event, None], tools: Sequence[ToolSpec]
) -> AsyncGenerator[Event, None]:
    """The same events, with calls written as text as ToolCallEvents before the usage.

    Text flows on as it comes until it could be the beginning of a call; from there on it is held back to the
    end of the answer, and passed on as it was (with its times) if it turns out to hold no call.
    """
    heads = tuple(f"{tool.name}(" for tool in tools)
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
                    holding = _begins_call(text, heads if not passed else ())
                    if not holding and not _may_begin_call(text, heads if not passed else ()):
                        for piece in held:
                            yield piece
                        passed += text
                        held.clear()
                else:
                    held.append(event)
                continue
            native = native or isinstance(event, ToolCallEvent)
            if held:
                calls, rest = ([], "") if native else read_calls("".join(piece.text for piece in held), tools)
                if calls:
                    called = True
                    if rest.strip():
                        yield TextEvent(held[0].at, rest)
                    for number, call in enumerate(calls):
                        yield ToolCallEvent(
                            held[-1].at, ToolCall(f"call_{number}", call.name, call.arguments), form=call.form
                        )
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


def _begins_call(text: str, heads: tuple[str, ...]) -> bool:
    """Whether it holds a mark or, at an answer's very beginning (where there are heads), begins as a call does."""
    begins = bool(heads) and text.lstrip().startswith(("{", "[", *heads))
    return begins or any(mark in text for mark in MARKS)


def _may_begin_call(text: str, heads: tuple[str, ...]) -> bool:
    """Whether the text is blank, or is or ends in the first characters of what begins a call."""
    stripped = text.strip()
    if not stripped or any(head.startswith(stripped) for head in heads):
        return True
    return any(text.endswith(mark[:n]) for mark in MARKS for n in range(1, len(mark)))
