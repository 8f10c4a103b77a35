"""Vectors in a Pinecone index, a namespace a collection. Knows ids, vectors and document ids only.

Tried against a stand-in that speaks Pinecone's wire format, not against the cloud.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from inhouse.core.errors import MissingExtra, StoreError, UsageError
from inhouse.docs.stores.base import Capabilities, Vectors

T = TypeVar("T")
_UPSERT, _FETCH = 200, 100
"""Vectors in one request: an upsert may have 2 MB, a fetch names its ids in the URL."""


class PineconeService:
    """One namespace of an index; the key is read from PINECONE_API_KEY. The index must use dotproduct.

    `index` is an index's name, or the URL of its host.
    """

    name = "pinecone"
    # The cloud shows what was written after some seconds; what was deleted, the catalogue hides at once.
    capabilities = Capabilities(sparse=True, exact=False, immediate=False)
    largest_k = 10_000
    largest_filter = 10_000

    def __init__(self, index: str, collection: str, *, api_key: str) -> None:
        try:
            from pinecone import Pinecone
        except ImportError:
            raise MissingExtra(
                "Pinecone's client is not installed", do="Run: pip install 'inhouse[pinecone]'"
            ) from None
        if not api_key:
            raise UsageError("Pinecone needs a key", do="Set PINECONE_API_KEY")
        self._namespace = collection
        self._place = index
        self._client = Pinecone(api_key=api_key)
        by_host = index.startswith(("http://", "https://"))
        self._index: Any = self._ask(
            lambda: self._client.Index(host=index) if by_host else self._client.Index(name=index)
        )

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - Pinecone raises its own and httpx's errors
            why = str(error).splitlines()[0][:200] if str(error) else repr(error)
            raise StoreError(
                f"The Pinecone index {self._place} failed", why=why, do="Check PINECONE_API_KEY and the index's name"
            ) from None

    def put(self, ids: Sequence[int], vectors: Vectors, document_ids: Sequence[str]) -> None:
        """Keeps vectors."""
        rows = [
            {"id": str(number), "values": vector.tolist(), "metadata": {"document": document_id}}
            for number, vector, document_id in zip(ids, vectors, document_ids, strict=True)
        ]
        for start in range(0, len(rows), _UPSERT):
            some = rows[start : start + _UPSERT]
            self._ask(lambda some=some: self._index.upsert(vectors=some, namespace=self._namespace))  # type: ignore[misc]

    def remove(self, ids: Sequence[int]) -> None:
        """Forgets vectors."""
        self._ask(lambda: self._index.delete(ids=[str(number) for number in ids], namespace=self._namespace))

    def nearest(self, vector: Vectors, k: int, document_ids: Sequence[str] | None) -> list[tuple[int, float]]:
        """The k nearest by inner product."""
        only = None if document_ids is None else {"document": {"$in": list(document_ids)}}
        answer = self._ask(
            lambda: self._index.query(vector=vector.tolist(), top_k=k, namespace=self._namespace, filter=only)
        )
        return [(int(match.id), float(match.score)) for match in answer.matches]

    def vectors(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The vectors under those ids."""
        found: dict[int, Vectors] = {}
        for start in range(0, len(ids), _FETCH):
            some = [str(number) for number in ids[start : start + _FETCH]]
            answer = self._ask(lambda some=some: self._index.fetch(ids=some, namespace=self._namespace))  # type: ignore[misc]
            found.update((int(name), np.asarray(row.values, np.float32)) for name, row in answer.vectors.items())
        return found

    def size_bytes(self) -> int | None:
        """Pinecone does not tell."""
        return None

    def drop(self) -> None:
        """Forgets the namespace's vectors; the index stays."""
        self._ask(lambda: self._index.delete(delete_all=True, namespace=self._namespace))

    def reopen(self) -> None:
        """The service is always up to date."""

    def close(self) -> None:
        """Closes the connection."""
        self._index.close()
