"""Claim: of 100,000 chunks with 384 dimensions, on one core, dense search takes at most 10 ms (p50) and hybrid
25 ms; of 1,000,000, hybrid at most 100 ms (--full). The ten nearest are those of comparing all in float32.

Hybrid is the whole `Searcher.search` but for the embedding of the question: the 100 best by vector, by BM25 on words
and by BM25 on pairs, terms and windows of all of them, the fusion, and the texts of the ten best. Beside it, in the
same run: NumPy's float32 product over all vectors, and FTS5's bm25 over the same terms for ten of the questions.

    python benchmarks/search_100k.py [--full] [--chunks N] [--keep FOLDER [--add-only]]
"""

from __future__ import annotations

import argparse
import os
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inhouse.docs.search import Searcher
from inhouse.docs.stores.base import Filter, Vectors
from inhouse.docs.stores.sqlite import SqliteStore
from inhouse.docs.terms import PAIR
from synthetic_collection import DIMENSIONS, HOW, documents, questions

BARS_MS = {100_000: (10.0, 25.0), 1_000_000: (None, 100.0)}
QUESTIONS, WARM_UP = 100, 5
RECALL = 0.998

Question = tuple[NDArray[np.float32], str]


def fill(store: SqliteStore, chunks: int) -> float:
    """Adds what the collection does not have yet; seconds."""
    start, have = time.perf_counter(), store.count().documents
    waiting = []
    for change in documents(chunks):
        if have > 0:
            have -= 1
            continue
        waiting.append(change)
        if len(waiting) == 10:
            store.apply(waiting)
            waiting = []
    store.apply(waiting)
    return time.perf_counter() - start


class Given:
    """An embedder that has been asked before: embedding a question takes as long whatever the collection's size."""

    name, dimensions, max_tokens = "given", DIMENSIONS, 512

    def __init__(self, asked: Sequence[Question]) -> None:
        self._vectors = {text: vector for vector, text in asked}

    def queries(self, texts: Sequence[str]) -> Vectors:
        """The vectors that the texts were given with."""
        return np.stack([self._vectors[text] for text in texts])

    def passages(self, texts: Sequence[str]) -> Vectors:
        """As for questions."""
        return self.queries(texts)

    def count_tokens(self, text: str) -> int:
        """Its words."""
        return len(text.split())

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Its words' places."""
        return [match.span() for match in re.finditer(r"\S+", text)]


def timed(name: str, question: Callable[[NDArray[np.float32], str], object], asked: Sequence[Question]) -> float:
    """Asks each question once and prints the times; the median in milliseconds.

    Beside it the median of the processor's time, which other work on the machine hardly changes.
    """
    for vector, text in asked[:WARM_UP]:
        question(vector, text)
    took, worked = [], []
    for vector, text in asked:
        start, begun = time.perf_counter(), time.process_time()
        question(vector, text)
        took.append((time.perf_counter() - start) * 1000)
        worked.append((time.process_time() - begun) * 1000)
    p50, p95, p99 = np.percentile(took, [50, 95, 99])
    cpu = np.median(worked)
    print(f"{name:34} p50 {p50:7.2f}  p95 {p95:7.2f}  p99 {p99:7.2f} ms, CPU p50 {cpu:7.2f} ms", flush=True)
    return float(p50)


def fts5(folder: Path, asked: Sequence[Question], chunks: int) -> None:
    """What SQLite's own full-text index takes for the same terms."""
    file = folder / "fts5.db"
    file.unlink(missing_ok=True)
    db = sqlite3.connect(file)
    db.execute("CREATE VIRTUAL TABLE f USING fts5(terms, content='', tokenize='unicode61 tokenchars ''·''')")
    with db:
        at = 0
        for change in documents(chunks):
            rows = ((at + n, text) for n, text in enumerate(change.terms))
            db.executemany("INSERT INTO f(rowid, terms) VALUES (?, ?)", rows)
            at += len(change.terms)

    def ask(_: object, text: str) -> object:
        words = " OR ".join(f'"{PAIR}{term}"' for term in text.split())
        return db.execute("SELECT rowid, rank FROM f WHERE f MATCH ? ORDER BY rank LIMIT 50", (words,)).fetchall()

    timed("  FTS5 bm25, 50 best", ask, asked[:10])
    db.close()


def measure(folder: Path, chunks: int, *, compare: bool, add_only: bool) -> bool:
    """Measures one size; whether it keeps the bars."""
    store = SqliteStore(folder / f"{chunks}.db")
    print(f"\n{chunks:,} chunks: added (or found) in {fill(store, chunks):.1f} s, ", end="")
    start = time.perf_counter()
    store.prepare()
    size = store.size_bytes() or 0
    print(f"mirrored in {time.perf_counter() - start:.1f} s, {size / 1e6:,.0f} MB with the mirror", flush=True)
    if add_only:
        store.close()
        return True
    start = time.perf_counter()
    again = SqliteStore(folder / f"{chunks}.db")
    asked = list(questions(chunks, QUESTIONS))
    searcher = Searcher(again, Given(asked), how=HOW)
    searcher.search(asked[0][1], 10)
    print(f"{'opened, first hybrid search':34} {(time.perf_counter() - start) * 1000:11.2f} ms")
    dense_ms = timed("dense, 10 best", lambda vector, _: again.dense(vector, 10), asked)
    timed("BM25 on pairs, 100 best", lambda _, text: again.sparse([PAIR + term for term in text.split()], 100), asked)
    hybrid_ms = timed("hybrid, 10 best with texts", lambda _, text: searcher.search(text, 10), asked)
    tagged = Filter(tags_any=frozenset({"team1"}))
    timed("hybrid, a quarter by access tags", lambda _, text: searcher.search(text, 10, tagged), asked)
    recall: float | None = None
    if compare:
        every = np.concatenate([change.vectors for change in documents(chunks)])
        ids = np.array(again.catalogue.all_embedded())
        timed("  NumPy float32, all, 10 best", lambda vector, _: np.argpartition(every @ vector, -10)[-10:], asked)
        hits = [{h.chunk_id for h in again.dense(vector, 10)} for vector, _ in asked]
        truth = [set(ids[np.argsort(-(every @ vector))[:10]].tolist()) for vector, _ in asked]
        recall = float(np.mean([len(a & b) / 10 for a, b in zip(hits, truth, strict=True)]))
        del every
        fts5(folder, asked, chunks)
    dense_bar, hybrid_bar = BARS_MS.get(chunks, (None, None))
    store.close()
    again.close()
    print(
        f"{chunks:,} × {DIMENSIONS}: dense p50 {dense_ms:.1f} ms (bar {dense_bar or '–'}), "
        f"hybrid p50 {hybrid_ms:.1f} ms (bar {hybrid_bar or '–'}), "
        f"recall@10 against float32 {'not compared' if recall is None else f'{recall:.4f}'} (bar {RECALL})"
    )
    return dense_ms <= (dense_bar or 1e9) and hybrid_ms <= (hybrid_bar or 1e9) and (recall is None or recall >= RECALL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="1,000,000 chunks as well")
    parser.add_argument("--chunks", type=int, help="only this size")
    parser.add_argument("--keep", type=Path, help="keep the collections in this folder and use them again")
    parser.add_argument("--add-only", action="store_true", help="measure nothing; may be stopped and run again")
    options = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # read when NumPy is imported
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sizes = [options.chunks] if options.chunks else [100_000, 1_000_000] if options.full else [100_000]
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    good = True
    for chunks in sizes:
        with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
            good &= measure(Path(folder), chunks, compare=chunks <= 100_000, add_only=options.add_only)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
