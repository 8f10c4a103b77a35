"""The documents' pages: what there is, the state of its folders, upload, a search with its scores, one document.

Each key sees what its tags allow, as over the API, whose functions these pages call.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from inhouse.core.errors import ModelNotServed
from inhouse.docs.sources import sources_of
from inhouse.docs.stores.base import VectorStore
from inhouse.gateway.account import estimate_tokens
from inhouse.gateway.document_routes import checked_path, collection_of, read_body, take_in
from inhouse.gateway.documents import Collections, visible
from inhouse.gateway.web.web import Web, page_router

DOCUMENTS = "/ui/documents"


@dataclass(frozen=True, slots=True)
class Followed:
    """A folder that a collection follows: its name, how many of its files are in, and those that could not be read."""

    name: str
    documents: int
    failed: tuple[tuple[str, str, str], ...]
    """Path, reason, and what its owner can do."""


def document_pages(web: Web, collections: Collections) -> APIRouter:
    """/ui/documents and what lies under it."""
    router = page_router()
    gateway = web.gateway
    web.nav.append(("nav.documents", DOCUMENTS, False))

    @router.get("/documents")
    async def listed(request: Request) -> Response:
        visit, caller = await web.signed_in(request)

        def read() -> list[tuple[str, int]]:
            mine = [one for one in collections.values() if caller.may_use(one.served_as)]
            return [(one.name, len(one.searcher.store.documents(visible(caller)))) for one in mine]

        return web.page(request, visit, "documents.html", collections=await asyncio.to_thread(read))

    @router.get("/documents/{name}")
    async def collection(
        request: Request, name: str, q: str = "", mode: Literal["hybrid", "dense", "sparse"] = "hybrid"
    ) -> Response:
        visit, caller = await web.signed_in(request)
        found = collection_of(collections, name, caller)
        store, hits = found.searcher.store, []
        if q.strip():
            tokens = estimate_tokens([q])
            if gateway.limits is not None:
                await gateway.limits.take(caller, found.served_as, tokens)
            try:
                hits = await asyncio.to_thread(found.searcher.search, q[:20_000], 10, visible(caller), mode)
            finally:
                if gateway.limits is not None:
                    await gateway.limits.settle(caller, found.served_as, tokens, tokens)
        documents = await asyncio.to_thread(store.documents, visible(caller))
        # Where folders lie and what in them failed is for admins: it names documents that others may not see.
        followed = await asyncio.to_thread(followed_by, store) if visit.admin else []
        return web.page(
            request, visit, "collection.html", collection=found, documents=documents, followed=followed, hits=hits, q=q,
            mode=mode,
        )  # fmt: skip

    @router.post("/documents/{name}/upload")
    async def upload(request: Request, name: str, path: str) -> Response:
        """Takes the body in as a file, under that path."""
        _, caller = await web.admin(request)
        found = collection_of(collections, name, caller)
        data = await read_body(request, gateway.settings.max_body_bytes)
        document = await asyncio.to_thread(take_in, found, checked_path(path), data, frozenset())
        return PlainTextResponse("\n".join(document.warnings), 201)

    @router.post("/documents/{name}/{document_id}/delete")
    async def delete(request: Request, name: str, document_id: str) -> Response:
        _, caller = await web.admin(request)
        store = collection_of(collections, name, caller).searcher.store
        await asyncio.to_thread(store.delete, [document_id])
        return RedirectResponse(f"{DOCUMENTS}/{name}", 303)

    @router.get("/documents/{name}/{document_id}")
    async def document(request: Request, name: str, document_id: str, passage: int = -1) -> Response:
        """A document's text, at the passage that a source names."""
        visit, caller = await web.signed_in(request)
        store = collection_of(collections, name, caller).searcher.store
        there = await asyncio.to_thread(store.documents, visible(caller))
        found = next((one for one in there if one.id == document_id), None)
        if found is None:  # also where the key may not see it: not even that it is there
            raise ModelNotServed(f"There is no document {document_id!r} in {name}")
        chunks = await asyncio.to_thread(store.chunks_of, document_id)
        values: dict[str, Any] = {"name": name, "document": found, "passage": passage}
        shown = [one.chunk for one in chunks if one.chunk.embed]
        return web.page(request, visit, "document.html", chunks=shown, **values)

    return router


def followed_by(store: VectorStore) -> list[Followed]:
    """The folders that the collection follows, and how they stood at the last sync."""
    seen: dict[str, dict[str, list[Any]]] = store.settings().get("seen", {})
    documents = store.documents()
    found = []
    for source in sources_of(store):
        place = str(source.place)
        failed = tuple(
            (path, str(kept[4]), str(kept[5])) for path, kept in sorted(seen.get(place, {}).items()) if len(kept) > 5
        )
        count = sum(document.source == place for document in documents)
        found.append(Followed(PurePath(place).name, count, failed))
    return found
