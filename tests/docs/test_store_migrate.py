"""A collection is moved between stores and is the same afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from collection_writer import document, revision, unit

from inhouse.core.errors import CollectionMismatch, StoreError, UsageError
from inhouse.docs.records import Chunk
from inhouse.docs.stores.base import Delete, Filter, Replace, VectorStore, settle
from inhouse.docs.stores.migrate import MigrateProgress, migrate
from inhouse.docs.stores.open import open_store


def collection(folder: Path, kind: str, name: str = "c") -> VectorStore:
    pytest.importorskip({"chroma": "chromadb", "qdrant": "qdrant_client"}.get(kind, "sqlite3"))
    return open_store("" if kind == "sqlite" else f"{kind}:{folder / kind}", name, data_dir=folder / kind)


def filled(folder: Path) -> VectorStore:
    store = collection(folder, "sqlite")
    settle(store, embedding="test", dimensions=16, terms="words", weights={"dense": 0.3})
    store.apply([revision(f"문서{n}", n) for n in range(12)])
    parent = Chunk("section\0", (), 2, None, 0, 9, embed=False)
    part = Chunk("part", ("제목",), 2, "시트", 1, 2, parent=0)
    secret = document("secret", tags=frozenset({"hr", "board"}))
    store.apply([Replace(secret, [parent, part], unit(3, 1), ["part of it"], [b"0123456789abcdef"])])
    return store


@pytest.mark.parametrize("kind", ["chroma", "qdrant"])
def test_there_and_back_again(tmp_path: Path, kind: str) -> None:
    source = filled(tmp_path)
    between = collection(tmp_path, kind)
    first = migrate(source, between)
    assert (first.copied, first.kept, first.counts) == (13, 0, source.count())
    back = collection(tmp_path, "sqlite", "again")
    second = migrate(between, back)
    assert second.checksum == first.checksum
    assert back.settings() == source.settings()
    assert back.sparse(["part"], 5)[0].score == pytest.approx(source.sparse(["part"], 5)[0].score)
    assert back.dense(unit(4, 4)[1], 5, Filter(tags_any=frozenset()))[0].score == pytest.approx(1, abs=1e-3)
    for store in (source, between, back):
        store.close()


def test_goes_on_after_it_was_cut_off_and_copies_only_what_differs(tmp_path: Path) -> None:
    source, target = filled(tmp_path), collection(tmp_path, "sqlite", "target")

    def stop(at: MigrateProgress) -> None:
        if at.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(source, target, stop)
    assert target.count().documents == 5
    rest = migrate(source, target)
    assert (rest.copied, rest.kept) == (8, 5)
    source.apply([revision("문서3", 99)])
    again = migrate(source, target)
    assert (again.copied, again.kept) == (1, 12)
    assert again.checksum != rest.checksum


def test_a_target_with_other_documents_or_another_embedding_is_refused(tmp_path: Path) -> None:
    source, target = filled(tmp_path), collection(tmp_path, "sqlite", "target")
    target.apply([revision("other", 1)])
    with pytest.raises(UsageError, match="1 documents"):
        migrate(source, target)
    target.apply([Delete("other")])
    target.set_settings({"embedding": "another"})
    with pytest.raises(CollectionMismatch):
        migrate(source, target)


def test_a_source_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    source, target = filled(tmp_path), collection(tmp_path, "sqlite", "target")

    def change(at: MigrateProgress) -> None:
        if (at.phase, at.done) == ("copy", 5):
            source.apply([Delete("문서1")])

    with pytest.raises(StoreError, match="changed"):
        migrate(source, target, change)
