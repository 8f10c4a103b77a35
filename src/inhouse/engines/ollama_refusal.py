"""What Ollama's error messages mean, as the right error: it tells most of them apart by words only.

Pure functions; knows nothing of routes or of how the messages were fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from inhouse.core.errors import (
    ChecksumMismatch,
    EngineCrashed,
    EngineError,
    EngineFailed,
    EngineProtocolError,
    InhouseError,
    NotEnoughSpace,
    SourceUnavailable,
    UnknownModel,
    UnsupportedFeature,
)
from inhouse.engines.refusal import refused


def describe(status: int, headers: Mapping[str, str], body: bytes) -> EngineError:
    """The error that a refusal of Ollama's stands for."""
    message = _inner(body.decode("utf-8", "replace"))
    return _known(message) or refused(status, message, retry_after=headers.get("Retry-After"))


def failed_in_stream(message: Any) -> EngineError:
    """The error for an {"error": …} line, after which nothing more comes."""
    text = _inner(str(message))
    return _known(text) or refused(500, text)


def _inner(text: str) -> str:
    """The words in an error body. Ollama passes on its runner's own JSON as the text of an error."""
    while text.lstrip().startswith("{"):
        try:
            value = orjson.loads(text)["error"]
        except (orjson.JSONDecodeError, KeyError):
            break
        text = str(value.get("message") if isinstance(value, dict) else value)
    return text


def _known(message: str) -> EngineError | None:
    """Ollama's own complaints, which it tells apart by words only."""
    lower = message.lower()
    if "support embeddings" in lower:
        return UnsupportedFeature(
            "The model gives no embeddings under Ollama",
            why=message,
            do="Use a model made for them, such as nomic-embed-text",
        )
    if "does not support" in lower:
        return UnsupportedFeature("The model cannot do that under Ollama", why=message, do="Choose another model")
    if "requires more system memory" in lower or "out of memory" in lower:
        return EngineFailed(
            "The model does not fit this machine's memory",
            why=message,
            do="Choose a smaller model or a smaller context, or unload others",
        )
    if "unexpectedly stopped" in lower or "error was encountered while running the model" in lower:
        return EngineCrashed("Ollama's model process ended", why=message, do="Look at the server's log for why")
    return None


def failed_pull(model: str, message: str) -> InhouseError:
    """The error for an {"error": …} line of a download."""
    lower = message.lower()
    if "no space left" in lower:
        return NotEnoughSpace(f"Ollama has no space for {model}", why=message, do="Free space on the server's disk")
    if "digest mismatch" in lower:
        return ChecksumMismatch(f"What Ollama downloaded of {model} is damaged", why=message, do="Pull it again")
    if "file does not exist" in lower or "invalid model name" in lower:
        return UnknownModel(
            f"Ollama's registry has no model {model}", why=message, do="Look for its name at ollama.com"
        )
    return SourceUnavailable(
        f"Ollama could not download {model}",
        why=message,
        do="Check the server's way to its registry (a proxy is set where the server runs), then pull again: it goes on",
    )


def cut_off(pieces: int) -> EngineProtocolError:
    """The error for an answer that ends properly as HTTP but without Ollama's last line.

    Ollama's runner gives up so, silently, on a model that repeats one token over 30 times.
    """
    return EngineProtocolError(
        f"Ollama ended the answer after {pieces} pieces without saying that it is done",
        why="it does so when a model repeats itself without end",
        do="Raise repeat_penalty or the temperature, or look at the server's log",
    )
