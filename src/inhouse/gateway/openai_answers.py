"""OpenAI's answers: an engine's events into chunks of a stream or one document, and errors in OpenAI's form.

Written as bytes by hand where every token passes; knows nothing of how they are sent.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from inhouse.core.errors import BudgetExceeded, InhouseError, InvalidRequest
from inhouse.engines.base import Embeddings, TextEvent, TokenLogprob, ToolCall, ToolCallEvent
from inhouse.gateway.base import Answer
from inhouse.gateway.http_errors import error_code, error_status

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
_DONE = b"data: [DONE]\n\n"
_AFTER_TEXT = b'},"logprobs":null,"finish_reason":null}]}\n\n'


class ChatAnswer:
    """The answer to one chat completion."""

    api = "openai.chat"

    def __init__(self, request_id: str, created: int, model: str, *, stream: bool, usage: bool, logprobs: bool) -> None:
        self.stream = stream
        self.content_type = EVENT_STREAM if stream else JSON
        self._usage = usage
        self._logprobs = logprobs
        self._id = f"chatcmpl-{request_id}"
        self._created = created
        self._calls = 0
        self.model = model
        self._head = b""

    def begin(self) -> bytes:
        """What opens a stream."""
        head = {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self.model}
        # With the usage at the end, OpenAI's other chunks say that theirs is null.
        self._head = b"data: " + orjson.dumps(head)[:-1] + (b',"usage":null' if self._usage else b"")
        self._before_text = self._head + b',"choices":[{"index":0,"delta":{"content":'
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def text(self, event: TextEvent) -> bytes:
        """A piece of the text."""
        if self._logprobs and event.logprobs:
            return self._chunk({"content": event.text}, logprobs=event.logprobs)
        return b"%b%b%b" % (self._before_text, orjson.dumps(event.text), _AFTER_TEXT)

    def call(self, event: ToolCallEvent) -> bytes:
        """A tool call."""
        call = {"index": self._calls, **_call(event.call)}
        self._calls += 1
        return self._chunk({"tool_calls": [call]})

    def end(self, answer: Answer) -> bytes:
        """What closes a stream."""
        last = self._chunk({}, finish=answer.finish_reason, extra=_extra(answer))
        if self._usage:
            last += self._head.replace(b',"usage":null', b"") + b',"choices":[],"usage":'
            last += orjson.dumps(_usage(answer)) + b"}\n\n"
        return last + _DONE

    def whole(self, answer: Answer) -> bytes:
        """All of it as one document."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.tool_calls:
            message["tool_calls"] = [_call(call) for call in answer.tool_calls]
            message["content"] = answer.text or None
        logprobs = _logprobs(answer.logprobs) if self._logprobs else None
        choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": answer.finish_reason}
        return orjson.dumps(
            {
                "id": self._id,
                "object": "chat.completion",
                "created": self._created,
                "model": self.model,
                "choices": [choice],
                "usage": _usage(answer),
                "system_fingerprint": None,
                **_extra(answer),
            }
        )

    def broken(self, error: InhouseError) -> bytes:
        """What ends a stream that cannot go on; OpenAI's client raises it."""
        return b"data: " + orjson.dumps(error_document(error)) + b"\n\n"

    def _chunk(
        self,
        delta: dict[str, Any],
        *,
        logprobs: Sequence[TokenLogprob] = (),
        finish: str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> bytes:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": _logprobs(logprobs) if logprobs else None,
            "finish_reason": finish,
        }
        more = b"," + orjson.dumps(extra)[1:-1] if extra else b""
        return self._head + b',"choices":[' + orjson.dumps(choice) + b"]" + more + b"}\n\n"


class CompletionAnswer:
    """The answer to one completion of the older kind."""

    api = "openai.completion"

    def __init__(self, request_id: str, created: int, model: str, *, stream: bool, usage: bool, logprobs: bool) -> None:
        self.stream = stream
        self.content_type = EVENT_STREAM if stream else JSON
        self.model = model
        self._usage = usage
        self._logprobs = logprobs
        self._id = f"cmpl-{request_id}"
        self._created = created
        self._offset = 0

    def begin(self) -> bytes:
        """Nothing opens a stream."""
        return b""

    def text(self, event: TextEvent) -> bytes:
        """A piece of the text."""
        return self._chunk([self._choice(event.text, event.logprobs, None)])

    def call(self, event: ToolCallEvent) -> bytes:
        """There are no tools in this API."""
        return b""

    def end(self, answer: Answer) -> bytes:
        """What closes a stream."""
        last = self._chunk([self._choice("", (), _finish(answer))])
        return last + (self._chunk([], usage=_usage(answer)) if self._usage else b"") + _DONE

    def whole(self, answer: Answer) -> bytes:
        """All of it as one document."""
        choice = self._choice(answer.text, answer.logprobs, _finish(answer))
        return orjson.dumps({**self._document(), "choices": [choice], "usage": _usage(answer)})

    def broken(self, error: InhouseError) -> bytes:
        """What ends a stream that cannot go on."""
        return b"data: " + orjson.dumps(error_document(error)) + b"\n\n"

    def _document(self) -> dict[str, Any]:
        return {"id": self._id, "object": "text_completion", "created": self._created, "model": self.model}

    def _chunk(self, choices: list[dict[str, Any]], *, usage: dict[str, Any] | None = None) -> bytes:
        document = {**self._document(), "choices": choices}
        if self._usage:
            document["usage"] = usage
        return b"data: " + orjson.dumps(document) + b"\n\n"

    def _choice(self, text: str, logprobs: Sequence[TokenLogprob], finish: str | None) -> dict[str, Any]:
        old = None
        if self._logprobs and logprobs:
            offsets: list[int] = []
            for token in logprobs:
                offsets.append(self._offset)
                self._offset += len(token.token)
            old = {
                "tokens": [token.token for token in logprobs],
                "token_logprobs": [token.logprob for token in logprobs],
                "top_logprobs": [dict(token.top) for token in logprobs],
                "text_offset": offsets,
            }
        return {"index": 0, "text": text, "logprobs": old, "finish_reason": finish}


def embeddings_document(embeddings: Embeddings, model: str, *, in_base64: bool) -> bytes:
    """The answer to an embeddings request; base64 is of little-endian 32-bit floats."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if in_base64 else vector,
        }
        for index, vector in enumerate(embeddings.vectors)
    ]
    tokens = embeddings.prompt_tokens or 0
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})


def _extra(answer: Answer) -> dict[str, Any]:
    """What OpenAI's documents do not have: the citations of an answer from documents."""
    return {} if answer.citations is None else {"citations": [asdict(one) for one in answer.citations]}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(answer: Answer) -> str:
    return "length" if answer.finish_reason == "length" else "stop"


def _usage(answer: Answer) -> dict[str, Any] | None:
    if answer.prompt_tokens is None and answer.completion_tokens is None:
        return None  # the engine did not say
    prompt, completion = answer.prompt_tokens or 0, answer.completion_tokens or 0
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if answer.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": answer.cached_tokens}
    return usage


def _logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    if not logprobs:
        return None
    return {
        "content": [
            {**_logprob(one.token, one.logprob), "top_logprobs": [_logprob(token, value) for token, value in one.top]}
            for one in logprobs
        ],
        "refusal": None,
    }


def _logprob(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}


def error_document(error: InhouseError) -> dict[str, Any]:
    """An error in OpenAI's form. What to do about it follows the message."""
    kind = _TYPES.get(error_status(error), "server_error")
    return {
        "error": {
            "message": str(error),
            "type": "insufficient_quota" if isinstance(error, BudgetExceeded) else kind,
            "param": error.param if isinstance(error, InvalidRequest) else None,
            "code": error_code(error),
        }
    }


_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
