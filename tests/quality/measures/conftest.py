"""Answers made by hand for truths that are counted by hand, and a session with the real small model."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from inhouse.core.environment import read_environment
from inhouse.core.settings import Settings
from inhouse.models.opened import open_for
from inhouse.quality.answers import Answer
from inhouse.quality.measures.base import Asking
from inhouse.quality.scorers import Response, Score
from inhouse.quality.session import Session
from inhouse.store.repository import Store

MODEL = "smollm2:135m"


@pytest.fixture
def answer() -> Callable[..., Answer]:
    """Makes a kept answer: `value` is what the scorer said of it, `detail` what else it found."""

    def make(
        item: str, text: str = "", value: float | None = 1.0, *, scorer: str = "contains", prompt: str = "p",
        suite: str = "s", repeat: int = 0, cluster: str = "", **detail: Any,
    ) -> Answer:  # fmt: skip
        return Answer(
            suite, item, prompt, repeat, "", f"question {item}", Response(text), duration_s=1.0,
            scores={scorer: Score(value, text, detail)}, cluster=cluster or item,
        )  # fmt: skip

    return make


@pytest.fixture
def asking(tiny_model: object, tmp_path: Any) -> Callable[..., AbstractAsyncContextManager[Asking]]:
    """Opens an asking of the small model that has no time: each measure then asks the least that it can."""

    @asynccontextmanager
    async def opened(context: int = 1024, slots: int = 2, seconds: float = 0.0):
        settings = Settings(model=MODEL)
        with Store(f"sqlite:///{tmp_path / 'store.db'}") as store:
            async with open_for("embedded", MODEL, context=context, slots=slots, settings=settings) as engine:
                run = store.create_run("eval", {}, seed=0, environment=read_environment(), model=MODEL)
                async with Session(
                    engine.engine, store, run, model=engine.model, concurrency=slots, fresh=True
                ) as session:
                    yield Asking(session, time.perf_counter() + seconds)

    return opened
