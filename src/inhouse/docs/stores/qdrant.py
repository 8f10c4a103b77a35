"""Vectors in Qdrant: on a server, or in a folder (local mode). Knows ids, vectors and document ids only."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from inhouse.core.errors import MissingExtra, StoreError
from inhouse.docs.stores.base import Capabilities, Vectors
from inhouse.docs.stores.file import folder_bytes

T = TypeVar("T")


class QdrantService:
    """One Qdrant collection; `place` is a folder or an http(s) URL (its key is read from QDRANT_API_KEY)."""

    name = "qdrant"
    largest_k = 100_000
    largest_filter = 100_000

    def __init__(self, place: str, collection: str) -> None:
        try:
            from qdrant_client import QdrantClient, models
        except ImportError:
            raise MissingExtra("Qdrant's client is not installed", do="Run: pip install 'inhouse[qdrant]'") from None
        self._models = models
        self._place = place
        self._collection = f"inhouse-{collection}"
        server = place.startswith(("http://", "https://"))
        self.capabilities = Capabilities(sparse=True, exact=not server, shared=server)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that local mode is slow over 20,000 points: the manual says so
            self._client: Any = self._ask(
                lambda: (
                    QdrantClient(url=place, api_key=os.environ.get("QDRANT_API_KEY"), check_compatibility=False)
                    if server
                    else QdrantClient(path=place)
                )
            )
        self._made = self._ask(lambda: self._client.collection_exists(self._collection))

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return question()
        except Exception as error:  # noqa: BLE001 - Qdrant raises its own, httpx's and the local mode's errors
            why = str(error).splitlines()[0][:200] if str(error) else repr(error)
            if "already accessed" in why:
                raise StoreError(
                    f"Qdrant's folder {self._place} is open in another process",
                    why="Qdrant's local mode serves one process at a time",
                    do="Close the other, or run a Qdrant server and name its URL",
                ) from None
            raise StoreError(f"Qdrant at {self._place} failed", why=why) from None

    def put(self, ids: Sequence[int], vectors: Vectors, document_ids: Sequence[str]) -> None:
        """Keeps vectors; the first make the collection."""
        models = self._models
        if not self._made:
            config = models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
            self._ask(lambda: self._client.create_collection(self._collection, vectors_config=config))
            self._ask(
                lambda: self._client.create_payload_index(
                    self._collection, "document", field_schema=models.PayloadSchemaType.KEYWORD
                )
            )
            self._made = True
        batch = models.Batch(
            ids=list(ids),
            vectors=vectors.tolist(),
            payloads=[{"document": document_id} for document_id in document_ids],
        )
        self._ask(lambda: self._client.upsert(self._collection, batch, wait=True))

    def remove(self, ids: Sequence[int]) -> None:
        """Forgets vectors."""
        if self._made:
            self._ask(
                lambda: self._client.delete(self._collection, self._models.PointIdsList(points=list(ids)), wait=True)
            )

    def nearest(self, vector: Vectors, k: int, document_ids: Sequence[str] | None) -> list[tuple[int, float]]:
        """The k nearest by inner product."""
        models = self._models
        only = None
        if document_ids is not None:
            match = models.MatchAny(any=list(document_ids))
            only = models.Filter(must=[models.FieldCondition(key="document", match=match)])
        if not self._made:
            return []
        answer = self._ask(
            lambda: self._client.query_points(
                self._collection, query=vector.tolist(), limit=k, query_filter=only, with_payload=False
            )
        )
        return [(int(point.id), float(point.score)) for point in answer.points]

    def vectors(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The vectors under those ids."""
        if not self._made:
            return {}
        points = self._ask(
            lambda: self._client.retrieve(self._collection, list(ids), with_vectors=True, with_payload=False)
        )
        return {int(point.id): np.asarray(point.vector, np.float32) for point in points}

    def size_bytes(self) -> int | None:
        """All of the folder's files (other collections in it included); a server does not tell."""
        return None if self._place.startswith(("http://", "https://")) else folder_bytes(Path(self._place))

    def drop(self) -> None:
        """Forgets the collection."""
        if self._made:
            self._ask(lambda: self._client.delete_collection(self._collection))
            self._made = False

    def reopen(self) -> None:
        """A server is always up to date; a folder has no other process."""
        self._made = self._made or self._ask(lambda: self._client.collection_exists(self._collection))

    def close(self) -> None:
        """Closes the client."""
        self._client.close()
