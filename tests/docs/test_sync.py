"""A folder and its collection, kept in step."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sync_child
from sync_child import HashedWords

from inhouse.core.errors import DocumentError
from inhouse.docs.search import Searcher
from inhouse.docs.sources import Source
from inhouse.docs.stores.base import Filter, VectorStore
from inhouse.docs.stores.open import open_store
from inhouse.docs.sync import SyncReport, sync, watch
from inhouse.docs.sync_lock import only_sync


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "handbook"
    (made / "hr").mkdir(parents=True)
    (made / "leave.md").write_text("# Leave\n\nEvery employee has 25 days of leave.\n")
    (made / "travel.md").write_text("# Travel\n\nTrains are booked in second class.\n")
    (made / "hr" / "pay.md").write_text("# Pay\n\nSalaries are paid on the 21st.\n")
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VectorStore]:
    opened = open_store("", "kept", data_dir=tmp_path / "data")
    opened.set_settings({"terms": "words+bigrams"})
    yield opened
    opened.close()


@pytest.fixture
def embedder() -> HashedWords:
    return HashedWords()


def run(store: VectorStore, embedder: HashedWords, source: Source | Path) -> SyncReport:
    source = source if isinstance(source, Source) else Source(source)
    return sync(source, store, embedder, lock=source.place.parent / "kept.lock")


def found(store: VectorStore, embedder: HashedWords, question: str, where: Filter | None = None) -> list[str]:
    return [hit.chunk.path for hit in Searcher(store, embedder).search(question, 3, where)]


def test_a_new_folder_is_read_and_found(store: VectorStore, embedder: HashedWords, folder: Path) -> None:
    report = run(store, embedder, folder)
    assert sorted(report.added) == ["hr/pay.md", "leave.md", "travel.md"]
    assert found(store, embedder, "days of leave")[0] == "leave.md"


def test_what_is_unchanged_is_neither_read_nor_embedded(
    store: VectorStore, embedder: HashedWords, folder: Path
) -> None:
    run(store, embedder, folder)
    embedder.embedded.clear()
    report = run(store, embedder, folder)
    assert (report.unchanged, report.any_change, embedder.embedded) == (3, False, [])


def test_only_the_changed_chunk_is_embedded(store: VectorStore, embedder: HashedWords, folder: Path) -> None:
    run(store, embedder, folder)
    before = {document.path: document.id for document in store.documents()}
    embedder.embedded.clear()
    (folder / "leave.md").write_text("# Leave\n\nEvery employee has 30 days of leave.\n")
    report = run(store, embedder, folder)
    assert report.changed == ("leave.md",)
    assert len(embedder.embedded) == 1
    assert "30 days" in embedder.embedded[0]
    assert {document.path: document.id for document in store.documents()} == before


def test_a_moved_file_keeps_its_document_and_vectors(store: VectorStore, embedder: HashedWords, folder: Path) -> None:
    run(store, embedder, folder)
    before = {document.path: document.id for document in store.documents()}
    embedder.embedded.clear()
    (folder / "leave.md").rename(folder / "hr" / "days-off.md")
    report = run(store, embedder, folder)
    assert report.moved == (("leave.md", "hr/days-off.md"),)
    assert embedder.embedded == []
    assert store.document(before["leave.md"]).path == "hr/days-off.md"  # type: ignore[union-attr]


def test_a_deleted_file_is_found_no_more(store: VectorStore, embedder: HashedWords, folder: Path) -> None:
    run(store, embedder, folder)
    (folder / "leave.md").unlink()
    assert run(store, embedder, folder).deleted == ("leave.md",)
    assert "leave.md" not in found(store, embedder, "days of leave")


def test_a_change_back_within_the_clock_tick_is_seen(store: VectorStore, embedder: HashedWords, folder: Path) -> None:
    run(store, embedder, folder)
    state = (folder / "leave.md").stat()
    (folder / "leave.md").write_text("# Leave\n\nEvery employee has 26 days of leave.\n")  # as long as before
    os.utime(folder / "leave.md", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert run(store, embedder, folder).changed == ("leave.md",)


def test_an_unreadable_file_is_named_and_stops_nothing(store: VectorStore, embedder: HashedWords, folder: Path) -> None:
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 not a document")
    for _ in range(2):
        report = run(store, embedder, folder)
        assert [failure.path for failure in report.failed] == ["broken.docx"]
    assert store.count().documents == 3


def test_a_folder_that_is_gone_takes_nothing_with_it(store: VectorStore, embedder: HashedWords, folder: Path) -> None:
    run(store, embedder, folder)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(DocumentError, match="is not there"):
        run(store, embedder, folder)
    assert store.count().documents == 3


def test_access_tags_limit_who_finds_what(store: VectorStore, embedder: HashedWords, folder: Path) -> None:
    run(store, embedder, Source(folder, rules=(("hr", frozenset({"hr"})),)))
    question = "Salaries are paid on the 21st"
    assert "hr/pay.md" not in found(store, embedder, question, Filter(tags_any=frozenset()))
    assert found(store, embedder, question, Filter(tags_any=frozenset({"hr"})))[0] == "hr/pay.md"
    embedder.embedded.clear()
    assert run(store, embedder, folder).retagged == ("hr/pay.md",)
    assert embedder.embedded == []
    assert found(store, embedder, question, Filter(tags_any=frozenset()))[0] == "hr/pay.md"


def test_a_second_sync_is_kept_out_and_says_who_is_at_it(
    store: VectorStore, embedder: HashedWords, folder: Path
) -> None:
    with only_sync(folder.parent / "kept.lock"), pytest.raises(DocumentError, match=str(os.getpid())):
        run(store, embedder, folder)


def test_watching_sees_a_new_file(store: VectorStore, embedder: HashedWords, folder: Path) -> None:
    stop = threading.Event()
    reports = watch(lambda: run(store, embedder, folder), folder, stop, poll_s=0.2)
    assert len(next(reports).added) == 3
    threading.Timer(0.5, (folder / "new.md").write_text, ("# New\n\nA new rule.\n",)).start()
    assert next(reports).added == ("new.md",)
    stop.set()


def test_killed_fifty_times_the_index_is_whole_and_the_sync_goes_on(
    store: VectorStore, embedder: HashedWords, folder: Path, tmp_path: Path
) -> None:
    dice = random.Random(5)
    rest = " ".join(["It holds for every site and each of its rooms without any exception."] * 6)  # a second window
    for number in range(60):
        (folder / f"{number}.md").write_text(f"# Rule {number}\n\nThe text of rule {number}. {rest}\n")
    command = [sys.executable, sync_child.__file__, str(folder), str(tmp_path / "data")]
    for kill in range(50):
        if kill % 10 == 9:
            (folder / f"{kill}.md").write_text(f"# Rule {kill}\n\nAnother text of rule {kill}. {rest}\n")
            (folder / f"{kill - 1}.md").unlink()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(dice.uniform(0.0, 0.25))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        for document in store.documents():
            held = store.chunks_of(document.id)
            assert held, document.path
            ids = [chunk.id for chunk in held]
            assert len(store.vectors(ids)) == len(held)
            if document.path[0].isdigit():
                assert [len(windows) for windows in store.windows(ids)] == [2] * len(held)
    run(store, embedder, folder)
    files = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.md")}
    assert {document.path for document in store.documents()} == set(files)
    for document in store.documents():
        text = " ".join(chunk.chunk.text for chunk in store.chunks_of(document.id))
        assert files[document.path].split("\n")[-2] in text
    assert not run(store, embedder, folder).any_change
