"""Opens an engine by the name that a person gives it; the engines' own modules are imported on use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings
from inhouse.engines.base import Engine
from inhouse.engines.launch import LaunchSpec

ENGINES = ("embedded", "ollama", "openai", "recorded:FILE")


def open_engine(kind: str, settings: Settings, resolve: Callable[[str], LaunchSpec]) -> Engine:
    """The engine `kind`, set up from `settings`; `resolve` says how the embedded one launches a model."""
    name, _, argument = kind.partition(":")
    if name == "recorded" and argument:
        from inhouse.engines.recorded import Replayer

        return Replayer(Path(argument).expanduser())
    if kind == "embedded":
        from inhouse.engines.embedded import EmbeddedEngine

        return EmbeddedEngine(resolve, stall_s=settings.stall_s)
    if kind == "ollama":
        from inhouse.engines.ollama import OllamaEngine

        return OllamaEngine(settings.ollama_url, stall_s=settings.stall_s)
    if kind == "openai":
        from inhouse.engines.openai_compatible import OpenAICompatibleEngine

        if not settings.base_url:
            raise UsageError(
                "The openai engine needs the server's address", do="Set INHOUSE_BASE_URL, e.g. http://127.0.0.1:8000/v1"
            )
        key = settings.api_key.get_secret_value() or None
        return OpenAICompatibleEngine(settings.base_url, api_key=key, stall_s=settings.stall_s)
    raise UsageError(f"There is no engine {kind!r}", do=f"Choose one of {', '.join(ENGINES)}")
