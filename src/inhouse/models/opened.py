"""An engine opened with a model: from what was asked for, else the settings, else what is pulled here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from inhouse.core.environment import Environment, read_environment
from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings, get_settings
from inhouse.engines.base import Engine
from inhouse.engines.open import open_engine
from inhouse.models.launch import launch_spec


@dataclass(frozen=True, slots=True)
class OpenEngine:
    """An engine ready to use, the model to ask it for, and the fingerprint that a run keeps."""

    engine: Engine
    model: str
    environment: Environment
    settings: Settings


@asynccontextmanager
async def open_for(
    engine: str | None = None,
    model: str | None = None,
    *,
    context: int | None = None,
    slots: int | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[OpenEngine]:
    """Opens the engine that was asked for and closes it at the end, whatever happens.

    Args:
        engine: as in `--engine`; None for the setting.
        model: as in `--model`; None for the setting, else the largest pulled model that fits this machine
            (embedded), else the only model that the server offers.
        context: tokens for each slot of the embedded engine; None for the setting.
        slots: parallel slots of the embedded engine; None for the setting.
        settings: in place of the process's own.

    Raises:
        UsageError: no such engine, or the model must be named.
        ModelError, EngineError: the model is not here, the server does not answer.
    """
    settings = settings or get_settings()
    settings = settings.model_copy(
        update={
            key: value for key, value in (("context", context), ("slots", slots), ("model", model)) if value is not None
        }
    )
    kind = engine or settings.engine
    opened = open_engine(kind, settings, lambda name: launch_spec(settings, name))
    try:
        name = settings.model or await _default_model(kind, opened, settings)
        yield OpenEngine(opened, name, await _fingerprint(opened, kind, name, settings), settings)
    finally:
        await opened.close()


async def _default_model(kind: str, engine: Engine, settings: Settings) -> str:
    if kind == "embedded":
        from inhouse.models.choice import default_model

        return default_model(settings)
    names = [info.name for info in await engine.models()]
    if len(names) == 1:
        return names[0]
    raise UsageError(
        f"Which model? The {kind} engine offers {'none' if not names else ', '.join(names[:8])}",
        do="Name one with --model" if names else f"Pull one first: inhouse models pull llama2:7b --engine {kind}",
    )


async def _fingerprint(engine: Engine, kind: str, model: str, settings: Settings) -> Environment:
    health = await engine.health()
    sha256 = None
    if kind == "embedded":
        sha256 = launch_spec(settings, model).sha256
    return replace(read_environment(), engine=engine.name, engine_version=health.version, model_sha256=sha256)
