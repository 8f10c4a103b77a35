"""Opens a collection by the URL of its store."""

from __future__ import annotations

import os
import re
from pathlib import Path

from inhouse.core.errors import UsageError
from inhouse.docs.stores.base import VectorStore

FORMS = (
    "sqlite:///FILE, postgresql://…, chroma:FOLDER, chroma:http://HOST:PORT, qdrant:FOLDER, qdrant:http://HOST:PORT, "
    "pinecone:INDEX"
)
_NAME = re.compile(r"[\w][\w.\-]{0,62}")


def open_store(url: str, collection: str, *, data_dir: Path) -> VectorStore:
    """The collection in the store at `url` (one of FORMS; empty: SQLite under `data_dir`), made if it is not there.

    A store with a catalogue beside it (Chroma, Qdrant, Pinecone) keeps that under `data_dir` as well.
    """
    if not _NAME.fullmatch(collection):
        raise UsageError(
            f"A collection cannot be named {collection!r}", do="Use letters, digits, . _ and -, at most 63 of them"
        )
    folder = data_dir / "docs"
    kind, _, place = url.partition(":")
    if not url or url.startswith("sqlite:"):
        from inhouse.docs.stores.sqlite import SqliteStore

        file = place.removeprefix("///")
        return SqliteStore(Path(file) if file else folder / f"{collection}.db")
    if kind in ("postgres", "postgresql", "postgresql+psycopg"):
        from inhouse.docs.stores.pgvector import PgVectorStore

        return PgVectorStore("postgresql:" + place, collection)
    if kind not in ("chroma", "qdrant", "pinecone") or not place:
        raise UsageError(f"{url!r} is no document store", do=f"Use one of {FORMS}")
    from inhouse.docs.stores.service import ServiceStore, VectorService

    service: VectorService
    if kind == "chroma":
        from inhouse.docs.stores.chroma import ChromaService

        service = ChromaService(place, collection)
    elif kind == "qdrant":
        from inhouse.docs.stores.qdrant import QdrantService

        service = QdrantService(place, collection)
    else:
        from inhouse.docs.stores.pinecone import PineconeService

        service = PineconeService(place, collection, api_key=os.environ.get("PINECONE_API_KEY", ""))
    return ServiceStore(folder / f"{collection}.{kind}.db", service)
