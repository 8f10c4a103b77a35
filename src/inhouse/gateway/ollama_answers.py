"""Ollama's answers: an engine's events as JSON lines or one document, durations in nanoseconds, errors in its form."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from inhouse.core.errors import InhouseError, ModelNotServed
from inhouse.engines.base import Embeddings, TextEvent, TokenLogprob, ToolCall, ToolCallEvent
from inhouse.gateway.base import Answer
from inhouse.gateway.wire import Asked

JSON = b"application/json; charset=utf-8"
LINES = b"application/x-ndjson"
_NANO = 1_000_000_000


class OllamaAnswer:
    """The answer to /api/chat or /api/generate."""

    def __init__(self, asked: Asked, model: str, kind: Literal["chat", "generate"], *, stream: bool) -> None:
        self.stream = stream
        self.content_type = LINES if stream else JSON
        self.model = model
        self._asked = asked
        self._chat = kind == "chat"

    def begin(self) -> bytes:
        """Nothing opens a stream."""
        return b""

    def text(self, event: TextEvent) -> bytes:
        """A piece of the text."""
        piece = self._piece(event.text)
        if event.logprobs:
            piece["logprobs"] = _logprobs(event.logprobs)
        return orjson.dumps(piece) + b"\n"

    def call(self, event: ToolCallEvent) -> bytes:
        """A tool call; there are none in /api/generate."""
        if not self._chat:
            return b""
        return orjson.dumps(self._piece("", [_call(event.call, 0)])) + b"\n"

    def end(self, answer: Answer) -> bytes:
        """The last line, with counts and times."""
        return orjson.dumps({**self._piece(""), **self._closing(answer)}) + b"\n"

    def whole(self, answer: Answer) -> bytes:
        """All of it as one document."""
        calls = [_call(call, number) for number, call in enumerate(answer.tool_calls)]
        document = {**self._piece(answer.text, calls), **self._closing(answer)}
        if answer.logprobs:
            document["logprobs"] = _logprobs(answer.logprobs)
        return orjson.dumps(document)

    def loaded(self) -> bytes:
        """What is said when the model was only to be loaded."""
        return orjson.dumps({**self._piece(""), "done": True, "done_reason": "load"}) + b"\n"

    def broken(self, error: InhouseError) -> bytes:
        """What ends a stream that cannot go on."""
        return error_bytes(error) + b"\n"

    def _piece(self, text: str, calls: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        piece: dict[str, Any] = {"model": self.model, "created_at": now()}
        if self._chat:
            message: dict[str, Any] = {"role": "assistant", "content": text}
            if calls:
                message["tool_calls"] = calls
            piece["message"] = message
        else:
            piece["response"] = text
        piece["done"] = False
        return piece

    def _closing(self, answer: Answer) -> dict[str, Any]:
        """Durations are the engine's own where it gives them; the whole is as long as the caller waited."""
        timings = answer.timings
        return {
            "done": True,
            "done_reason": "length" if answer.finish_reason == "length" else "stop",
            "total_duration": int((time.perf_counter() - self._asked.began) * _NANO),
            "load_duration": int(timings.get("load_s", 0) * _NANO),
            "prompt_eval_count": answer.prompt_tokens or 0,
            "prompt_eval_duration": int(timings.get("prompt_s", 0) * _NANO),
            "eval_count": answer.completion_tokens or 0,
            "eval_duration": int(timings.get("decode_s", 0) * _NANO),
        }


def embed_document(embeddings: Embeddings, model: str, asked: Asked) -> bytes:
    """The answer to /api/embed."""
    return orjson.dumps(
        {
            "model": model,
            "embeddings": embeddings.vectors,
            "total_duration": int((time.perf_counter() - asked.began) * _NANO),
            "load_duration": 0,
            "prompt_eval_count": embeddings.prompt_tokens or 0,
        }
    )


def error_bytes(error: InhouseError) -> bytes:
    """An error's document in Ollama's form. Clients look for its words on a missing model."""
    text = str(error)
    if isinstance(error, ModelNotServed):
        text = f"{error.what} (model not found)"
    return orjson.dumps({"error": text})


def now() -> str:
    """The time in the form that Ollama gives."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _call(call: ToolCall, number: int) -> dict[str, Any]:
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = call.arguments
    if not isinstance(arguments, dict):
        arguments = {"arguments": arguments}  # Ollama's form has no place for anything but an object
    return {"id": call.id, "function": {"index": number, "name": call.name, "arguments": arguments}}


def _logprobs(logprobs: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    return [
        {
            "token": one.token,
            "logprob": one.logprob,
            "bytes": list(one.token.encode("utf-8", "replace")),
            "top_logprobs": [
                {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace"))}
                for token, value in one.top
            ],
        }
        for one in logprobs
    ]
