"""Chunks embedded by windows of a few sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sync_child import HashedWords

from inhouse.docs.fusion import Weights
from inhouse.docs.records import Chunk, Document
from inhouse.docs.search import Searcher
from inhouse.docs.stores.base import Replace, VectorStore
from inhouse.docs.stores.migrate import migrate
from inhouse.docs.stores.open import open_store
from inhouse.docs.windows import SIZE, embed_in_windows, windows_in

FILLER = " ".join(["filler"] * 40)
LONG = f"The first rule is about {FILLER}. Trains are booked in second class. The last rule is about {FILLER}."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VectorStore]:
    with closing(open_store("", "w", data_dir=tmp_path)) as opened:
        yield opened


def document(name: str) -> Document:
    return Document(name, "s", name, "", name, "text/plain", 1, None, frozenset(), 0.0, ())


def put(store: VectorStore, embedder: HashedWords, name: str, text: str) -> None:
    made = embed_in_windows(embedder, [text], store)
    chunk = Chunk(text, (), None, None, 0, 1)
    store.apply([Replace(document(name), (chunk,), made.vectors, [""], made.keys, made.windows)])


def test_windows_hold_all_sentences_in_order_and_keep_to_their_size() -> None:
    embedder = HashedWords()
    windows = windows_in(LONG, embedder)
    assert len(windows) == 2
    assert " ".join(windows) == LONG
    assert all(embedder.count_tokens(window) <= SIZE for window in windows)
    assert windows_in("One short sentence.", embedder) == ["One short sentence."]
    assert windows_in("", embedder) == [""]
    endless = " ".join(["word"] * 200)
    assert windows_in(endless, embedder) == [endless]


def test_a_chunk_of_one_window_is_embedded_as_it_is_and_keeps_none(store: VectorStore) -> None:
    embedder = HashedWords()
    made = embed_in_windows(embedder, ["One short sentence."], store, title="Rules")
    assert embedder.embedded == ["Rules\nOne short sentence."]
    assert len(made.windows[0]) == 0
    assert np.linalg.norm(made.vectors, axis=1) == pytest.approx(1.0)


def test_what_the_store_has_is_not_embedded_again(store: VectorStore) -> None:
    embedder = HashedWords()
    put(store, embedder, "a", LONG)
    embedder.embedded.clear()
    again = embed_in_windows(embedder, [LONG, "Something new."], store)
    assert embedder.embedded == ["Something new."]
    assert [len(windows) for windows in again.windows] == [2, 0]


def test_a_sentence_deep_in_a_long_chunk_is_found_by_its_window(store: VectorStore) -> None:
    embedder = HashedWords()
    put(store, embedder, "deep", LONG)
    for number in range(5):
        put(store, embedder, f"near{number}", f"Buses are booked in first class on line {number}, trains never.")
    question = "Trains are booked in second class"

    def first(weights: Weights) -> str:
        return Searcher(store, embedder, weights=weights).search(question, 1, mode="dense")[0].chunk.document_id

    blurred = Weights(1, 0, 0, 0, 0, window=0)
    assert first(blurred) != "deep"
    put(store, embedder, "deep", f"{LONG[: LONG.index('. Trains') + 1]} {FILLER}. {question}.")
    assert first(Weights(0, 0, 0, 0, 0, window=1)) == "deep"


def test_windows_move_to_another_store(store: VectorStore, tmp_path: Path) -> None:
    put(store, HashedWords(), "deep", LONG)
    with closing(open_store(f"sqlite:///{tmp_path / 'moved.db'}", "w", data_dir=tmp_path)) as target:
        migrate(store, target)
        (chunk,) = target.chunks_of("deep")
        assert len(target.windows([chunk.id])[0]) == 2


def test_a_collection_of_the_first_schema_is_opened_and_gains_windows(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with closing(open_store(f"sqlite:///{file}", "old", data_dir=tmp_path)) as made:
        made.replace(document("old"), [Chunk("old text", (), None, None, 0, 1)], np.eye(1, 32, dtype=np.float32))
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("DROP TABLE windows")
        db.execute("UPDATE meta SET value = 1 WHERE name = 'schema'")
    with closing(open_store(f"sqlite:///{file}", "old", data_dir=tmp_path)) as store:
        assert Searcher(store, HashedWords(), how="words").search("old text", 1)[0].chunk.document_id == "old"
        put(store, HashedWords(), "deep", LONG)
        assert [len(store.windows([store.chunks_of(name)[0].id])[0]) for name in ("old", "deep")] == [0, 2]
