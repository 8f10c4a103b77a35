"""Makes what a store takes of a document that was read: cuts it, embeds its chunks, finds their terms.

Knows no folder and no file format: `sync` brings files here, and whoever takes uploads.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from inhouse.docs.chunk import ChunkPlan, chunk
from inhouse.docs.embed import Embedder, OnProgress
from inhouse.docs.records import Chunk, Document, Loaded
from inhouse.docs.stores.base import Replace, VectorStore, settle
from inhouse.docs.terms import How, default_how, terms
from inhouse.docs.windows import embed_in_windows


@dataclass(frozen=True, slots=True)
class Ingest:
    """How a collection's documents are cut, embedded and indexed; kept in its settings."""

    plan: ChunkPlan
    how: How


def ingest_of(store: VectorStore, embedder: Embedder, plan: ChunkPlan | None = None) -> Ingest:
    """How this collection does it. A new one takes `plan` and the defaults; another embedding is refused.

    Where an old collection gets another plan, all its documents are marked to be cut anew by the next sync.
    """
    settings = store.settings()
    how: How = settings.get("terms") or default_how()
    settle(store, embedding=embedder.name, dimensions=embedder.dimensions, terms=how)
    kept = settings.get("plan")
    if plan is None:
        return Ingest(ChunkPlan(**kept) if kept else ChunkPlan(), how)
    if kept != asdict(plan):
        values: dict[str, Any] = {"plan": asdict(plan)}
        if kept is not None:
            values["to_cut"] = [document.id for document in store.documents()]
        store.set_settings(values)
    return Ingest(plan, how)


def replacement(
    document: Document,
    loaded: Loaded,
    ingest: Ingest,
    embedder: Embedder,
    store: VectorStore,
    *,
    on_progress: OnProgress | None = None,
) -> Replace:
    """The change that puts the document in; vectors that the store has already are taken from there."""
    chunks = chunk(loaded, ingest.plan, embedder)
    embedded = [part for part in chunks if part.embed]
    made = embed_in_windows(
        embedder, [part.text for part in embedded], store, title=document.title, on_progress=on_progress
    )
    found_by = [" ".join(terms(_with_headings(part, document.title), ingest.how)) for part in embedded]
    return Replace(document, chunks, made.vectors, found_by, made.keys, made.windows)


def _with_headings(part: Chunk, title: str) -> str:
    return "\n".join([title, *(heading for heading in part.headings if heading not in part.text), part.text])
