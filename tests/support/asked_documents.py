"""A small collection about a company, and a model that says what the test wants and keeps what it was asked."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from inhouse.docs.embed import Embedder
from inhouse.docs.search import Searcher
from inhouse.docs.sources import Source
from inhouse.docs.stores.open import open_store
from inhouse.docs.sync import sync
from inhouse.engines.base import Capabilities, ChatRequest, DoneEvent, Event, ModelInfo, TextEvent, UsageEvent

HANDBOOK = {
    "leave.md": "# Leave\n\n## Annual leave\n\nEvery employee has 25 days of annual leave a year.\n\n"
    "## Sick leave\n\nA doctor's note is needed from the third day of sick leave.\n",
    "travel.md": "# Travel\n\n## Hotels\n\nA hotel may cost up to 180,000 won a night.\n\n"
    "## Trains\n\nTrain tickets are booked in second class.\n",
    "연차.md": "# 연차 규정\n\n## 이월\n\n남은 연차는 다음 해 3월 31일까지 이월할 수 있다.\n",
    "hr/salaries.md": "# Salaries\n\nThe salary band of a senior engineer begins at 80 million won.\n",
}


def make_collection(folder: Path, embedder: Embedder, files: dict[str, str] = HANDBOOK) -> Searcher:
    """The files as the collection `default` under `folder`; those under hr/ only for callers with the tag hr."""
    place = folder / "files"
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    store = open_store("", "default", data_dir=folder)
    source = Source(place, rules=(("hr", frozenset({"hr"})),))
    sync(source, store, embedder, lock=folder / "docs" / "default.lock")
    return Searcher(store, embedder)


class SayingModel:
    """Answers what `say` makes of the request, in pieces of three letters; counts a token for each four letters."""

    name = "saying"
    capabilities = Capabilities(token_count=True)

    def __init__(self, say: Callable[[ChatRequest], str], context: int = 2048) -> None:
        self.say = say
        self.context = context
        self.requests: list[ChatRequest] = []

    async def chat(self, request: ChatRequest) -> AsyncIterator[Event]:
        self.requests.append(request)
        text = self.say(request)
        for at in range(0, len(text), 3):
            yield TextEvent(time.perf_counter(), text[at : at + 3])
        yield UsageEvent(time.perf_counter(), 10, 5)
        yield DoneEvent(time.perf_counter(), "stop")

    async def count_tokens(self, model: str, text: str) -> int:
        return len(text) // 4 + 1

    async def models(self) -> tuple[ModelInfo, ...]:
        return (ModelInfo("m", context=self.context),)
