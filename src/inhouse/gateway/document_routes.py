"""Routes for documents: what there is, search, and for admins adding and deleting. Each sees what its key may see."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
import uuid
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from inhouse.core.errors import Forbidden, InvalidRequest, ModelNotServed, RequestTooLarge
from inhouse.docs.ingest import ingest_of, replacement
from inhouse.docs.load import LoadFailure, load_safely
from inhouse.docs.loaders.base import known_suffixes
from inhouse.docs.records import Document
from inhouse.docs.search import Hit
from inhouse.gateway.account import estimate_tokens
from inhouse.gateway.documents import Collection, Collections, visible
from inhouse.gateway.gateway import Gateway
from inhouse.gateway.identity import Caller
from inhouse.gateway.model_routes import admin_of, caller_of

UPLOADS = "upload"
"""The source of documents that came over HTTP; no sync of a folder touches them."""

_Path = Annotated[str, Query(min_length=1, max_length=500, description="Its name in the collection: hr/rules.pdf")]
_Tag = Annotated[str, Field(min_length=1, max_length=200)]


class Search(BaseModel):
    """What to look for. `under`: only documents whose path begins so."""

    question: str = Field(min_length=1, max_length=20_000)
    k: int = Field(default=5, ge=1, le=100)
    mode: Literal["hybrid", "dense", "sparse"] = "hybrid"
    under: str = Field(default="", max_length=500)


def document_routes(gateway: Gateway, collections: Collections) -> APIRouter:
    """/v1/documents and what lies under it."""
    router = APIRouter(tags=["documents"])

    @router.get("/v1/documents")
    async def list_collections(request: Request) -> dict[str, Any]:
        """The collections that the key may use, with the number of documents that it sees."""
        caller = caller_of(gateway, request)

        def counted() -> list[dict[str, Any]]:
            return [
                {"id": one.name, "object": "collection", "model": one.served_as,
                 "documents": len(one.searcher.store.documents(visible(caller)))}
                for one in collections.values() if caller.may_use(one.served_as)
            ]  # fmt: skip

        return {"object": "list", "data": await asyncio.to_thread(counted)}

    @router.get("/v1/documents/{collection}")
    async def list_documents(request: Request, collection: str) -> dict[str, Any]:
        """The documents that the key sees."""
        caller = caller_of(gateway, request)
        store = collection_of(collections, collection, caller).searcher.store
        documents = await asyncio.to_thread(store.documents, visible(caller))
        return {"object": "list", "data": [_document(document) for document in documents]}

    @router.post("/v1/documents/{collection}/search")
    async def search(request: Request, collection: str, asked: Search) -> dict[str, Any]:
        """The passages that answer a question best, of the documents that the key sees."""
        caller = caller_of(gateway, request)
        found = collection_of(collections, collection, caller)
        tokens = estimate_tokens([asked.question])
        if gateway.limits is not None:
            await gateway.limits.take(caller, found.served_as, tokens)
        try:
            hits = await asyncio.to_thread(
                found.searcher.search, asked.question, asked.k, visible(caller, under=asked.under), asked.mode
            )
        finally:
            if gateway.limits is not None:
                await gateway.limits.settle(caller, found.served_as, tokens, tokens)
        return {"object": "list", "data": [_hit(hit) for hit in hits]}

    @router.post("/v1/documents/{collection}", status_code=201)
    async def add(
        request: Request, collection: str, path: _Path, tag: Annotated[list[_Tag] | None, Query()] = None
    ) -> dict[str, Any]:
        """Takes the body in as a file (admins). One that was sent under the same path before is replaced."""
        found = collection_of(collections, collection, admin_of(gateway, request))
        name = checked_path(path)
        data = await read_body(request, gateway.settings.max_body_bytes)
        document = await asyncio.to_thread(take_in, found, name, data, frozenset(tag or ()))
        return _document(document)

    @router.delete("/v1/documents/{collection}/{document_id}")
    async def delete(request: Request, collection: str, document_id: str) -> dict[str, Any]:
        """Takes a document out (admins). One of a followed folder comes back with the next sync."""
        found = collection_of(collections, collection, admin_of(gateway, request))
        removed = await asyncio.to_thread(found.searcher.store.delete, [document_id])
        if not removed:
            raise ModelNotServed(f"There is no document {document_id!r} in {collection}")
        return {"id": document_id, "object": "document", "deleted": True}

    return router


def collection_of(collections: Collections, name: str, caller: Caller) -> Collection:
    """The collection, if it is there and the key's scope covers it."""
    found = collections.get(name)
    if found is None:
        raise ModelNotServed(f"There is no collection {name!r} here", do="GET /v1/documents lists those there are")
    if not caller.may_use(found.served_as):
        raise Forbidden(f"The key may not use {found.served_as}", do="Ask an admin for a key that may")
    return found


def checked_path(path: str) -> str:
    """The path, if it can name a document: relative, within the collection, of a kind that can be read."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not path.isprintable() or "\\" in path:
        raise InvalidRequest(f"{path!r} cannot name a document", do="Give a relative path without ..")
    if pure.suffix.lower() not in known_suffixes():
        kinds = ", ".join(sorted(known_suffixes()))
        raise InvalidRequest(f"Files like {pure.name!r} cannot be read", do=f"Send one of {kinds}")
    return pure.as_posix()


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """A file that was sent as the body; RequestTooLarge over the limit, InvalidRequest where it is empty."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit_bytes:
            raise RequestTooLarge("The file is too large", why=f"the limit is {limit_bytes:,} bytes")
        pieces.append(piece)
    if not size:
        raise InvalidRequest("The file is empty", do="Send the file as the request's body")
    return b"".join(pieces)


def take_in(collection: Collection, path: str, data: bytes, tags: frozenset[str]) -> Document:
    """Loads the file in a process of its own, cuts and embeds it, and puts it in by one transaction."""
    store, embedder = collection.searcher.store, collection.searcher.embedder
    with tempfile.TemporaryDirectory(prefix="inhouse-upload-") as folder:
        file = Path(folder) / f"upload{PurePosixPath(path).suffix.lower()}"
        file.write_bytes(data)
        ((_, loaded),) = load_safely([file], root=Path(folder))
    if isinstance(loaded, LoadFailure):
        raise InvalidRequest(f"{path} cannot be read", why=loaded.reason, do=loaded.do)
    before = next((one for one in store.documents() if (one.source, one.path) == (UPLOADS, path)), None)
    title = PurePosixPath(path).stem if loaded.title in ("", "upload") else loaded.title
    document = Document(
        id=before.id if before else uuid.uuid4().hex, source=UPLOADS, path=path, title=title,
        sha256=hashlib.sha256(data).hexdigest(), media_type=loaded.media_type, size_bytes=len(data),
        pages=loaded.pages, tags=tags, added_at=time.time(), warnings=loaded.warnings,
    )  # fmt: skip
    store.apply([replacement(document, loaded, ingest_of(store, embedder), embedder, store)])
    return document


def _document(document: Document) -> dict[str, Any]:
    kept = asdict(document)
    kept.pop("source")  # a path of this machine
    return {"object": "document", **kept, "tags": sorted(document.tags)}


def _hit(hit: Hit) -> dict[str, Any]:
    part = hit.chunk.chunk
    return {
        "rank": hit.rank, "score": hit.score, "document_id": hit.chunk.document_id, "title": hit.chunk.title,
        "path": hit.chunk.path, "headings": part.headings, "page": part.page, "sheet": part.sheet, "text": part.text,
        "why": hit.why,
    }  # fmt: skip
