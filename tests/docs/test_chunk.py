"""Chunks lose nothing, keep within the model's limit, and know where they come from."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inhouse.core.errors import UsageError
from inhouse.docs.chunk import ChunkPlan, Strategy, chunk
from inhouse.docs.embed import NanoEmbedder
from inhouse.docs.records import Block, Chunk, Loaded

_STRATEGIES = get_args(Strategy)
_LETTERS = "가나다라마바사아자차카타파하각난닫 랄맘abcdefghij KLMNO0123456789 .,!?\"'()~%\n—…漢字ñé"


@pytest.fixture(scope="module")
def embedder() -> NanoEmbedder:
    return NanoEmbedder(threads=1)


def document(*blocks: Block) -> Loaded:
    return Loaded("title", blocks, "text/plain")


def bare(text: str) -> str:
    return "".join(text.split())


def leaves(chunks: tuple[Chunk, ...]) -> list[Chunk]:
    return [part for part in chunks if part.embed]


def blocks() -> st.SearchStrategy[Block]:
    text = st.text(_LETTERS, min_size=1, max_size=900)
    kinds = st.sampled_from(["heading", "paragraph", "list", "code"])
    return st.builds(
        lambda kind, text, level: Block(text, kind, level if kind == "heading" else 0), kinds, text, st.integers(1, 4)
    )


@pytest.mark.parametrize("strategy", [name for name in _STRATEGIES if name != "semantic"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(found=st.lists(blocks(), min_size=1, max_size=12), size=st.integers(16, 700))
def test_chunks_hold_every_letter_in_order_and_fit_the_model(
    embedder: NanoEmbedder, strategy: Strategy, found: list[Block], size: int
) -> None:
    chunks = chunk(document(*found), ChunkPlan(strategy, size=size), embedder)
    assert bare("".join(part.text for part in leaves(chunks))) == bare("".join(block.text for block in found))
    assert all(part.tokens <= min(size, 504) for part in leaves(chunks))
    assert all(part.tokens == embedder.count_tokens(part.text) for part in chunks)
    assert [part.order for part in chunks] == list(range(len(chunks)))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(found=st.lists(blocks(), min_size=1, max_size=8), size=st.integers(32, 200), overlap=st.integers(1, 16))
def test_an_overlap_loses_nothing(embedder: NanoEmbedder, found: list[Block], size: int, overlap: int) -> None:
    for strategy in ("tokens", "sentences", "structure"):
        chunks = chunk(document(*found), ChunkPlan(strategy, size=size, overlap=overlap), embedder)
        joined = bare("".join(part.text for part in chunks))
        place = 0
        for letter in bare("".join(block.text for block in found)):
            place = joined.index(letter, place) + 1  # a subsequence: repeats stand between, nothing is missing
        assert all(part.tokens <= size for part in chunks)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.lists(st.text("가나다abc123 ", min_size=1, max_size=60), min_size=2, max_size=5), min_size=2, max_size=40
    )
)
def test_every_row_of_a_table_is_in_a_chunk(embedder: NanoEmbedder, rows: list[list[str]]) -> None:
    table = "\n".join(" | ".join(row) for row in rows)
    if not table.strip():
        return
    chunks = chunk(document(Block(table, "table")), ChunkPlan("structure", size=64), embedder)
    joined = bare("".join(part.text for part in chunks))
    assert all(bare(word) in joined for word in table.split())
    assert all(part.tokens <= 64 for part in chunks)


def test_a_long_table_repeats_its_head_and_a_short_one_stays_whole(embedder: NanoEmbedder) -> None:
    rows = ["항목 | 금액", *(f"품목{n} | {n}00원" for n in range(60))]
    chunks = chunk(document(Block("\n".join(rows), "table")), ChunkPlan(size=64), embedder)
    assert len(chunks) > 3
    assert all(part.text.startswith("항목 | 금액\n") for part in chunks)
    assert [row for part in chunks for row in part.text.splitlines() if row != rows[0]] == rows[1:]
    assert len(chunk(document(Block("\n".join(rows[:5]), "table")), ChunkPlan(size=128), embedder)) == 1


def test_the_path_of_headings_page_and_sheet_are_kept(embedder: NanoEmbedder) -> None:
    loaded = document(
        Block("규정", "heading", 1, page=1),
        Block("휴가", "heading", 2, page=1),
        Block("연차는 15일이다.", "paragraph", page=1),
        Block("병가", "heading", 2, page=2),
        Block("병가는 60일이다.", "paragraph", page=2),
        Block("부칙", "heading", 1, page=3),
        Block("오늘부터 시행한다.", "paragraph", page=3, sheet="표"),
    )
    chunks = chunk(loaded, ChunkPlan("structure"), embedder)
    assert [(part.headings, part.page) for part in chunks] == [
        (("규정", "휴가"), 1),
        (("규정", "병가"), 2),
        (("부칙",), 3),
    ]
    assert chunks[0].text == "규정\n\n휴가\n\n연차는 15일이다."


def test_a_heading_goes_with_what_follows_it(embedder: NanoEmbedder) -> None:
    loaded = document(
        Block("첫 문장이다. " * 12, "paragraph"),
        Block("다음 제목", "heading", 1),
        Block("둘째 문장이다. " * 12, "paragraph"),
    )
    for strategy in ("sentences", "structure"):
        chunks = chunk(loaded, ChunkPlan(strategy, size=64), embedder)
        assert all(not part.text.endswith("다음 제목") for part in chunks)


def test_sentences_are_never_parted_where_they_fit(embedder: NanoEmbedder) -> None:
    sentences = [f"이것은 {n}번째 문장입니다." for n in range(40)]
    for strategy in ("sentences", "structure", "parent_child"):
        chunks = leaves(
            chunk(document(Block(" ".join(sentences), "paragraph")), ChunkPlan(strategy, size=48), embedder)
        )
        assert all(part.text.startswith("이것은") and part.text.endswith("문장입니다.") for part in chunks)


def test_an_overlap_repeats_the_end_of_the_chunk_before(embedder: NanoEmbedder) -> None:
    sentences = [f"이것은 {n}번째 문장입니다." for n in range(40)]
    chunks = chunk(
        document(Block(" ".join(sentences), "paragraph")), ChunkPlan("sentences", size=64, overlap=24), embedder
    )
    for before, after in pairwise(chunks):
        assert before.text.split(". ")[-1].rstrip(".") in after.text


def test_children_lie_within_their_parent_which_is_not_embedded(embedder: NanoEmbedder) -> None:
    loaded = document(
        Block("긴 절", "heading", 1),
        Block("이것은 문장입니다. " * 60, "paragraph"),
        Block("짧은 절", "heading", 1),
        Block("끝이다.", "paragraph"),
    )
    chunks = chunk(loaded, ChunkPlan("parent_child", size=64, parent_size=256), embedder)
    parents = [part for part in chunks if not part.embed]
    assert parents
    for part in chunks:
        if part.parent is not None:
            parent = chunks[part.parent]
            assert not parent.embed
            assert part.text in parent.text
    assert chunks[-1].parent is None
    assert chunks[-1].text == "짧은 절\n\n끝이다."


def test_a_change_of_subject_ends_a_semantic_chunk(embedder: NanoEmbedder) -> None:
    cooking = (
        "김치찌개는 돼지고기와 김치를 볶아서 끓인다. 물을 붓고 두부를 넣는다. 간은 국간장으로 맞춘다. 밥과 함께 먹는다."
    )
    server = "서버를 다시 시작하려면 관리자 권한이 필요하다. "
    server += "로그 파일을 먼저 확인한다. 데이터베이스 연결을 끊는다. 설정을 적용한다."
    chunks = chunk(document(Block(f"{cooking} {server}", "paragraph")), ChunkPlan("semantic", size=120), embedder)
    assert any(part.text.startswith("서버를") or part.text.startswith("로그") for part in chunks)
    assert bare("".join(part.text for part in chunks)) == bare(cooking + server)


def test_a_word_longer_than_the_limit_is_cut(embedder: NanoEmbedder) -> None:
    word = "abcdefghij" * 400
    chunks = chunk(document(Block(word, "paragraph")), ChunkPlan(size=100), embedder)
    assert "".join(part.text for part in chunks) == word
    assert all(part.tokens <= 100 for part in chunks)


@pytest.mark.parametrize(
    "plan", [{"strategy": "magic"}, {"size": 3}, {"overlap": 200}, {"strategy": "parent_child", "parent_size": 10}]
)
def test_a_plan_that_cannot_be_is_refused(plan: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ChunkPlan(**plan)  # type: ignore[arg-type]
