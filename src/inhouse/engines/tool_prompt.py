"""Tools for models whose chat template has no place for them: offered in the system message, answered as text.

The reverse direction, from text to calls, is tool_calls'. Without this a server drops such tools in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inhouse.engines.base import ChatRequest, Message, ToolCall, ToolSpec
from inhouse.engines.http import encode

# The wording of Qwen 2.5's own template, which the most small models have been trained on.
_OFFER = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


def tools_as_text(request: ChatRequest) -> ChatRequest:
    """The same request with its tools, calls and results as text.

    `tool_choice` "required" becomes a schema that allows nothing but a call.
    """
    messages = [_as_text(message) for message in request.messages]
    schema = request.json_schema
    if request.tool_choice != "none" and request.tools:
        offer = _OFFER.format(tools="\n".join(encode(_declaration(tool)).decode() for tool in request.tools))
        system = messages.pop(0).content + "\n\n" if messages and messages[0].role == "system" else ""
        messages.insert(0, Message("system", system + offer))
        if request.tool_choice == "required" and schema is None:
            schema = _any_call_schema(request.tools)
    return replace(request, messages=tuple(messages), tools=(), tool_choice=None, json_schema=schema)


def _as_text(message: Message) -> Message:
    if message.role == "tool":
        return Message("user", f"<tool_response>\n{message.content}\n</tool_response>")
    if message.tool_calls:
        parts = [message.content, *(_call_text(call) for call in message.tool_calls)]
        return Message(message.role, "\n".join(part for part in parts if part))
    return message


def _call_text(call: ToolCall) -> str:
    return f'<tool_call>\n{{"name": {encode(call.name).decode()}, "arguments": {call.arguments or "{}"}}}\n</tool_call>'


def _declaration(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def call_schema(tool: ToolSpec) -> Mapping[str, Any]:
    """The JSON schema of one call of the tool, as the offer asks for it."""
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": tool.parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _any_call_schema(tools: tuple[ToolSpec, ...]) -> Mapping[str, Any]:
    calls = [call_schema(tool) for tool in tools]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}
