"""What tests of several phases make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from inhouse.quality.answers import Answer
from inhouse.quality.scorers import Response, Score


@pytest.fixture
def answer() -> Callable[..., Answer]:
    """Makes a kept answer to a question, judged right unless told."""

    def make(item: str, text: str = "", value: float = 1.0, *, scorer: str = "contains", **detail: Any) -> Answer:
        scores = {scorer: Score(value, text, detail)}
        return Answer("s", item, "p", 0, "", f"question {item}", Response(text), scores=scores, cluster=item)

    return make
