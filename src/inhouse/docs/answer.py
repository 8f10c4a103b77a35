"""Answers a question from a collection: finds passages, gives them to a model, checks what it cites.

Says that the documents do not hold the answer where what was found is too weak, or where the model says so. No tool
is ever offered with retrieved text, and nothing in it becomes an instruction (see prompt.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import cast

from inhouse.core.errors import ContextExceeded
from inhouse.docs.citations import Citation, CitationFilter, CitationsEvent, language_of
from inhouse.docs.follow_up import standalone
from inhouse.docs.model import Model
from inhouse.docs.prompt import NOT_FOUND, Passage, fitting, messages
from inhouse.docs.refusal import Evidence, evidence_of
from inhouse.docs.search import Hit, Mode, Searcher
from inhouse.docs.stores.base import Filter
from inhouse.docs.terms import terms
from inhouse.engines.base import (
    ChatRequest,
    DoneEvent,
    Event,
    FinishReason,
    Message,
    TextEvent,
    UsageEvent,
)

WINDOW = 4096
"""Tokens of a model's window where its engine does not say."""
_SMALLEST_ROOM = 160
_SAME_WORDS = 0.5
"""Of an answer's terms, the share that a passage must hold to be named as its source."""


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """How to answer. `window` None: what the engine says; `threshold` None: refuse by the model's word alone."""

    k: int = 5
    mode: Mode = "hybrid"
    max_tokens: int = 400
    temperature: float = 0.0
    seed: int | None = None
    window: int | None = None
    threshold: float | None = 0.5


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """What was found and given to the model, before the answer's first word; durations in seconds.

    `meant` is the question as it was searched for, `given` what the model got of it, as `texts`.
    """

    at: float
    meant: str
    hits: tuple[Hit, ...]
    given: tuple[Citation, ...]
    texts: tuple[str, ...]
    evidence: Evidence
    rewrite_s: float
    search_s: float
    prompt_s: float


AnswerEvent = Event | FoundEvent | CitationsEvent


@dataclass(slots=True)
class _Used:
    """Tokens of all requests that an answer took, and the engine's timings of the last."""

    prompt: int | None = 0
    completion: int | None = 0
    cached: int = 0
    timings: dict[str, float] = field(default_factory=dict)

    def add(self, event: UsageEvent) -> None:
        self.prompt = None if None in (self.prompt, event.prompt_tokens) else self.prompt + event.prompt_tokens  # type: ignore[operator]
        self.completion = (
            None if None in (self.completion, event.completion_tokens) else self.completion + event.completion_tokens  # type: ignore[operator]
        )
        self.cached += event.cached_tokens or 0
        self.timings = dict(event.timings)

    def event(self) -> UsageEvent:
        return UsageEvent(time.perf_counter(), self.prompt, self.completion, self.cached, self.timings)


async def answer(
    question: str,
    history: Sequence[Message],
    searcher: Searcher,
    engine: Model,
    model: str,
    *,
    plan: AnswerPlan | None = None,
    where: Filter | None = None,
) -> AsyncGenerator[AnswerEvent, None]:
    """Answers as a stream: one FoundEvent, text as it comes, one CitationsEvent, one UsageEvent, one DoneEvent.

    Args:
        question: What is asked now.
        history: The turns before; a follow-up question is rewritten with them before it is searched for.
        searcher: The collection.
        engine: What answers.
        model: Its model.
        plan: How.
        where: What the caller may see.
    """
    plan = plan or AnswerPlan()
    lang = language_of(question)
    used = _Used()
    began = time.perf_counter()
    meant, asked_for = await standalone(question, history, engine, model, seed=plan.seed)
    if asked_for is not None:
        used.add(asked_for)
    rewritten = time.perf_counter()
    hits = await asyncio.to_thread(searcher.search, meant, plan.k, where, plan.mode)
    evidence = evidence_of(meant, hits, searcher)
    passages = await asyncio.to_thread(passages_of, hits, searcher)
    searched = time.perf_counter()
    weak = plan.threshold is not None and evidence.confidence < plan.threshold
    kept: list[Passage] = []
    counter = _Counter(engine, model)
    window = plan.window or WINDOW
    if hits and not weak:
        window = plan.window or await window_of(engine, model)
        room = window - plan.max_tokens
        kept = await fitting(question, meant, passages, lang, room=max(room, _SMALLEST_ROOM), count=counter.count)
    fitted = time.perf_counter()
    yield FoundEvent(
        fitted, meant, tuple(hits), tuple(passage.citation for passage in kept),
        tuple(passage.text for passage in kept), evidence, rewritten - began,
        searched - rewritten, fitted - searched,
    )  # fmt: skip
    if not kept:
        at = time.perf_counter()
        yield TextEvent(at, NOT_FOUND[lang])
        yield CitationsEvent(at, (), refused=True)
        yield used.event()
        yield DoneEvent(at, "stop")
        return
    checked = CitationFilter(passage.citation.number for passage in kept)
    said: list[str] = []
    finish: FinishReason = "stop"
    async with aclosing(_said(question, meant, kept, lang, engine, model, plan, window)) as events:
        async for event in events:
            if isinstance(event, TextEvent):
                if text := checked.feed(event.text):
                    said.append(text)
                    yield TextEvent(event.at, text)
            elif isinstance(event, UsageEvent):
                used.add(event)
            elif isinstance(event, DoneEvent):
                finish = event.finish_reason
    at = time.perf_counter()
    if rest := checked.finish():
        said.append(rest)
        yield TextEvent(at, rest)
    text = "".join(said)
    refused = is_refusal(text)
    cited = [passage.citation for number in checked.cited for passage in kept if passage.citation.number == number]
    if not cited and not refused:
        cited = _by_words(text, kept, searcher)
    yield CitationsEvent(at, () if refused else tuple(cited), refused, checked.dropped)
    yield used.event()
    yield DoneEvent(at, finish)


async def window_of(engine: Model, model: str) -> int:
    """Tokens of the model's window; an embedded model is loaded to tell. WINDOW where the engine does not say.

    Ollama says what the model was trained for, and opens far less unless it is told to: WINDOW, then.
    """
    if engine.name == "ollama":
        return WINDOW
    if engine.capabilities.token_count:
        await engine.count_tokens(model, " ")
    infos = await engine.models()
    found = next((info.context for info in infos if info.name in (model, f"{model}:latest")), None)
    return found or (infos[0].context if len(infos) == 1 else None) or WINDOW


def is_refusal(text: str) -> bool:
    """Whether an answer says that the documents do not hold it, in the words that the model was given for it."""
    said = "".join(letter for letter in text.lower() if letter.isalnum())
    return any("".join(filter(str.isalnum, phrase.lower())) in said[:200] for phrase in NOT_FOUND.values())


class _Counter:
    """Counts in the model's tokens; where its engine cannot, by a guess that is rather too high."""

    def __init__(self, engine: Model, model: str) -> None:
        self._engine, self._model = engine, model

    async def count(self, text: str) -> int:
        if self._engine.capabilities.token_count:
            return await self._engine.count_tokens(self._model, text)
        ascii_letters = sum(letter.isascii() for letter in text)
        return ascii_letters // 3 + 2 * (len(text) - ascii_letters) + 1


async def _said(
    question: str, meant: str, kept: list[Passage], lang: str, engine: Model, model: str, plan: AnswerPlan, window: int
) -> AsyncGenerator[Event, None]:  # fmt: skip
    """The model's answer; with fewer passages again where its window turns out to be smaller than was thought."""
    while True:
        request = ChatRequest(
            model, messages(question, meant, kept, lang), max_tokens=plan.max_tokens, temperature=plan.temperature,
            seed=plan.seed, context=window if engine.name == "ollama" else None,
        )  # fmt: skip
        try:
            async with aclosing(cast("AsyncGenerator[Event, None]", engine.chat(request))) as events:
                async for event in events:
                    yield event
            return
        except ContextExceeded:  # before the first event, or not at all
            if len(kept) < 2:
                raise
            del kept[len(kept) // 2 :]


def passages_of(hits: Sequence[Hit], searcher: Searcher) -> list[Passage]:
    """What is shown for the hits: for a small chunk with a parent the parent, once."""
    passages: list[Passage] = []
    seen: set[tuple[str, int]] = set()
    for hit in hits:
        stored = hit.chunk
        if stored.chunk.parent is not None:
            parents = searcher.store.chunks_of(stored.document_id, [stored.chunk.parent])
            stored = parents[0] if parents else stored
        if (stored.document_id, stored.chunk.order) in seen:
            continue
        seen.add((stored.document_id, stored.chunk.order))
        part = stored.chunk
        citation = Citation(
            len(passages) + 1, stored.document_id, stored.title, stored.path, part.headings, part.page, part.sheet,
            hit.chunk.chunk.text,
        )  # fmt: skip
        passages.append(Passage(citation, part.text))
    return passages


def _by_words(text: str, kept: Sequence[Passage], searcher: Searcher) -> list[Citation]:
    """The passage that holds the answer's words, if one does, for a model that cites nothing."""
    said = set(terms(text, searcher.how))
    if not said:
        return []
    shares = [len(said.intersection(terms(passage.text, searcher.how))) / len(said) for passage in kept]
    best = max(range(len(kept)), key=shares.__getitem__)
    if shares[best] < _SAME_WORDS:
        return []
    return [replace(kept[best].citation, by="words")]
