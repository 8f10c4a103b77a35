"""OpenAI's chat format: requests into bodies, chunks of a stream into events, for each dialect of it.

Pure translation; knows nothing of connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inhouse.core.errors import EngineProtocolError, UnsupportedFeature
from inhouse.engines.base import (
    ChatRequest,
    DoneEvent,
    Event,
    FinishReason,
    Message,
    TextEvent,
    TokenLogprob,
    ToolCall,
    ToolCallEvent,
    UsageEvent,
)
from inhouse.engines.http import encode
from inhouse.engines.refusal import refused_in_stream
from inhouse.engines.streams import decode, malformed


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server takes beyond OpenAI's own fields, under the names it has for them."""

    name: str
    repeat_penalty: str = "repeat_penalty"
    max_tokens: str = "max_tokens"
    ignore_eos: bool = False
    prompt_cache: bool = False
    token_count: bool = False


OPENAI = Dialect("openai")
OPENAI_CLOUD = Dialect("openai", max_tokens="max_completion_tokens")
LLAMA_CPP = Dialect("llama.cpp", ignore_eos=True, prompt_cache=True, token_count=True)
VLLM = Dialect("vllm", repeat_penalty="repetition_penalty", ignore_eos=True, token_count=True)

_FINISH: dict[str, FinishReason] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def chat_body(request: ChatRequest, dialect: Dialect) -> dict[str, Any]:
    """The body of a streamed chat completion."""
    if request.ignore_eos and not dialect.ignore_eos:
        raise UnsupportedFeature(
            "This server cannot be told to ignore the end of text", do="Leave ignore_eos out for this engine"
        )
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    options = {
        dialect.max_tokens: request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        dialect.repeat_penalty: request.repeat_penalty,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        "ignore_eos": request.ignore_eos or None,
        "cache_prompt": request.cache_prompt if dialect.prompt_cache else None,
    }
    body |= {name: value for name, value in options.items() if value is not None}
    if request.json_schema is not None:
        schema = {"name": "answer", "schema": request.json_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in request.tools
        ]
        if request.tool_choice is not None:
            body["tool_choice"] = request.tool_choice
    if request.top_logprobs is not None:
        body["logprobs"] = True
        body["top_logprobs"] = request.top_logprobs
    return body


def _message(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        wire["name"] = message.name
    return wire


@dataclass(slots=True)
class AnswerReader:
    """Reads the data of one answer's stream, in order; keeps what can only be said at its end."""

    done: bool = False
    _finish: str | None = None
    _usage: Mapping[str, Any] = field(default_factory=dict)
    _timings: Mapping[str, Any] = field(default_factory=dict)
    _calls: dict[int, list[str]] = field(default_factory=dict)  # by index: id, name, arguments so far

    def read(self, at: float, data: bytes) -> TextEvent | None:
        """The text that one event carries, if any. Sets `done` at the end mark."""
        if data == b"[DONE]":
            self.done = True
            return None
        chunk = decode(data)
        try:
            return self._read(at, chunk)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise malformed(data, f"not a chat completion chunk ({type(error).__name__}: {error})") from error

    def _read(self, at: float, chunk: Mapping[str, Any]) -> TextEvent | None:
        if "error" in chunk and chunk["error"] is not None:
            raise refused_in_stream(chunk["error"])
        if usage := chunk.get("usage"):
            self._usage = usage
        if timings := chunk.get("timings"):
            self._timings = timings
        if not chunk["choices"]:
            return None
        choice = chunk["choices"][0]
        if reason := choice.get("finish_reason"):
            self._finish = reason
        delta = choice.get("delta") or {}
        for part in delta.get("tool_calls") or ():
            self._add_call(part)
        text = delta.get("content") or ""
        logprobs = choice.get("logprobs")
        if not text and not logprobs:
            return None
        return TextEvent(at, text, _logprobs(logprobs) if logprobs else ())

    def end(self, at: float) -> list[Event]:
        """The events that close the answer; an error where the stream stopped before it was complete."""
        if self._finish is None:
            raise EngineProtocolError(
                "The server's answer was cut off", why="The stream ended without a finish reason", do="Try again"
            )
        calls = [ToolCall(id_ or f"call_{n}", name, arguments) for n, (id_, name, arguments) in self._calls.items()]
        finish = "tool_calls" if calls and self._finish == "stop" else _FINISH.get(self._finish, "stop")
        return [*(ToolCallEvent(at, call) for call in calls), self._usage_event(at), DoneEvent(at, finish)]

    def _add_call(self, part: Mapping[str, Any]) -> None:
        """Tool calls come in pieces: the first names it, later ones append to the arguments."""
        known = self._calls.setdefault(part.get("index", len(self._calls)), ["", "", ""])
        function = part.get("function") or {}
        arguments = function.get("arguments") or ""
        known[0] = part.get("id") or known[0]
        known[1] = function.get("name") or known[1]
        known[2] += arguments if isinstance(arguments, str) else encode(arguments).decode()

    def _usage_event(self, at: float) -> UsageEvent:
        usage, timings = self._usage, self._timings
        details = usage.get("prompt_tokens_details") or {}
        times = {
            ours: timings[theirs] / 1000
            for ours, theirs in (("prompt_s", "prompt_ms"), ("decode_s", "predicted_ms"))
            if isinstance(timings.get(theirs), int | float)
        }
        return UsageEvent(
            at,
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            cached_tokens=details.get("cached_tokens", timings.get("cache_n")),
            timings=times,
        )


def _logprobs(logprobs: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            entry["token"],
            entry["logprob"],
            tuple((other["token"], other["logprob"]) for other in entry.get("top_logprobs") or ()),
        )
        for entry in logprobs.get("content") or ()
    )
