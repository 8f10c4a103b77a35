"""Gateways for tests, each on a store of its own."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from running_gateway import Running, serving
from talking_engine import TalkingEngine

from inhouse.store.database import Database


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A store with its schema and nothing in it; made once, since that takes longer than most tests here."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    Database(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def store_url(empty_store, tmp_path) -> str:
    """A store of the test's own."""
    shutil.copy(empty_store, tmp_path / "g.db")
    return f"sqlite:///{tmp_path}/g.db"


@pytest.fixture
async def start(store_url) -> AsyncIterator[Callable]:
    """Starts gateways on one store; they end with the test."""
    async with AsyncExitStack() as stack:

        async def begin(engine: TalkingEngine | None = None, **parts) -> Running:
            return await stack.enter_async_context(serving(store_url, engine, **parts))

        yield begin


@pytest.fixture
async def running(start) -> Running:
    """A gateway without keys, as on the loopback interface."""
    return await start()
