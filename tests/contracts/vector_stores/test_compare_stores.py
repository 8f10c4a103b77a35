"""Every store can be tried on a copy of a collection: same questions, what it costs, and nothing left behind."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from asked_documents import HANDBOOK, make_collection
from sync_child import HashedWords

from inhouse.docs.chunk import ChunkPlan
from inhouse.docs.compare import Way
from inhouse.docs.compare_stores import try_store
from inhouse.docs.questions import Question
from inhouse.docs.stores.open import open_store

QUESTIONS = [
    Question("How many days of annual leave?", ("25",), "leave.md", "25 days of annual leave"),
    Question("What may a hotel cost a night?", ("180,000 won",), "travel.md", "up to 180,000 won a night"),
    Question("Which salary band does a senior engineer have?", ("80 million",), "hr/salaries.md", "80 million won"),
]


def test_a_store_is_tried_on_a_copy_and_is_left_as_it_was(url: str, tmp_path: Path) -> None:
    searcher = make_collection(tmp_path / "origin", HashedWords(), HANDBOOK)
    way = Way(ChunkPlan(), "hybrid", 3)
    with closing(open_store(url, "shared", data_dir=tmp_path)) as kept:
        kept.set_settings({"mine": True})
    with closing(searcher.store):
        tried = [  # the second meets nothing of the first
            try_store(QUESTIONS, searcher.store, HashedWords(), way, url, folder=tmp_path / "copies", seed=0)
            for _ in range(2)
        ]
        here = try_store(QUESTIONS, searcher.store, HashedWords(), way, "sqlite", folder=tmp_path / "copies", seed=0)
    for one in tried:
        assert one.chunks == here.chunks > 3
        assert one.value("recall_3") == here.value("recall_3") == 1
        assert one.way.labels["store"] in url or one.way.labels["store"] == "pgvector"
        assert one.index_s > 0
        assert (one.index_bytes is None) == (one.way.store == "pinecone")
    assert list((tmp_path / "copies").rglob("*.db")) == []
    with closing(open_store(url, "shared", data_dir=tmp_path)) as kept:
        assert kept.settings()["mine"] is True
