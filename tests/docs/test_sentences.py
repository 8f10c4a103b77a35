"""Sentences of Korean and English end where a reader ends them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.docs.sentences import sentence_spans


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["그는 갔다.", "다시 왔다."],
        ["안녕하세요!", "반갑습니다…", "네."],
        ["정말요?", "그럼요."],
        ["값은 3.14이고 비율은 0.5 %이다.", "다음 문장이다."],
        ["2024. 3. 5. 시행한다.", "그 뒤에 본다."],
        ["제3. 4항에 따른다.", "끝."],
        ["“갔다.” 라고 말했다.", "끝났다."],
        ['그는 "왜?"라고 물었다.', "답은 없었다."],
        ["(이미 갔다.)는 말을 들었다.", "맞다."],
        ['"Stop!" he said.', "Then he left."],
        ["Dr. Kim met Mr. J. Smith.", "They spoke."],
        ["See e.g. Fig. 3 and No. 5 there.", "It holds."],
        ["The U.S. law applies.", "Pay 3.5 dollars."],
        ["1. 첫째 항목입니다.", "그리고 이어진다."],
        ["これは文です。", "次の文です。"],
        ["한 문장 ... 이어지고 있다.", "다음이다."],
    ],
)
def test_sentences_end_where_a_reader_ends_them(sentences: list[str]) -> None:
    assert split(" ".join(sentences)) == sentences


def test_korean_without_a_space_after_the_point() -> None:
    assert split("했다.그리고 갔어요.정말요?네.") == ["했다.", "그리고 갔어요.", "정말요?", "네."]


def test_an_empty_line_ends_a_sentence_without_a_point() -> None:
    assert split("제목\n\n본문이다.") == ["제목", "본문이다."]


@given(st.text("가나다요 .!?\"'”“()\nabcXYZ0123…。"))
def test_nothing_but_space_lies_between_sentences(text: str) -> None:
    spans = sentence_spans(text)
    assert "".join("".join(text[start:end].split()) for start, end in spans) == "".join(text.split())
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
