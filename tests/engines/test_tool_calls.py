"""Tool calls that models write as text are found; text that is none stays as it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.engines.base import (
    ChatRequest,
    DoneEvent,
    Event,
    Message,
    TextEvent,
    TokenLogprob,
    ToolCall,
    ToolCallEvent,
    ToolSpec,
    UsageEvent,
)
from inhouse.engines.tool_calls import with_text_calls
from inhouse.engines.tool_prompt import tools_as_text

WEATHER = ToolSpec("get_weather", "Weather", {"type": "object", "properties": {"city": {"type": "string"}}})
SUM = ToolSpec("add", "Adds", {"type": "object", "properties": {"a": {}, "b": {}}})
CALL = '{"name": "get_weather", "arguments": {"city": "서울"}}'
ARGUMENTS = {"city": "서울"}


async def _events(pieces: list[str], extra: list[Event], finish: str) -> AsyncGenerator[Event, None]:
    for n, piece in enumerate(pieces):
        yield TextEvent(float(n), piece)
    for event in extra:
        yield event
    yield UsageEvent(99.0, 1, 1)
    yield DoneEvent(99.0, finish)  # type: ignore[arg-type]


def run(pieces: list[str], extra: tuple[Event, ...] = (), finish: str = "stop") -> list[Event]:
    async def collect() -> list[Event]:
        return [event async for event in with_text_calls(_events(pieces, list(extra), finish), (WEATHER, SUM))]

    return asyncio.run(collect())


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextEvent))


def calls_of(events: list[Event]) -> list[tuple[str, object]]:
    return [(e.call.name, json.loads(e.call.arguments)) for e in events if isinstance(e, ToolCallEvent)]


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % len(text) for place in places)})
    return [text[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(
    ("written", "around"),
    [
        (CALL, ""),
        (f"\n {CALL}\n", ""),
        (f"[{CALL}]", ""),
        (f"```json\n{CALL}\n```", ""),
        (f"```\n{CALL}```", ""),
        (f"<tool_call>\n{CALL}\n</tool_call>", ""),
        (f"<tool_call>{CALL}", ""),  # the end of text came before the closing tag
        (f"I will look it up.\n<tool_call>\n{CALL}\n</tool_call>", "I will look it up."),
        (f"Sure:\n```json\n{CALL}\n```\nOne moment.", "Sure:\n\nOne moment."),
        ('{"function": {"name": "get_weather", "arguments": "{\\"city\\": \\"서울\\"}"}}', ""),
        ('{"name": "get_weather", "parameters": {"city": "서울"}}', ""),
        ('{"tool_calls": [{"type": "function", "function": ' + CALL + "}]}", ""),
    ],
)  # fmt: skip
def test_each_way_of_writing_a_call_is_read(written, around):
    events = run([written])

    assert calls_of(events) == [("get_weather", ARGUMENTS)]
    assert text_of(events).strip() == around
    assert events[-1].finish_reason == "tool_calls"
    assert isinstance(events[-2], UsageEvent)


@given(st.lists(st.integers(0, 1000), max_size=30), st.sampled_from(["", "Let me see. ", "a < b, `x` "]))
def test_a_call_is_found_wherever_the_text_is_cut(places, before):
    events = run(cut(f"{before}<tool_call>\n{CALL}\n</tool_call>", places))

    assert calls_of(events) == [("get_weather", ARGUMENTS)]
    assert text_of(events).strip() == before.strip()


@given(st.text(alphabet='<tool_cal>`jsn{}[]":, \n가', max_size=60), st.lists(st.integers(0, 1000), max_size=10))
def test_text_without_a_call_passes_unchanged(text, places):
    pieces = cut(text, places) if text else []
    events = run(pieces)

    assert events == [*(TextEvent(float(n), p) for n, p in enumerate(pieces)), *events[-2:]]
    assert events[-1].finish_reason == "stop"


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "delete_everything", "arguments": {}}',
        '{"answer": 42}',
        '{"name": "get_weather", "arguments": [1]}',
        '{"name": "get_weather", "arguments": {"city": ',
        "```python\nprint('hi')\n```",
        '{"name": "get_weather", "arguments": {}} is how one would call it',
        "[" * 10_000,
    ],
)
def test_what_is_no_call_of_an_offered_tool_stays_text(text):
    events = run([text])

    assert calls_of(events) == []
    assert text_of(events) == text


def test_several_calls_keep_their_order_and_have_ids_of_their_own():
    second = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
    for written in (
        f"[{CALL}, {second}]",
        f"{CALL}\n{second}",
        f"<tool_call>{CALL}</tool_call>\n<tool_call>{second}</tool_call>",
    ):
        events = run([written])
        assert calls_of(events) == [("get_weather", ARGUMENTS), ("add", {"a": 1, "b": 2})]
        assert len({event.call.id for event in events if isinstance(event, ToolCallEvent)}) == 2


def test_ordinary_text_is_not_held_back():
    async def first_text_comes_before_the_rest() -> bool:
        gate = asyncio.Event()

        async def source() -> AsyncGenerator[Event, None]:
            yield TextEvent(0.0, "Hello")
            await gate.wait()
            yield TextEvent(1.0, " there")
            yield DoneEvent(2.0, "stop")

        stream = with_text_calls(source(), (WEATHER,))
        first = await asyncio.wait_for(anext(stream), 1.0)
        gate.set()
        rest = [event async for event in stream]
        return first == TextEvent(0.0, "Hello") and len(rest) == 2

    assert asyncio.run(first_text_comes_before_the_rest())


def test_calls_that_the_engine_found_itself_are_left_alone():
    native = ToolCallEvent(5.0, ToolCall("id1", "add", "{}"))
    events = run(["```json\n"], (native,), finish="tool_calls")

    assert [type(event) for event in events] == [TextEvent, ToolCallEvent, UsageEvent, DoneEvent]
    assert events[1] == native


def test_log_probabilities_of_text_held_back_in_vain_are_kept():
    held = TextEvent(1.0, "{", (TokenLogprob("{", -0.5),))

    async def collect() -> list[Event]:
        async def source() -> AsyncGenerator[Event, None]:
            yield held
            yield DoneEvent(2.0, "stop")

        return [event async for event in with_text_calls(source(), (WEATHER,))]

    assert asyncio.run(collect())[0] == held


def test_closing_early_closes_the_engine_s_own_stream():
    async def closed() -> bool:
        ended = asyncio.Event()

        async def source() -> AsyncGenerator[Event, None]:
            try:
                while True:
                    yield TextEvent(0.0, "word ")
            finally:
                ended.set()

        stream = with_text_calls(source(), (WEATHER,))
        await anext(stream)
        await stream.aclose()
        return ended.is_set()

    assert asyncio.run(closed())


def test_tools_written_into_the_prompt_are_all_there_and_read_back_by_the_parser():
    call = ToolCall("c1", "get_weather", json.dumps(ARGUMENTS))
    request = ChatRequest(
        "m",
        (
            Message("system", "Be brief."),
            Message("user", "Weather?"),
            Message("assistant", "Looking.", tool_calls=(call,)),
            Message("tool", "sunny", tool_call_id="c1"),
        ),
        tools=(WEATHER, SUM),
        tool_choice="required",
    )
    system, user, assistant, result = tools_as_text(request).messages

    assert system.content.startswith("Be brief.\n\n")
    assert '"get_weather"' in system.content
    assert '"add"' in system.content
    assert user == Message("user", "Weather?")
    assert calls_of(run([assistant.content])) == [("get_weather", ARGUMENTS)]
    assert result.role == "user"
    assert "sunny" in result.content


def test_a_required_call_becomes_a_schema_of_the_offered_calls_only():
    request = ChatRequest("m", (Message("user", "hi"),), tools=(WEATHER, SUM), tool_choice="required")
    schema = tools_as_text(request).json_schema

    assert [one["properties"]["name"]["const"] for one in schema["anyOf"]] == ["get_weather", "add"]


def test_forbidden_tools_are_not_offered():
    request = ChatRequest("m", (Message("user", "hi"),), tools=(WEATHER,), tool_choice="none")

    assert tools_as_text(request).messages == request.messages
