"""The mirror of the SQLite store: rebuilt when it is damaged, kept in step, exact at its sizes."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from collection_writer import document, revision, unit

from inhouse.core.errors import StoreError, UsageError
from inhouse.docs.records import Chunk
from inhouse.docs.stores import mirror as mirror_module
from inhouse.docs.stores.base import Delete, Filter, Replace, Vectors
from inhouse.docs.stores.file import held_bytes
from inhouse.docs.stores.open import open_store
from inhouse.docs.stores.segment import best_of
from inhouse.docs.stores.sqlite import SqliteStore

MIRROR = "c.db-mirror"


def opened(folder: Path) -> SqliteStore:
    return SqliteStore(folder / "c.db")


def segments(folder: Path) -> list[Path]:
    return sorted((folder / MIRROR).glob("*.seg"))


def put_many(store: SqliteStore, documents: int, each: int, dimensions: int = 384) -> Vectors:
    vectors = unit(0, documents * each, dimensions)
    for n in range(documents):
        chunks = [Chunk(f"{n} {order}", (), None, None, order, 1) for order in range(each)]
        store.apply([Replace(document(f"d{n}"), chunks, vectors[n * each : (n + 1) * each], [c.text for c in chunks])])
    return vectors


def test_vectors_that_lie_close_together_are_ranked_as_by_comparing_all(tmp_path: Path) -> None:
    # As embeddings of one language do: a large part in common, small differences.
    store = opened(tmp_path)
    vectors = unit(1, 1, 384) + 0.5 * unit(2, 4000, 384)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chunks = [Chunk(str(n), (), None, None, n, 1) for n in range(4000)]
    store.apply([Replace(document("d"), chunks, vectors, [""] * 4000)])
    kept = vectors.astype(np.float16).astype(np.float32)
    order = {stored.id: stored.chunk.order for stored in store.chunks_of("d")}
    questions = unit(1, 1, 384) + 0.5 * unit(3, 50, 384)
    for question in questions / np.linalg.norm(questions, axis=1, keepdims=True):
        hits = [order[hit.chunk_id] for hit in store.dense(question, 10)]
        assert hits == np.argsort(-(kept @ question), kind="stable")[:10].tolist()


def test_a_byte_that_changed_while_the_machine_ran_is_found_by_verify(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put_many(store, 10, 5, 32)
    store.prepare()
    (segment,) = segments(tmp_path)
    data = bytearray(segment.read_bytes())
    data[-200] ^= 0xFF
    segment.write_bytes(data)
    again = opened(tmp_path)
    assert not again.verify()
    assert again.verify()


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap", "manifest", "gone"])
def test_a_damaged_mirror_is_built_again(tmp_path: Path, damage: str) -> None:
    store = opened(tmp_path)
    put_many(store, 10, 5, 32)
    expected = store.dense(unit(0, 50, 32)[17], 5)
    store.close()
    (segment,) = segments(tmp_path)
    data = bytearray(segment.read_bytes())
    if damage == "flip":
        data[-200] ^= 0xFF
        segment.write_bytes(data)
        os.utime(segment, (1e9, 1e9))  # from before the machine was started
    elif damage == "cut":
        segment.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        segment.write_bytes(b"")
    elif damage == "swap":
        other = SqliteStore(tmp_path / "other.db")
        put_many(other, 5, 10, 32)
        other.prepare()
        other.close()
        shutil.copy(next((tmp_path / "other.db-mirror").glob("*.seg")), segment)
    elif damage == "manifest":
        (tmp_path / MIRROR / "manifest.json").write_text("{")
    else:
        shutil.rmtree(tmp_path / MIRROR)
    again = opened(tmp_path)
    assert again.dense(unit(0, 50, 32)[17], 5) == expected
    assert again.verify()


def test_each_change_costs_a_small_segment_and_segments_stay_few(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put_many(store, 1, 500, 16)
    store.prepare()
    for n in range(60):
        store.apply([revision(f"e{n}", n)])
        assert len(store.dense(unit(n, 4)[0], 1000)) == 500 + 4 * (n + 1)
    assert 1 < len(segments(tmp_path)) <= 8
    store.apply([Delete(f"e{n}") for n in range(60)])
    assert len(store.dense(unit(1, 4)[0], 1000)) == 500
    assert store.verify()


def test_a_large_collection_is_cut_into_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_module, "LARGEST", 100)
    store = opened(tmp_path)
    vectors = put_many(store, 10, 37, 32)
    kept = vectors.astype(np.float16).astype(np.float32)
    hits = store.dense(vectors[5], 20)
    assert len(segments(tmp_path)) == 4
    assert [hit.score for hit in hits] == pytest.approx(np.sort(-(kept @ vectors[5]))[:20] * -1, abs=1e-5)
    only = Filter(document_ids=frozenset({"d9"}))
    assert {s.document_id for s in store.chunks([h.chunk_id for h in store.dense(vectors[5], 99, only)])} == {"d9"}
    assert len(store.sparse(["5"], 1000)) == 37 + 9


def test_what_another_process_changed_is_seen_by_the_next_search(tmp_path: Path) -> None:
    one, two = opened(tmp_path), opened(tmp_path)
    one.apply([revision("a", 1)])
    assert len(two.dense(unit(1, 4)[0], 10)) == 4
    two.apply([revision("a", 2, chunks=2), revision("b", 3)])
    assert len(one.dense(unit(1, 4)[0], 10)) == 6
    one.apply([Delete("a")])
    assert len(two.dense(unit(1, 4)[0], 10)) == len(two.sparse(["chunk0", "chunk1", "chunk2", "chunk3"], 10)) == 4


def test_without_a_place_for_the_mirror_it_stays_in_memory(tmp_path: Path) -> None:
    store = opened(tmp_path)
    (tmp_path / MIRROR).write_text("a file where the folder should be")
    store.apply([revision("a", 1)])
    assert len(store.dense(unit(1, 4)[0], 10)) == 4
    store.apply([Delete("a")])
    assert store.dense(unit(1, 4)[0], 10) == []


def test_threads_search_while_another_writes(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.apply([revision("a", 1)])
    failures: list[BaseException] = []

    def search() -> None:
        try:
            for _ in range(60):
                assert len(store.dense(unit(1, 4)[0], 10)) >= 2
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(30):
        store.apply([revision("a", n, chunks=2 + n % 3)])
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_file_of_something_else_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="no readable collection"):
        opened(tmp_path)
    for url in ("mysql://x", "chroma:", "nonsense"):
        with pytest.raises(UsageError, match="no document store"):
            open_store(url, "c", data_dir=tmp_path)
    for name in ("../c", "", "a/b", "x" * 64):
        with pytest.raises(UsageError, match="named"):
            open_store("", name, data_dir=tmp_path)


def test_the_size_of_a_collection_leaves_out_the_journal_of_its_changes(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put_many(store, 20, 5)
    assert (tmp_path / "c.db-wal").stat().st_size > 0
    size = held_bytes(tmp_path / "c.db")
    store.close()
    assert size == (tmp_path / "c.db").stat().st_size


@pytest.mark.parametrize("kind", ["spread", "mostly zero", "all zero", "ties", "negative"])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_the_best_of_many_are_those_of_sorting_all(kind: str, k: int) -> None:
    rng = np.random.default_rng(3)
    scores = rng.standard_normal(20_000)
    if kind == "mostly zero":
        scores = np.where(rng.random(20_000) < 0.01, np.abs(scores), 0.0)
    elif kind == "all zero":
        scores = np.zeros(20_000)
    elif kind == "ties":
        scores = rng.integers(0, 3, 20_000).astype(float)
    elif kind == "negative":
        scores = -np.abs(scores)
    found = best_of(scores, k)
    assert len(set(found.tolist())) == k
    assert sorted(scores[found]) == sorted(scores)[-k:]
