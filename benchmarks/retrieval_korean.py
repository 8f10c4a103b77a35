"""Korean questions and passages: hybrid search against BM25 on words and on letter pairs, and vectors alone.

Measures on ../shared/data/korean_qa_retrieval (or the folder given). No weight was fitted on it, but the hand-set
defaults were kept after variants had been compared on it too, so a fresh set is the fairer judge. LangChain's and
LlamaIndex's pipelines are not run here yet: "vectors alone" is our own nearest-neighbour search with the same
embedding. --questions N takes every so-manieth question; the passages' vectors are kept under the cache folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from inhouse.core.settings import get_settings
from inhouse.docs.embed import NanoEmbedder
from inhouse.docs.records import Chunk, Document
from inhouse.docs.search import Searcher
from inhouse.docs.stores.base import Replace, Vectors
from inhouse.docs.stores.open import open_store
from inhouse.docs.terms import default_how, pairs, terms, words

BAR = (0.93, 0.99)
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "korean_qa_retrieval"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DATA)
    parser.add_argument("--questions", type=int, default=1000, help="0: all of them")
    options = parser.parse_args()
    if not (options.folder / "passages.jsonl").exists():
        print(f"skipped: {options.folder} has no passages.jsonl")
        return 0
    passages = _read(options.folder / "passages.jsonl")
    questions = _read(options.folder / "questions.jsonl")
    if options.questions:
        questions = questions[:: max(1, len(questions) // options.questions)]
    embedder = NanoEmbedder()
    vectors = _kept("passages", [row["text"] for row in passages], embedder.passages)
    with tempfile.TemporaryDirectory() as place:
        ranked: dict[str, list[list[str]]] = {}
        for name, how in {"words": "words", "letter pairs": "bigrams", "hybrid": default_how()}.items():
            with closing(open_store("", "qa", data_dir=Path(place, how))) as store:
                store.apply([_change(row, vector, " ".join(terms(row["text"], how)))  # type: ignore[arg-type]
                             for row, vector in zip(passages, vectors, strict=True)])  # fmt: skip
                if name == "hybrid":
                    searcher = Searcher(store, embedder, how=how)  # type: ignore[arg-type]
                    for label, mode in (("hybrid", "hybrid"), ("vectors alone", "dense")):
                        found_all = [searcher.search(row["question"], 5, mode=mode) for row in questions]  # type: ignore[arg-type]
                        ranked[label] = [[hit.chunk.document_id for hit in hits] for hits in found_all]
                else:
                    cut: Callable[[str], list[str]] = words if how == "words" else pairs
                    found = [store.sparse(cut(row["question"]), 5) for row in questions]
                    ranked[f"BM25 on {name}"] = [
                        [chunk.document_id for chunk in store.chunks([hit.chunk_id for hit in hits])] for hits in found
                    ]
    print(f"{len(passages)} passages, {len(questions)} questions, terms {default_how()}: recall@1, recall@5")
    results = {}
    for name, lists in ranked.items():
        right = [row["passage"] for row in questions]
        at = [np.mean([gold in found[:k] for gold, found in zip(right, lists, strict=True)]) for k in (1, 5)]
        results[name] = (float(at[0]), float(at[1]))
        print(f"  {name:22s} {at[0]:.4f} {at[1]:.4f}")
    one, five = results["hybrid"]
    best_peer = max(score[0] for name, score in results.items() if name != "hybrid")
    print(
        f"hybrid recall@1 {one:.4f} (bar {BAR[0]}), recall@5 {five:.4f} (bar {BAR[1]}), best other @1 {best_peer:.4f}"
    )
    return int(one < BAR[0] or five < BAR[1] or one <= best_peer)


def _change(row: dict[str, str], vector: Vectors, found_by: str) -> Replace:
    digest = hashlib.sha256(row["text"].encode()).hexdigest()
    document = Document(row["id"], "qa", row["id"], "", digest, "text/plain", 1, None, frozenset(), 0.0, ())
    return Replace(document, (Chunk(row["text"], (), None, None, 0, 1),), vector[None, :], [found_by])


def _kept(name: str, texts: list[str], embed: Callable[[list[str]], Vectors]) -> Vectors:
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
    path = get_settings().cache_dir / "benchmarks" / f"{name}-{digest}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.vstack([embed(texts[at : at + 16]) for at in range(0, len(texts), 16)]))
    return np.asarray(np.load(path), dtype=np.float32)


def _read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    sys.exit(main())
