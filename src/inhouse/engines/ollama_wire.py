"""Ollama's JSON, both ways: our request to its body, its answers and refusals to our events and errors.

Pure functions; nothing here knows how bytes travel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from inhouse.core.errors import (
    ContextExceeded,
    EngineProtocolError,
    EngineRefused,
    UnsupportedFeature,
)
from inhouse.engines.base import (
    ChatRequest,
    FinishReason,
    LoadedModel,
    Message,
    ModelInfo,
    TokenLogprob,
    ToolCall,
    UsageEvent,
)
from inhouse.engines.ollama_refusal import failed_in_stream
from inhouse.engines.streams import decode

_NANOSECONDS = 1e9
_SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def chat_body(request: ChatRequest) -> dict[str, Any]:
    """The body of /api/chat; UnsupportedFeature for what Ollama has no way to do."""
    if request.ignore_eos:
        raise UnsupportedFeature("Ollama cannot go on past the end of an answer", do="Leave ignore_eos out")
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        # Without these two Ollama drops the beginning of a prompt that is too long, and answers without a word
        # of it (servers before 0.12.6 know neither and do so still).
        "truncate": False,
        "shift": False,
        "options": _options(request),
    }
    if request.json_schema is not None:
        body["format"] = dict(request.json_schema)
    if request.tools and request.tool_choice != "none":
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in request.tools
        ]
    if request.top_logprobs is not None:
        body["logprobs"] = True
        body["top_logprobs"] = request.top_logprobs
    return body


def _options(request: ChatRequest) -> dict[str, Any]:
    chosen = {
        "num_ctx": request.context,
        "num_predict": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "repeat_penalty": request.repeat_penalty,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "seed": request.seed,
        "stop": list(request.stop) or None,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _message(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in message.tool_calls
        ]
    if message.name is not None:
        wire["tool_name"] = message.name
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _arguments(call: ToolCall) -> dict[str, Any]:
    """Ollama wants the arguments as an object, not as text."""
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError as error:
        raise _bad_arguments(call, str(error)) from None
    if not isinstance(arguments, dict):
        raise _bad_arguments(call, f"it is {type(arguments).__name__}")
    return arguments


def _bad_arguments(call: ToolCall, why: str) -> EngineRefused:
    return EngineRefused(
        f"Ollama takes a tool call's arguments only as a JSON object; those of {call.name} are none",
        why=why,
        do="Repair the arguments, or leave the call out of the history",
    )


@dataclass(frozen=True, slots=True)
class Piece:
    """One line of a streamed answer; `usage` and `finish_reason` only on the last."""

    text: str
    calls: tuple[ToolCall, ...]
    logprobs: tuple[TokenLogprob, ...]
    usage: UsageEvent | None = None
    finish_reason: FinishReason | None = None


def read_piece(line: bytes, at: float, called: int) -> Piece:
    """Reads one line of /api/chat, `called` tool calls after the first; raises what an {"error": …} line stands for."""
    part = decode(line)
    if "error" in part:
        raise failed_in_stream(part["error"])
    with readable("answer"):
        message = part.get("message") or {}
        done = bool(part.get("done"))
        return Piece(
            text=str(message.get("content") or ""),
            calls=tuple(
                _tool_call(call, number) for number, call in enumerate(message.get("tool_calls") or (), start=called)
            ),
            logprobs=_logprobs(part),
            usage=_usage(part, at) if done else None,
            finish_reason=("length" if part.get("done_reason") == "length" else "stop") if done else None,
        )


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Makes JSON that lacks what Ollama's has an EngineProtocolError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineProtocolError(
            f"Ollama's {what} is not in its format", why=repr(error), do="Check that the address is Ollama's"
        ) from error


def _tool_call(call: Mapping[str, Any], number: int) -> ToolCall:
    function = call["function"]
    return ToolCall(
        id=str(call.get("id") or f"call_{number}"),  # older servers give none
        name=str(function["name"]),
        arguments=orjson.dumps(function.get("arguments") or {}).decode(),
    )


def _logprobs(part: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            token=str(token["token"]),
            logprob=float(token["logprob"]),
            top=tuple((str(other["token"]), float(other["logprob"])) for other in token.get("top_logprobs") or ()),
        )
        for token in part.get("logprobs") or ()
    )


def _usage(part: Mapping[str, Any], at: float) -> UsageEvent:
    """Counts and timings; Ollama counts tokens from its cache as prompt and never says how many they were."""
    names = {
        "load_s": "load_duration",
        "prompt_s": "prompt_eval_duration",
        "decode_s": "eval_duration",
        "total_s": "total_duration",
    }
    return UsageEvent(
        at=at,
        prompt_tokens=part.get("prompt_eval_count"),
        completion_tokens=part.get("eval_count"),
        timings={ours: part[theirs] / _NANOSECONDS for ours, theirs in names.items() if theirs in part},
    )


def read_model(entry: Mapping[str, Any]) -> ModelInfo:
    """One model of /api/tags."""
    details = entry.get("details") or {}
    return ModelInfo(
        name=str(entry["name"]),
        size_bytes=entry.get("size"),
        context=details.get("context_length"),
        quantisation=details.get("quantization_level") or None,
        parameters=_count(str(details.get("parameter_size") or "")),
        digest=entry.get("digest"),
    )


def read_shown(name: str, shown: Mapping[str, Any]) -> ModelInfo:
    """A model as /api/show describes it, from the model file's own header."""
    header = shown.get("model_info") or {}
    details = shown.get("details") or {}
    return ModelInfo(
        name=name,
        context=header.get(f"{header.get('general.architecture')}.context_length"),
        quantisation=details.get("quantization_level") or None,
        parameters=header.get("general.parameter_count") or _count(str(details.get("parameter_size") or "")),
    )


def read_loaded(entry: Mapping[str, Any], pids: tuple[int, ...] = (), rss_bytes: int | None = None) -> LoadedModel:
    """One model of /api/ps, with what this machine shows of its processes."""
    return LoadedModel(
        model=str(entry["name"]),
        pids=pids,
        rss_bytes=rss_bytes,
        gpu_bytes=entry.get("size_vram"),
        reported_bytes=entry.get("size"),
        context=entry.get("context_length"),
    )


def model_blob(shown: Mapping[str, Any]) -> str | None:
    """File name of the model's weights, which also stands on its runner's command line."""
    for line in str(shown.get("modelfile") or "").splitlines():
        if line.startswith("FROM ") and "sha256-" in line:
            return line.rsplit("/", 1)[-1].rsplit("\\", 1)[-1].strip()
    return None


def check_logprobs(request: ChatRequest, logprobs: tuple[TokenLogprob, ...]) -> None:
    """UnsupportedFeature where log-probabilities were asked for and text came without them."""
    if request.top_logprobs is not None and not logprobs:
        raise UnsupportedFeature("This Ollama gives no log-probabilities", do="Update it to 0.12.11 or later")


def check_window(request: ChatRequest, usage: UsageEvent) -> None:
    """ContextExceeded where the prompt filled the window that was asked for to the last token.

    That is what servers before 0.12.6, which do not know `truncate`, report of a prompt whose middle they cut out.
    """
    if request.context is not None and usage.prompt_tokens == request.context:
        raise ContextExceeded(
            f"The prompt fills the context window of {request.context} tokens, and may have been cut to fit",
            do="Shorten it, ask for a larger context, or update Ollama to 0.12.6 or later, which refuses it",
        )


def warn_of_version(version: str) -> str:
    """What is to be known of a server of that version; empty for those that do what we ask."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if numbers and (0, 0, 0) < tuple(map(int, numbers.groups())) < (0, 12, 6):
        return f"Ollama {version} drops the beginning of long prompts in silence; update it to 0.12.6 or later"
    return ""


def same_model(one: str, other: str) -> bool:
    """Whether two names are one model to Ollama: no tag means :latest, and case does not count."""
    return _full(one) == _full(other)


def _full(name: str) -> str:
    lower = name.lower()
    return lower if ":" in lower.rsplit("/", 1)[-1] else f"{lower}:latest"


def _count(text: str) -> int | None:
    """A number of parameters as Ollama writes it: 134.52M."""
    try:
        return round(float(text[:-1]) * _SUFFIXES[text[-1].upper()])
    except (ValueError, KeyError, IndexError):
        return None
