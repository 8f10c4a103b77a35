"""Ollama's request bodies: their schema, and how each becomes a request to an engine.

Fields that we do not know are ignored, as Ollama does; what it would honour and no engine here can is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from inhouse.core.errors import InvalidRequest
from inhouse.engines.base import ChatRequest, Message, ToolCall, ToolSpec
from inhouse.gateway.openai_requests import ANY_OBJECT

_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
_Name = Annotated[str, Meta(min_length=1, max_length=256)]


class OllamaFunction(Struct, kw_only=True):
    """What an assistant message said to call; the arguments are an object."""

    name: str
    arguments: dict[str, Any] = {}


class OllamaToolCall(Struct, kw_only=True):
    """A tool call of an assistant message."""

    function: OllamaFunction
    id: str | None = None


class OllamaMessage(Struct, kw_only=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    images: list[str] | None = None
    tool_calls: list[OllamaToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class OllamaFunctionSpec(Struct, kw_only=True):
    """A function on offer."""

    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None


class OllamaTool(Struct, kw_only=True):
    """A tool on offer."""

    function: OllamaFunctionSpec
    type: str | None = None


class OllamaOptions(Struct, kw_only=True):
    """How to answer; num_predict under 1 is no limit."""

    num_ctx: _Int32 | None = None
    num_predict: _Int32 | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: _Int32 | None = None
    repeat_penalty: Annotated[float, Meta(ge=0, le=10)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-10, le=10)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-10, le=10)] | None = None
    seed: _Int64 | None = None
    stop: str | list[str] | None = None


class _Asking(Struct, kw_only=True):
    model: _Name
    stream: bool | None = None
    format: str | dict[str, Any] | None = None
    options: OllamaOptions | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


class OllamaChatBody(_Asking, kw_only=True):
    """POST /api/chat. Without messages it only loads the model."""

    messages: list[OllamaMessage] | None = None
    tools: list[OllamaTool] | None = None


class GenerateBody(_Asking, kw_only=True):
    """POST /api/generate. Without a prompt it only loads the model."""

    prompt: str | None = None
    system: str | None = None
    suffix: str | None = None
    images: list[str] | None = None
    template: str | None = None
    raw: bool | None = None
    context: list[int] | None = None


class EmbedBody(Struct, kw_only=True):
    """POST /api/embed."""

    model: _Name
    input: str | list[str]
    dimensions: int | None = None


class OldEmbedBody(Struct, kw_only=True):
    """POST /api/embeddings (the older API)."""

    model: _Name
    prompt: str


def chat_request(body: OllamaChatBody) -> ChatRequest:
    """What to ask an engine for."""
    tools = tuple(
        ToolSpec(tool.function.name, tool.function.description or "", tool.function.parameters or ANY_OBJECT)
        for tool in body.tools or ()
    )
    return ChatRequest(model=body.model, messages=tuple(map(_message, body.messages or ())), tools=tools, **_how(body))


def generate_request(body: GenerateBody) -> ChatRequest:
    """What to ask an engine for: the prompt as a user's message, in the model's chat template."""
    _no_images(body.images)
    for name, given in (
        ("raw", body.raw),
        ("template", body.template),
        ("suffix", body.suffix),
        ("context", body.context),
    ):
        if given:
            raise InvalidRequest(f"{name} is not served here", do="Leave it out, or use /api/chat", param=name)
    messages = [Message("system", body.system)] if body.system else []
    if body.prompt:
        messages.append(Message("user", body.prompt))
    return ChatRequest(model=body.model, messages=tuple(messages), **_how(body))


def embed_texts(body: EmbedBody) -> Sequence[str]:
    """The texts to embed."""
    if body.dimensions:
        raise InvalidRequest("dimensions is not served here", do="Leave it out", param="dimensions")
    return [body.input] if isinstance(body.input, str) else body.input


def _how(body: _Asking) -> dict[str, Any]:
    options = body.options or OllamaOptions()
    stop = options.stop
    limit = options.num_predict
    return {
        "max_tokens": limit if limit is not None and limit > 0 else None,
        "context": options.num_ctx if options.num_ctx is not None and options.num_ctx > 0 else None,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
        "repeat_penalty": options.repeat_penalty or None,
        "presence_penalty": options.presence_penalty or None,
        "frequency_penalty": options.frequency_penalty or None,
        "seed": options.seed,
        "stop": () if not stop else (stop,) if isinstance(stop, str) else tuple(filter(None, stop)),
        "json_schema": _schema(body.format),
        "top_logprobs": (body.top_logprobs or 0) if body.logprobs else None,
    }


def _schema(form: str | dict[str, Any] | None) -> dict[str, Any] | None:
    if not form:
        return None
    if isinstance(form, dict):
        return form
    if form != "json":
        raise InvalidRequest("format can be json or a JSON schema", param="format")
    return ANY_OBJECT


def _message(message: OllamaMessage) -> Message:
    _no_images(message.images)
    calls = tuple(
        ToolCall(call.id or f"call_{number}", call.function.name, _json(call.function.arguments))
        for number, call in enumerate(message.tool_calls or ())
    )
    return Message(message.role, message.content or "", calls, message.tool_call_id, message.tool_name)


def _no_images(images: list[str] | None) -> None:
    if images:
        raise InvalidRequest("Images are not served here", do="Send text", param="images")


def _json(value: Any) -> str:
    """As compact JSON; not by orjson, which refuses integers beyond 64 bits, that a client may send."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
