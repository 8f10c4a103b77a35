"""What several parts' tests share: a real PostgreSQL, a real Redis, a real tiny model."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from throwaway_postgres import find_binaries, run_postgres
from throwaway_redis import run_redis

# Two test processes with an engine each share two cores: llama.cpp's threads wait for each other by spinning,
# and with more threads than cores an answer takes fifty times as long.
os.environ.setdefault("INHOUSE_THREADS", "1")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a real PostgreSQL server, started for this session, with the rights to create databases."""
    binaries = find_binaries()
    if binaries is None:
        missing = "PostgreSQL's server binaries (initdb, postgres) are not installed"
        if os.environ.get("CI"):
            pytest.fail(f"{missing}; CI must install them")
        pytest.skip(missing)
    with run_postgres(binaries) as url:
        yield url


@pytest.fixture
def fresh_postgres_url(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database on that server."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield postgres_url.rpartition("/")[0] + "/" + name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The GGUF of smollm2:135m, pulled if this machine does not have it yet."""
    from inhouse.core.errors import ModelNotPulled
    from inhouse.core.settings import Settings
    from inhouse.models.catalogue import find_entry
    from inhouse.models.library import model_path
    from inhouse.models.pull import pull

    settings = Settings()
    try:
        return model_path(settings, "smollm2:135m")
    except ModelNotPulled:
        return asyncio.run(pull(find_entry("smollm2:135m"), settings.models_dir)).path


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a real Redis, started for this session on a free loopback port."""
    server = shutil.which("redis-server")
    if server is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed; CI must install it")
        pytest.skip("redis-server is not installed")
    with run_redis(server) as url:
        yield url
