"""Embedding and reranking by a real engine, and weights fitted on questions: with a real tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from scripted_engine import ScriptedEngine
from sync_child import HashedWords

from inhouse.core.errors import EngineProtocolError, UnsupportedFeature
from inhouse.docs.embed import EngineEmbedder
from inhouse.docs.fusion import Weights
from inhouse.docs.records import Chunk, Document
from inhouse.docs.rerank import rerank
from inhouse.docs.search import Searcher, fit_weights
from inhouse.docs.stores.base import Replace, StoredChunk, VectorStore
from inhouse.docs.stores.open import open_store
from inhouse.docs.terms import terms
from inhouse.engines.base import Embeddings
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.launch import LaunchSpec

TINY = "smollm2:135m"
RULES = {
    "leave": "Every employee has 25 days of leave a year.",
    "trains": "Trains are booked in second class.",
    "pay": "Salaries are paid on the 21st of a month.",
    "doors": "The doors of the building open at seven.",
}


@pytest.fixture(scope="module")
def spec(tiny_model: Path) -> LaunchSpec:
    return LaunchSpec(TINY, tiny_model, context=512, slots=2, threads=1, embeddings=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VectorStore]:
    opened = open_store("", "rules", data_dir=tmp_path)
    opened.set_settings({"terms": "words+bigrams"})
    yield opened
    opened.close()


def fill(store: VectorStore, vectors: np.ndarray, rules: dict[str, str]) -> None:
    for number, (name, text) in enumerate(rules.items()):
        document = Document(name, "s", name, name, name, "text/plain", 1, None, frozenset(), 0.0, ())
        chunk = Chunk(text, (), None, None, 0, 1)
        store.apply(
            [Replace(document, (chunk,), vectors[number : number + 1], [" ".join(terms(text, "words+bigrams"))])]
        )


def test_an_engine_embeds_passages_and_questions(spec: LaunchSpec, store: VectorStore) -> None:
    embedder = EngineEmbedder(EmbeddedEngine(lambda _: spec), TINY, name=f"embedded:{TINY}")
    try:
        rows = embedder.passages(list(RULES.values()))
        assert rows.shape == (4, embedder.dimensions)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-5)
        assert embedder.passages([]).shape == (0, embedder.dimensions)
        again = embedder.queries([RULES["pay"]])[0]
        assert int(np.argmax(rows @ again)) == 2  # without prefixes a text is nearest to itself
        fill(store, rows, RULES)
        hits = Searcher(store, embedder).search("Salaries are paid on which day?", 2)
        assert hits[0].chunk.document_id == "pay"
        assert len(embedder.token_offsets("연차 25 days")) == embedder.count_tokens("연차 25 days") == 4
    finally:
        embedder.close()


def test_an_engine_without_embeddings_says_so(spec: LaunchSpec) -> None:
    with pytest.raises(UnsupportedFeature, match="without embeddings"):
        EngineEmbedder(EmbeddedEngine(lambda _: replace(spec, embeddings=False)), TINY)
    left = [child for child in psutil.Process().children() if "inhouse.engines.worker" in " ".join(child.cmdline())]
    assert left == []


def test_vectors_that_cannot_be_compared_are_refused() -> None:
    class Broken:
        async def embed(self, model: str, texts: list[str]) -> Embeddings:
            return Embeddings(tuple((0.0, 0.0) for _ in texts), 0)

        async def close(self) -> None: ...

    with pytest.raises(EngineProtocolError, match="no usable vectors"):
        EngineEmbedder(Broken(), "zero")


async def test_a_model_puts_the_hits_in_order(spec: LaunchSpec, store: VectorStore) -> None:
    embedder = HashedWords()
    fill(store, embedder.passages(list(RULES.values())), RULES)
    hits = Searcher(store, embedder).search("When are salaries paid?", 4)
    engine = EmbeddedEngine(lambda _: spec)
    try:
        ranked = await rerank(engine, TINY, "When are salaries paid?", hits, share=1.0)
        kept = await rerank(engine, TINY, "When are salaries paid?", hits, share=0.0)
    finally:
        await engine.close()
    odds = [hit.why["rerank"] for hit in ranked]
    assert odds == sorted(odds, reverse=True)
    assert len(set(odds)) > 1
    assert [hit.rank for hit in ranked] == [1, 2, 3, 4]
    assert [hit.chunk.id for hit in kept] == [hit.chunk.id for hit in hits]


async def test_reranking_needs_log_probabilities(store: VectorStore) -> None:
    embedder = HashedWords()
    fill(store, embedder.passages(list(RULES.values())), RULES)
    hits = Searcher(store, embedder).search("leave", 2)
    with pytest.raises(UnsupportedFeature, match="log-probabilities"):
        await rerank(ScriptedEngine(), "m", "leave", hits)


def test_weights_fitted_on_questions_put_their_chunks_first(store: VectorStore) -> None:
    """Words are all shared, so only the vectors tell which rule is asked for."""

    class OneEach(HashedWords):
        def queries(self, texts: list[str]) -> np.ndarray:
            return np.stack([np.eye(32, dtype=np.float32)[int(text.split()[-1])] for text in texts])

    embedder = OneEach()
    rules = {f"r{n}": "rule of the house " * (n + 1) for n in range(20)}
    fill(store, np.eye(32, dtype=np.float32)[:20], rules)
    asked = [(f"the rule of the house number {n}", f"r{n}") for n in range(20)]

    def is_right(name: str):
        return lambda chunk: isinstance(chunk, StoredChunk) and chunk.document_id == name

    def first(weights: Weights) -> int:
        searcher = Searcher(store, embedder, weights=weights)
        return sum(searcher.search(question, 1)[0].chunk.document_id == name for question, name in asked)

    by_words = Weights(dense=0.05, bm25_words=3.0, bm25_pairs=3.0, covered_words=4.0, covered_pairs=4.0)
    fitted = fit_weights(Searcher(store, embedder), [(question, is_right(name)) for question, name in asked])
    assert first(fitted) == 20 > first(by_words)
    store.set_settings({"weights": {"dense": fitted.dense}})
    assert Searcher(store, embedder).weights.dense == fitted.dense
    assert fit_weights(Searcher(store, embedder), []) == Weights()
    assert fit_weights(Searcher(store, embedder), [("the rule 1", is_right("elsewhere"))]) == Weights()
