"""The seam between the pipeline and the APIs that it serves: how a body becomes a request, and an answer bytes.

Each API is a pair of modules: <name>_requests.py and <name>_answers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from inhouse.core.errors import InhouseError
from inhouse.engines.base import ChatRequest, Embeddings, TextEvent, ToolCallEvent
from inhouse.gateway.base import Answer


class AnswerForm(Protocol):
    """How one answer is written. `stream` says whether in pieces; `model` is the one that answers."""

    stream: bool
    content_type: bytes
    model: str

    def begin(self) -> bytes:
        """What opens a stream."""
        ...

    def text(self, event: TextEvent) -> bytes:
        """A piece of the text."""
        ...

    def call(self, event: ToolCallEvent) -> bytes:
        """A tool call."""
        ...

    def end(self, answer: Answer) -> bytes:
        """What closes a stream: the client takes the answer for complete only with this."""
        ...

    def whole(self, answer: Answer) -> bytes:
        """The whole answer as one document."""
        ...

    def broken(self, error: InhouseError) -> bytes:
        """What ends a stream that cannot go on."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What a form needs to know of the request: its id, and when it came (wall-clock, and by perf_counter)."""

    id: str
    at: float
    began: float


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A body that was read: what to ask the engine, and the form of the answer.

    `loads` is there where nothing is asked and the model is only to be loaded (Ollama's API); it makes the
    answer to that.
    """

    request: ChatRequest
    form: AnswerForm
    loads: Callable[[], bytes] | None = None
    person: str | None = None
    """Whom the request is for, where it says (OpenAI's `user`)."""


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """A body that was read: which texts to embed, and how the document of their vectors is written."""

    model: str
    texts: tuple[str, ...]
    document: Callable[[Embeddings], bytes]


@dataclass(frozen=True, slots=True)
class Api:
    """One hot route: its name in ledger and metrics, its body's reader, and its form of errors."""

    name: str
    read: Callable[[bytes, Asked], ChatCall | EmbedCall]
    error: Callable[[InhouseError], bytes]
