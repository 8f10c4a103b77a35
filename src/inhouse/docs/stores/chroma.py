"""Vectors in Chroma: in a folder of its own, or on a Chroma server. Knows ids, vectors and document ids only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from inhouse.core.errors import MissingExtra, StoreError
from inhouse.docs.stores.base import Capabilities, Vectors
from inhouse.docs.stores.file import folder_bytes

T = TypeVar("T")


class ChromaService:
    """One Chroma collection; `place` is a folder or an http(s) URL."""

    name = "chroma"
    capabilities = Capabilities(sparse=True, exact=False)
    largest_k = 10_000
    largest_filter = 10_000

    def __init__(self, place: str, collection: str) -> None:
        self._place = place
        # Chroma wants 3 characters at least, and ASCII.
        letters = (char if char.isascii() and char.isalnum() else f"_{ord(char):x}" for char in collection)
        self._collection = "inhouse-" + "".join(letters)
        self._open()

    def _open(self) -> None:
        try:
            import chromadb
            from chromadb.config import Settings
        except ImportError:
            raise MissingExtra("Chroma is not installed", do="Run: pip install 'inhouse[chroma]'") from None
        logging.getLogger("chromadb").setLevel(logging.ERROR)
        settings = Settings(anonymized_telemetry=False)
        self._client: Any
        if self._place.startswith(("http://", "https://")):
            host, _, port = self._place.partition("://")[2].rstrip("/").rpartition(":")
            secure = self._place.startswith("https://")
            self._client = self._ask(
                lambda: chromadb.HttpClient(host=host, port=int(port), ssl=secure, settings=settings)
            )
        else:
            Path(self._place).mkdir(parents=True, exist_ok=True)
            self._client = self._ask(lambda: chromadb.PersistentClient(self._place, settings=settings))
        self._vectors: Any = self._ask(
            lambda: self._client.get_or_create_collection(
                self._collection, embedding_function=None, configuration={"hnsw": {"space": "ip"}}
            )
        )

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - Chroma raises its own, httpx's and Rust's errors
            raise StoreError(
                f"Chroma at {self._place} failed", why=str(error).splitlines()[0][:200] if str(error) else repr(error)
            ) from None

    def put(self, ids: Sequence[int], vectors: Vectors, document_ids: Sequence[str]) -> None:
        """Keeps vectors."""
        self._ask(
            lambda: self._vectors.upsert(
                ids=[str(number) for number in ids],
                embeddings=vectors,
                metadatas=[{"document": document_id} for document_id in document_ids],
            )
        )

    def remove(self, ids: Sequence[int]) -> None:
        """Forgets vectors."""
        self._ask(lambda: self._vectors.delete(ids=[str(number) for number in ids]))

    def nearest(self, vector: Vectors, k: int, document_ids: Sequence[str] | None) -> list[tuple[int, float]]:
        """The k nearest; Chroma's distance is one less the inner product."""
        where = None if document_ids is None else {"document": {"$in": list(document_ids)}}
        answer = self._ask(
            lambda: self._vectors.query(query_embeddings=vector[None], n_results=k, where=where, include=["distances"])
        )
        return [(int(i), 1.0 - float(d)) for i, d in zip(answer["ids"][0], answer["distances"][0], strict=True)]

    def vectors(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The vectors under those ids."""
        answer = self._ask(lambda: self._vectors.get(ids=[str(number) for number in ids], include=["embeddings"]))
        return {
            int(number): np.asarray(vector, np.float32)
            for number, vector in zip(answer["ids"], answer["embeddings"], strict=True)
        }

    def size_bytes(self) -> int | None:
        """All of the folder's files (other collections in it included); a server does not tell."""
        return None if self._place.startswith(("http://", "https://")) else folder_bytes(Path(self._place))

    def drop(self) -> None:
        """Forgets the collection."""
        self._ask(lambda: self._client.delete_collection(self._collection))

    def reopen(self) -> None:
        """A folder's client keeps its index in memory and does not see what other processes write."""
        if not self._place.startswith(("http://", "https://")):
            self.close()
            self._open()

    def close(self) -> None:
        """Lets go of the client; Chroma keeps one for each folder until it is told so."""
        close = getattr(self._client, "close", None)
        if close is not None:
            close()
