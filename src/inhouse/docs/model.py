"""What document QA needs of an engine; whatever serves a model can be asked, also one behind the gateway's queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from inhouse.engines.base import Capabilities, ChatRequest, Event, ModelInfo


class Model(Protocol):
    """What answering needs of an engine (see engines.base.Engine)."""

    @property
    def name(self) -> str:
        """Short name."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it offers."""
        ...

    def chat(self, request: ChatRequest) -> AsyncIterator[Event]:
        """An answer as a stream."""
        ...

    async def count_tokens(self, model: str, text: str) -> int:
        """The length of a text in the model's tokens."""
        ...

    async def models(self) -> tuple[ModelInfo, ...]:
        """What it says of its models."""
        ...
