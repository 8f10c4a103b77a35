"""Tries ways of cutting and searching the same documents on the same questions: which is best, and what it costs.

Each way of cutting is a collection of its own in a folder that is thrown away. No model answers here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inhouse.bench.statistics import holm
from inhouse.core.records import Metric, Scalar
from inhouse.docs.chunk import ChunkPlan
from inhouse.docs.embed import Embedder
from inhouse.docs.evaluate import Difference, Scored, metrics_of, paired, search_all
from inhouse.docs.ingest import ingest_of
from inhouse.docs.questions import Question
from inhouse.docs.search import Mode, Searcher
from inhouse.docs.sources import Source
from inhouse.docs.stores.base import VectorStore
from inhouse.docs.stores.file import held_bytes
from inhouse.docs.stores.open import open_store
from inhouse.docs.sync import sync


@dataclass(frozen=True, slots=True)
class Way:
    """One way to cut, to search, and to keep what was cut."""

    plan: ChunkPlan
    mode: Mode
    k: int
    store: str = "sqlite"

    @property
    def labels(self) -> dict[str, Scalar]:
        """As a metric's labels."""
        return {"strategy": self.plan.strategy, "size": self.plan.size, "mode": self.mode, "k": self.k,
                "store": self.store}  # fmt: skip

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.plan.strategy} {self.plan.size}, {self.mode}, k={self.k}"


@dataclass(frozen=True, slots=True)
class Tried:
    """A way's outcome: its questions, its figures, and what its index took: chunks, seconds, bytes (None: not told)."""

    way: Way
    scored: tuple[Scored, ...]
    metrics: tuple[Metric, ...]
    chunks: int
    index_s: float
    index_bytes: int | None

    def value(self, name: str) -> float:
        """A figure by its name; the median of a time."""
        for metric in self.metrics:
            if metric.name == name and metric.labels.get("stat", "p50") == "p50":
                return metric.value
        return float("nan")


@dataclass(frozen=True, slots=True)
class Standing:
    """A way beside the best: what it lacks in recall, and whether that is more than chance (over all ways, Holm)."""

    tried: Tried
    behind: Difference | None
    worse: bool


def compare(
    questions: Sequence[Question],
    sources: Sequence[Source],
    embedder: Embedder,
    *,
    plans: Sequence[ChunkPlan],
    modes: Sequence[Mode],
    ks: Sequence[int],
    folder: Path,
    seed: int,
    on_progress: Callable[[str], None] | None = None,
    until: float | None = None,
) -> Iterator[Tried]:
    """Tries every way; stops between two ways of cutting once `until` (perf_counter) has come."""
    for number, plan in enumerate(plans):
        if until is not None and number and time.perf_counter() >= until:
            return
        if on_progress:
            on_progress(f"{plan.strategy} {plan.size}")
        store = open_way(folder, number)
        try:
            ingest_of(store, embedder, plan)
            began = time.perf_counter()
            for source in sources:
                sync(replace(source, tags=frozenset(), rules=()), store, embedder, lock=folder / "docs" / "lock")
            index_s = time.perf_counter() - began
            searcher = Searcher(store, embedder)
            searcher.search("warm up", 1)
            size = held_bytes(folder / "docs" / f"way{number}.db")
            for mode in modes:
                for k in ks:
                    way = Way(plan, mode, k)
                    scored = search_all(questions, searcher, k=k, mode=mode)
                    metrics = metrics_of(scored, seed=seed, labels=way.labels)
                    chunks = store.count().chunks
                    metrics += [
                        Metric("chunks", float(chunks), "", way.labels, method="counted"),
                        Metric("index_s", index_s, "s", way.labels),
                        Metric("index_bytes", float(size), "B", way.labels),
                    ]
                    yield Tried(way, tuple(scored), tuple(metrics), chunks, index_s, size)
        finally:
            store.close()


def open_way(folder: Path, number: int) -> VectorStore:
    """The collection of the `number`-th plan that `compare` made in the folder."""
    return open_store("", f"way{number}", data_dir=folder)


def ranked(tried: Sequence[Tried], *, seed: int) -> list[Standing]:
    """The ways, best first: by recall at their own k, then by MRR, then by the fewest tokens for the model."""

    def recall_of(one: Tried) -> str:
        return f"recall_{max(cut for cut in (1, 3, 5, 10) if cut <= one.way.k)}"

    order = sorted(
        tried, key=lambda one: (-one.value(recall_of(one)), -one.value("mrr"), one.value("context_tokens"))
    )  # fmt: skip
    best = order[0]
    behind = [paired(one.scored, best.scored, "mrr", seed=seed) for one in order[1:]]
    worse = holm([difference.p if difference else 1.0 for difference in behind])
    rest = [
        Standing(one, difference, fell and difference is not None and difference.value < 0)
        for one, difference, fell in zip(order[1:], behind, worse, strict=True)
    ]
    return [Standing(best, None, False), *rest]
