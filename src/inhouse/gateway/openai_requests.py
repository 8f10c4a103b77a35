"""OpenAI's request bodies: their schema, and how each becomes a request to an engine.

Fields that we do not know are ignored, as OpenAI-compatible servers do. A field that would change the answer
and that no engine here can honour is refused, so that nobody takes an answer for what it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from inhouse.core.errors import InvalidRequest
from inhouse.engines.base import ChatRequest, Message, Role, ToolCall, ToolSpec

_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
_Name = Annotated[str, Meta(min_length=1, max_length=256)]
ANY_OBJECT: dict[str, Any] = {"type": "object"}
"""The schema behind `json_object`: some object, whatever is in it."""


class ContentPart(Struct, kw_only=True):
    """A part of a message; only text can be served."""

    type: str
    text: str | None = None


class CalledFunction(Struct, kw_only=True):
    """What an assistant message said to call."""

    name: str
    arguments: str = "{}"


class ToolCallPart(Struct, kw_only=True):
    """A tool call of an assistant message."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class ChatMessage(Struct, kw_only=True):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCallPart] | None = None
    tool_call_id: str | None = None


class FunctionSpec(Struct, kw_only=True):
    """A function on offer."""

    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, kw_only=True):
    """A tool on offer; only functions are known."""

    function: FunctionSpec
    type: Literal["function"] = "function"


class NamedFunction(Struct, kw_only=True):
    """The name of a function that must be called."""

    name: str


class NamedToolChoice(Struct, kw_only=True):
    """A tool choice that names the function to call."""

    function: NamedFunction
    type: Literal["function"] = "function"


class JsonSchemaFormat(Struct, kw_only=True):
    """The schema of an answer."""

    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(Struct, kw_only=True):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class StreamOptions(Struct, kw_only=True):
    """What a stream carries beyond the answer."""

    include_usage: bool | None = None


class _Sampling(Struct, kw_only=True):
    model: _Name
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    seed: _Int64 | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    # Beyond OpenAI's own: what llama.cpp and vLLM take under these names.
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None


class ChatBody(_Sampling, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_completion_tokens: _Tokens | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedToolChoice | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


class CompletionBody(_Sampling, kw_only=True):
    """POST /v1/completions. The prompt goes to the model as one user message, in its chat template."""

    prompt: str | list[str | int | list[int]]
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: Annotated[int, Meta(ge=1)] | None = None


class EmbeddingsBody(Struct, kw_only=True):
    """POST /v1/embeddings."""

    model: _Name
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None


def chat_request(body: ChatBody) -> ChatRequest:
    """What to ask an engine for."""
    _refuse_unserved(body)
    tools, choice = _tools(body)
    return ChatRequest(
        model=body.model,
        messages=tuple(map(_message, body.messages)),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        json_schema=_schema(body.response_format),
        tools=tools,
        tool_choice=choice,
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        **_sampling(body),
    )


def completion_request(body: CompletionBody) -> ChatRequest:
    """What to ask an engine for."""
    _refuse_unserved(body)
    for name, given in (("echo", body.echo), ("suffix", body.suffix), ("best_of", (body.best_of or 1) > 1)):
        if given:
            raise InvalidRequest(f"{name} is not served here", do="Leave it out", param=name)
    prompt = body.prompt
    if isinstance(prompt, list):
        if len(prompt) != 1 or not isinstance(prompt[0], str):
            raise InvalidRequest(
                "The prompt must be one text", do="Send a request for each prompt, as text", param="prompt"
            )
        prompt = prompt[0]
    return ChatRequest(
        model=body.model,
        messages=(Message("user", prompt),),
        max_tokens=body.max_tokens,
        top_logprobs=body.logprobs,
        **_sampling(body),
    )


def embedding_texts(body: EmbeddingsBody) -> Sequence[str]:
    """The texts to embed."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise InvalidRequest(
            "The input must be text that is not empty",
            why="numbers of tokens mean something else to each model" if texts else "",
            do="Send a string or a list of strings (in LangChain: check_embedding_ctx_length=False)",
            param="input",
        )
    if body.dimensions is not None:
        raise InvalidRequest("dimensions is not served here", do="Leave it out", param="dimensions")
    return texts  # type: ignore[return-value]


def _refuse_unserved(body: _Sampling) -> None:
    if body.n is not None and body.n > 1:
        raise InvalidRequest("n can only be 1", do="Send the request n times", param="n")
    if body.logit_bias:
        raise InvalidRequest("logit_bias is not served here", do="Leave it out", param="logit_bias")


def _sampling(body: _Sampling) -> dict[str, Any]:
    stop = body.stop
    return {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "repeat_penalty": body.repeat_penalty or body.repetition_penalty,
        "presence_penalty": body.presence_penalty or None,
        "frequency_penalty": body.frequency_penalty or None,
        "seed": body.seed,
        "stop": () if not stop else (stop,) if isinstance(stop, str) else tuple(filter(None, stop)),
    }


def _message(message: ChatMessage) -> Message:
    role: Role = "system" if message.role == "developer" else message.role
    content = message.content
    if content is None:
        if role != "assistant":
            raise InvalidRequest(f"A {message.role} message needs content", param="messages")
        content = ""
    elif not isinstance(content, str):
        content = "".join(map(_part, content))
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ())
    return Message(role, content, calls, message.tool_call_id, message.name)


def _part(part: ContentPart) -> str:
    if part.type != "text" or part.text is None:
        raise InvalidRequest(f"Content of the type {part.type!r} is not served here", do="Send text", param="messages")
    return part.text


def _schema(form: ResponseFormat | None) -> dict[str, Any] | None:
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return ANY_OBJECT
    if form.json_schema is None or form.json_schema.schema is None:
        raise InvalidRequest("response_format lacks its schema", param="response_format")
    return form.json_schema.schema


def _tools(body: ChatBody) -> tuple[tuple[ToolSpec, ...], Literal["auto", "none", "required"] | None]:
    choice = body.tool_choice
    tools = tuple(
        ToolSpec(tool.function.name, tool.function.description or "", tool.function.parameters or ANY_OBJECT)
        for tool in body.tools or ()
    )
    if isinstance(choice, NamedToolChoice):
        # One tool that must be called is that tool alone on offer.
        tools = tuple(tool for tool in tools if tool.name == choice.function.name)
        if not tools:
            raise InvalidRequest("tool_choice names a function that is not among the tools", param="tool_choice")
        return tools, "required"
    if choice == "required" and not tools:
        raise InvalidRequest("tool_choice asks for a tool and there is none", param="tool_choice")
    return tools, choice


def decode_body(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    """The body by its schema; InvalidRequest says which field is wrong."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        why, _, where = str(error).partition(" - at `$.")
        raise InvalidRequest(
            "The request is not valid", why=why + (f", in {where[:-1]}" if where else ""), param=where[:-1] or None
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("The body is not JSON", why=str(error)) from None
