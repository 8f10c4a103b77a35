"""Tries the same collection in another store: what its search finds, how fast, and what it takes to hold it.

The chunks, vectors and terms are copied from a collection that is there already, so nothing is embedded, and the
stores differ in nothing else. The copy is dropped afterwards, on servers too.
"""

from __future__ import annotations

import importlib.util
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from inhouse.core.errors import StoreError
from inhouse.core.records import Metric
from inhouse.docs.compare import Tried, Way
from inhouse.docs.embed import Embedder
from inhouse.docs.evaluate import metrics_of, search_all
from inhouse.docs.questions import Question
from inhouse.docs.search import Searcher
from inhouse.docs.stores.base import FIXED_SETTINGS, VectorStore, settle
from inhouse.docs.stores.migrate import copied_from
from inhouse.docs.stores.open import open_store

_IN_A_FOLDER = {"sqlite": "", "chroma": "chromadb", "qdrant": "qdrant_client"}
"""Stores that need no server, and the package of each."""


def installed_stores() -> list[str]:
    """The stores that can be tried here without a server."""
    return [kind for kind, package in _IN_A_FOLDER.items() if not package or importlib.util.find_spec(package)]


def try_store(
    questions: Sequence[Question], source: VectorStore, embedder: Embedder, way: Way, url: str, *, folder: Path,
    seed: int,
) -> Tried:  # fmt: skip
    """Copies the source into the store and searches it there, as `way` says; `index_s` is the time of the adding.

    Args:
        questions: What is asked.
        source: The collection, cut as `way.plan`.
        embedder: What embeds the questions.
        way: How to search; its plan goes into the labels.
        url: A store as `open_store` takes it, or sqlite, chroma or qdrant alone: that in `folder`. Its other
            collections are left alone; of a SQLite URL the kind alone counts.
        folder: Where files may lie that are thrown away.
        seed: Fixes the intervals.

    Raises:
        StoreError, MissingExtra, UsageError: the store cannot be used.
    """
    name = f"compare-{uuid.uuid4().hex[:8]}"
    # A SQLite URL names the very file of a collection, whatever `name` says: never that one.
    place = "" if url.startswith("sqlite") else f"{url}:{folder / name}" if url in _IN_A_FOLDER else url
    store = open_store(place, name, data_dir=folder)
    if store.count().chunks:
        store.close()
        raise StoreError(f"{url} has a collection {name} already", do="Try again")
    try:
        settings = source.settings()
        settle(store, **{key: settings[key] for key in (*FIXED_SETTINGS, "weights") if key in settings})
        index_s = 0.0
        for document in source.documents():
            change = copied_from(source, document)
            began = time.perf_counter()
            store.apply([change])
            index_s += time.perf_counter() - began
        began = time.perf_counter()
        store.prepare()
        index_s += time.perf_counter() - began
        searcher = Searcher(store, embedder)
        searcher.search("warm up", 1)
        here = Way(way.plan, way.mode, way.k, store.name)
        scored = search_all(questions, searcher, k=way.k, mode=way.mode)
        size, chunks = store.size_bytes(), store.count().chunks
        metrics = [
            *metrics_of(scored, seed=seed, labels=here.labels),
            Metric("chunks", float(chunks), "", here.labels, method="counted"),
            Metric("index_s", index_s, "s", here.labels),
            Metric("exact", float(store.capabilities.exact), "", here.labels, method="as the store says"),
        ]
        if size is not None:
            metrics.append(Metric("index_bytes", float(size), "B", here.labels))
        return Tried(here, tuple(scored), tuple(metrics), chunks, index_s, size)
    finally:
        store.drop()
