"""The shape in which phase 5 serves the study's model, and the client that it asks with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inhouse.core.settings import Settings
from inhouse.engines.base import Engine
from inhouse.study.base import Context
from inhouse.study.gateway_process import GatewayProcess

CONTEXT = 512
"""Tokens of each slot: all requests of the phase are short."""


def shape(context: Context, *, slots: int, threads: int | None = None) -> Settings:
    """The program's settings for a gateway before the study's model."""
    settings = context.settings
    changed = {"model": context.config.model, "slots": slots, "context": CONTEXT}
    return settings.model_copy(update={**changed, "threads": threads or settings.threads})


@asynccontextmanager
async def client(gateway: GatewayProcess, settings: Settings) -> AsyncIterator[Engine]:
    """The gateway as an engine; closed at the end."""
    engine = gateway.engine(stall_s=settings.stall_s)
    try:
        yield engine
    finally:
        await engine.close()
