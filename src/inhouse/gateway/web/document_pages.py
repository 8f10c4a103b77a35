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
from inhouse.core.records import Metric, Run
from inhouse.docs.evaluate import KIND
from inhouse.docs.sources import sources_of
from inhouse.docs.stores.base import VectorStore
from inhouse.gateway.account import estimate_tokens
from inhouse.gateway.audit import AuditEvent
from inhouse.gateway.document_routes import checked_path, collection_of, read_body, take_in
from inhouse.gateway.documents import Collections, visible
from inhouse.gateway.web import run_view
from inhouse.gateway.web.run_pages import only_admins
from inhouse.gateway.web.run_view import HeatMap
from inhouse.gateway.web.syncing import Syncs, SyncState
from inhouse.gateway.web.web import Web, page_router
from inhouse.store.repository import Store

DOCUMENTS = "/ui/documents"
_LISTED = 200
_EVALS = 5
_FIGURES = (
    "recall_1",
    "recall_5",
    "mrr",
    "answer_holds",
    "answer_f1",
    "faithfulness",
    "cited",
    "refusal",
    "false_refusal",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What evaluations say of a collection: the newest ones with their figures by name, and ways compared."""

    evals: tuple[tuple[Run, dict[str, Metric]], ...]
    names: tuple[str, ...]
    compared: Run | None
    maps: tuple[HeatMap, ...]


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
    runs = Store.over(gateway.database)
    web.nav.append(("nav.documents", DOCUMENTS, False))

    def synced(name: str, state: SyncState) -> None:
        counts = {what: state.total(what) for what in ("added", "changed", "moved", "deleted", "failed")}
        gateway.log.info("synced", collection=name, error=str(state.error or ""), **counts)

    syncs = Syncs(gateway.clock, gateway.log, synced)

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
        may_see_runs = visit.admin or not only_admins(web)
        measured = await asyncio.to_thread(measured_of, runs, name, visit.lang) if may_see_runs else None
        return web.page(
            request, visit, "collection.html", collection=found, documents=documents[:_LISTED],
            more=len(documents) - _LISTED, followed=followed, hits=hits, q=q, mode=mode, measured=measured,
            state=syncs.state(name) if visit.admin else None, view=run_view,
        )  # fmt: skip

    @router.get("/documents/{name}/sync")
    async def sync_state(request: Request, name: str) -> Response:
        """How the sync stands, as the page shows it; the whole page anew once it has ended."""
        visit, caller = await web.admin(request)
        found = collection_of(collections, name, caller)
        state = syncs.state(name)
        page = web.page(request, visit, "sync_state.html", collection=found, state=state)
        if state is None or not state.running:
            page.headers["HX-Refresh"] = "true"
        return page

    @router.post("/documents/{name}/sync")
    async def sync_now(request: Request, name: str) -> Response:
        """Begins a sync of the collection's folders."""
        _, caller = await web.admin(request)
        syncs.begin(collection_of(collections, name, caller))
        if gateway.keeper is not None:
            actor = f"{caller.name} ({caller.key_id})"
            gateway.keeper.event(AuditEvent(actor, "documents.sync", name))
        return RedirectResponse(f"{DOCUMENTS}/{name}", 303)

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


def measured_of(runs: Store, name: str, lang: str) -> Measured:
    """The collection's newest evaluations, and the newest comparison of ways to cut and search it."""
    found = [run for run in runs.list_runs(kind=KIND, limit=100) if run.config.get("collection") == name]
    compared = next((run for run in found if "compare" in run.config), None)
    evals = []
    for run in [run for run in found if "compare" not in run.config][:_EVALS]:
        metrics = {metric.name: metric for metric in runs.metrics(run.id) if metric.name in _FIGURES}
        evals.append((run, metrics))
    names = tuple(name for name in _FIGURES if any(name in metrics for _, metrics in evals))
    maps = run_view.heat_maps(runs.metrics(compared.id), lang) if compared else []
    return Measured(tuple(evals), names, compared, tuple(maps))
