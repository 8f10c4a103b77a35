"""The requests that the engine contract asks, so that an engine known only by recordings can be recorded with them."""

from __future__ import annotations

from inhouse.engines.base import ChatRequest, Message, ToolCall, ToolSpec

WEATHER = ToolSpec(
    "get_weather",
    "The weather in a city now",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)

# A constant of several scripts: its UTF-8 bytes must survive every border between pieces.
GREETING = "안녕하세요 🙂 — naïve"
GREETING_SCHEMA = {
    "type": "object",
    "properties": {"greeting": {"const": GREETING}},
    "required": ["greeting"],
    "additionalProperties": False,
}

TEXTS = ("The cat sleeps on the sofa.", "Quarterly revenue grew by four percent.", "The cat sleeps on the sofa.")


def ask(model: str, text: str = "Name three colours of the rainbow.", **options: object) -> ChatRequest:
    """A short question, answered the same each time."""
    values: dict[str, object] = {"temperature": 0.0, "seed": 7, "max_tokens": 24}
    return ChatRequest(model, (Message("user", text),), **(values | options))  # type: ignore[arg-type]


def plain(model: str) -> ChatRequest:
    return ask(model)


def cut_at_eight(model: str) -> ChatRequest:
    return ask(model, max_tokens=8)


def stopped_by_text(model: str) -> ChatRequest:
    return ask(model, "Count from 1 to 9, separated by commas: 1, 2, 3, 4,", max_tokens=40, stop=(",",))


def long_answer(model: str) -> ChatRequest:
    """Long enough that it is still being written when it is broken off."""
    return ask(model, "Tell me a long story about a lighthouse.", max_tokens=400)


def too_long(model: str) -> ChatRequest:
    """Does not fit a context of 512 tokens."""
    return ask(model, "All work and no play. " * 150)


def as_schema(model: str) -> ChatRequest:
    return ask(model, "Greet me in JSON.", json_schema=GREETING_SCHEMA, max_tokens=80)


def with_tool(model: str) -> ChatRequest:
    return ask(
        model, "What is the weather in Paris? Use the tool.", tools=(WEATHER,), tool_choice="required", max_tokens=80
    )


def after_tool(model: str) -> ChatRequest:
    call = ToolCall("call_0", "get_weather", '{"city": "Paris"}')
    messages = (
        Message("system", "You are brief."),
        Message("user", "What is the weather in Paris?"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "21 degrees and sunny", tool_call_id="call_0", name="get_weather"),
    )
    return ChatRequest(model, messages, temperature=0.0, seed=7, max_tokens=24, tools=(WEATHER,))


def with_logprobs(model: str) -> ChatRequest:
    return ask(model, max_tokens=8, top_logprobs=3)


ALL = (plain, cut_at_eight, stopped_by_text, too_long, as_schema, with_tool, after_tool, with_logprobs)
"""All that are answered to the end, or refused."""
