"""Embedding, terms, and how hits are put in order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from inhouse.core.errors import UsageError
from inhouse.docs.embed import NanoEmbedder, embed_passages
from inhouse.docs.fusion import SIGNS, Weights, fit
from inhouse.docs.search import Searcher
from inhouse.docs.stores.open import open_store
from inhouse.docs.terms import pairs, terms, words


@pytest.fixture(scope="module")
def embedder() -> NanoEmbedder:
    return NanoEmbedder(threads=1)


@pytest.mark.parametrize(
    "text",
    [
        "포켓몬스터 금, 은을 개발한 곳은?",
        "½ﬁ ①㈜ 한글\u200b조합 é e\u0301",
        "日本語テスト 中文",
        "😀😀 x",
        "x\ty\r\nz\u3000w",
    ],
)
def test_tokens_are_counted_as_the_model_counts_them(embedder: NanoEmbedder, text: str) -> None:
    around = embedder._model.token_count("x") - embedder.count_tokens("x")
    assert embedder.count_tokens(text) == embedder._model.token_count(text) - around
    assert len(embedder.token_offsets(text)) == embedder.count_tokens(text)


def test_token_offsets_follow_each_other_and_cover_the_words(embedder: NanoEmbedder) -> None:
    text = "연차는  25일이며,\n이월은 안 됩니다."
    offsets = embedder.token_offsets(text)
    assert all(end <= start for (_, end), (start, _) in pairwise(offsets))
    assert "".join(text[start:end] for start, end in offsets) == "".join(text.split())


def test_a_zero_byte_does_not_end_a_text(embedder: NanoEmbedder) -> None:
    with_zero, without, cut = embedder.passages(["leave\0days", "leave days", "leave"])
    assert with_zero @ without > 0.9999
    assert with_zero @ cut < 0.999


def test_a_text_that_the_cache_has_is_not_embedded_again(embedder: NanoEmbedder, tmp_path: Path) -> None:
    store = open_store("", "cached", data_dir=tmp_path)
    steps: list[tuple[int, int]] = []
    first, keys = embed_passages(embedder, ["one", "two"], store)
    again, same = embed_passages(
        embedder, ["two", "three", "two"], store, on_progress=lambda done, of: steps.append((done, of))
    )
    assert steps == [(3, 3)]
    assert same[0] == same[2] == keys[1]
    assert np.abs(again[0] - first[1]).max() < 0.02  # to the store's precision
    store.close()


def test_pairs_are_marked_and_stay_within_words() -> None:
    assert pairs("은행 가다 CPU2") == ["·은행", "·가다", "·cpu2"]
    assert words("Policies, CORS and Rooms") == ["policy", "cors", "and", "room"]


def test_morphemes_leave_particles_and_endings_out() -> None:
    pytest.importorskip("kiwipiepy")
    assert terms("연차를 신청했습니다", "kiwi") == ["연차", "신청"]


def test_fitting_finds_the_sign_that_tells(embedder: NanoEmbedder) -> None:
    dice = np.random.default_rng(1)
    examples = []
    for _ in range(200):
        signs = dice.normal(size=(10, len(SIGNS)))
        examples.append((signs, int(np.argmax(signs[:, 2]))))
    fitted = fit(examples, start=Weights(1, 1, 1, 1, 1))
    assert fitted.bm25_pairs > 3 * max(fitted.dense, fitted.bm25_words, fitted.covered_words)
    assert fit([]) == Weights()


def test_an_empty_question_is_refused(embedder: NanoEmbedder, tmp_path: Path) -> None:
    store = open_store("", "empty", data_dir=tmp_path)
    with pytest.raises(UsageError):
        Searcher(store, embedder).search("  ")
    assert Searcher(store, embedder).search("anything") == []
    store.close()
