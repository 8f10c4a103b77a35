"""Phase 4, documents: a folder (the user's, or a part of a real manual) is indexed, searched, asked and changed.

Works on a copy, since files are changed and deleted; what follows from the figures is said in phase4_findings.py.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from inhouse.bench.metrics import percentiles
from inhouse.core.errors import BenchError, PartSkipped
from inhouse.core.records import Metric, Scalar
from inhouse.docs.answer import AnswerPlan
from inhouse.docs.chunk import ChunkPlan
from inhouse.docs.compare import compare
from inhouse.docs.evaluate import answer_all, metrics_of, paired, samples_of, search_all
from inhouse.docs.questions import Question
from inhouse.docs.search import Mode, Searcher
from inhouse.docs.stores.file import held_bytes
from inhouse.engines.base import ChatRequest, Engine, Message, TextEvent
from inhouse.models.opened import open_for
from inhouse.study.base import Context, Part
from inhouse.study.phase4_desk import Desk, open_desk, recording, sync_desk

K = 5
_MODES: tuple[Mode, ...] = ("hybrid", "dense", "sparse")
_PLANS = (("structure", 256), ("tokens", 256), ("structure", 128), ("sentences", 256))
_ANSWER_TOKENS = 64
_WINDOW = 2048
_NEWS = {"ko": "새 소식 {word}: 사무실의 새 출입 번호는 {word}번입니다.", "en": "News {word}: the door code is {word}."}


async def _index(context: Context) -> str:
    """Reads, cuts, embeds and stores the folder once."""
    with open_desk(context) as desk, recording(context, "index") as (run_id, record):
        await asyncio.to_thread(desk.embedder.passages, ["warm"])
        before = psutil.Process().memory_info().rss
        again = desk.store.count().documents > 0
        seconds = await asyncio.to_thread(sync_desk, desk, lambda done: context.report(done, "reading and embedding"))
        counts = desk.store.count()
        if not counts.chunks:
            raise BenchError("Nothing could be read of the documents", do="See why: inhouse docs add PATH")
        size = held_bytes(desk.folder.parent / "docs" / "study.db")
        source_bytes = sum(document.size_bytes for document in desk.store.documents())
        record.add("documents", counts.documents, method="counted")
        record.add("documents_in_all", desk.files_in_all, method="counted")
        record.add("chunks", counts.chunks, method="counted")
        record.add("source_bytes", source_bytes, "B", method="counted")
        record.add("index_bytes", size, "B")
        record.add("index_memory_bytes", max(0, psutil.Process().memory_info().rss - before), "B")
        if not again:
            record.add("index_s", seconds, "s")
            record.add("chunks_per_minute", 60 * counts.chunks / seconds, "")
        dimensions = desk.embedder.dimensions
        million = size / counts.chunks * 1e6
        record.metrics.append(
            Metric("million_chunks_bytes", million, "B", {"dimensions": dimensions}, predicted=True,
                   method="predicted: this index's bytes a chunk, times a million")
        )  # fmt: skip
    return run_id


async def _retrieval(context: Context) -> str:
    """Every question by meaning, by words and by both."""
    with _ready(context) as desk, recording(context, "retrieval") as (run_id, record):
        scored = {}
        for at, mode in enumerate(_MODES):
            context.report(at / 3, mode)
            scored[mode] = await asyncio.to_thread(search_all, desk.questions, desk.searcher, k=K, mode=mode)
            record.metrics += metrics_of(scored[mode], seed=context.config.seed, labels={"mode": mode})
            record.samples += samples_of(scored[mode], {"stage": mode})
        record.samples = [replace(sample, index=index) for index, sample in enumerate(record.samples)]
        for mode in ("dense", "sparse"):
            found = paired(scored["hybrid"], scored[mode], "mrr", seed=context.config.seed)
            if found is not None:
                record.metrics.append(
                    Metric("mrr_gain", found.value, "", {"mode": mode, "p": found.p}, found.low, found.high, found.n,
                           "paired by question, bootstrap")
                )  # fmt: skip
    return run_id


async def _chunking(context: Context) -> str:
    """The same questions on the same documents, cut in other ways, as far as the time goes."""
    with _ready(context) as desk, recording(context, "chunking") as (run_id, record):
        until = time.perf_counter() + context.seconds
        plans = [ChunkPlan(strategy=strategy, size=size, overlap=size // 8) for strategy, size in _PLANS]  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory(prefix="inhouse-study-") as folder:

            def run() -> None:
                found = compare(
                    desk.questions, [desk.source], desk.embedder, plans=plans, modes=["hybrid"], ks=[K],
                    folder=Path(folder), seed=context.config.seed, until=until,
                    on_progress=lambda what: context.report(None, what),
                )  # fmt: skip
                tried = list(found)
                for one in tried:
                    record.metrics += one.metrics
                best = max(tried, key=lambda one: one.value("mrr"))
                worst = min(tried, key=lambda one: one.value("mrr"))
                gap = paired(best.scored, worst.scored, "mrr", seed=context.config.seed)
                if gap is not None and best is not worst:
                    labels: dict[str, Scalar] = {
                        "best": f"{best.way.plan.strategy} {best.way.plan.size}",
                        "worst": f"{worst.way.plan.strategy} {worst.way.plan.size}",
                        "p": gap.p, "ways": len(tried),
                    }  # fmt: skip
                    record.metrics.append(
                        Metric("mrr_gap", gap.value, "", labels, gap.low, gap.high, gap.n,
                               "paired by question, bootstrap")
                    )  # fmt: skip

            await asyncio.to_thread(run)
    return run_id


async def _answers(context: Context) -> str:
    """The questions to the study's model, each with the documents and without them."""
    settings = context.settings.model_copy(update={"model": context.config.model})
    with _ready(context) as desk:
        async with open_for("embedded", context.config.model, context=_WINDOW, slots=1, settings=settings) as opened:
            with recording(context, "answers", "embedded") as (run_id, record):
                await _alone(opened.engine, opened.model, "Hello")  # loads the model
                until = time.perf_counter() + 0.75 * context.seconds
                plan = AnswerPlan(k=K, max_tokens=_ANSWER_TOKENS, window=_WINDOW, seed=context.config.seed)
                questions = _mixed(desk.questions)
                scored = await answer_all(
                    questions, desk.searcher, opened.engine, opened.model, plan, until=until,
                    on_progress=lambda done, of: context.report(0.75 * done / of, f"{done} questions"),
                )  # fmt: skip
                record.metrics += metrics_of(scored, seed=context.config.seed)
                record.samples += samples_of(scored, {"stage": "documents"})
                # Those that the model was really asked: a refusal by the search alone costs next to nothing.
                asked = [one for one in scored if one.times and not one.refused]
                until = time.perf_counter() + 0.25 * context.seconds
                direct: list[float] = []
                added: list[float] = []
                for one in asked:
                    if direct and time.perf_counter() >= until:
                        break
                    direct.append(await _alone(opened.engine, opened.model, one.question.question))
                    added.append(one.times["ttft_s"] - direct[-1])
                for name, times in (("direct_ttft_s", direct), ("documents_added_ttft_s", added)):
                    rng = np.random.default_rng(context.config.seed)
                    record.metrics += percentiles(name, np.array(times), {}, rng)
    return run_id


async def _changes(context: Context) -> str:
    """Nothing changed, one document changed, one deleted: what a sync costs, and how fast answers follow."""
    with _ready(context, questions=False) as desk, recording(context, "changes") as (run_id, record):
        searcher = desk.searcher
        context.report(0.1, "nothing changed")
        unchanged = [await asyncio.to_thread(sync_desk, desk) for _ in range(3)]
        record.add("documents", desk.store.count().documents, method="counted")
        record.add("sync_unchanged_s", float(np.median(unchanged)), "s", method="median of 3")
        word = "Qz7431"
        line = _NEWS[context.config.lang].format(word=word)
        target = next(iter(sorted(desk.folder.rglob("*.md"))), desk.folder / "news.md")
        before = target.read_text(encoding="utf-8", errors="replace") if target.exists() else ""
        target.write_text(f"{before}\n\n# News\n\n{line}\n", encoding="utf-8")
        stale = _has(searcher, line, word)
        context.report(0.5, "one document changed")
        record.add("sync_changed_s", await asyncio.to_thread(sync_desk, desk), "s")
        record.add("found_before_sync", stale, method="counted")
        record.add("found_after_sync", _has(searcher, line, word), method="counted")
        target.unlink()
        context.report(0.8, "one document deleted")
        record.add("sync_deleted_s", await asyncio.to_thread(sync_desk, desk), "s")
        record.add("found_after_deletion", _has(searcher, line, word), method="counted")
    shutil.rmtree(desk.folder.parent, ignore_errors=True)  # the last part: the copy is of no more use
    return run_id


@contextmanager
def _ready(context: Context, *, questions: bool = True) -> Iterator[Desk]:
    """The collection in step, and with questions where the part needs them."""
    with open_desk(context) as desk:
        if questions and not desk.questions:
            raise PartSkipped("There are no questions on these documents", message="phase4.no_questions")
        sync_desk(desk)
        yield desk


def _has(searcher: Searcher, line: str, word: str) -> bool:
    return any(word in hit.chunk.chunk.text for hit in searcher.search(line, K))


def _mixed(questions: tuple[Question, ...]) -> list[Question]:
    """One without an answer after every two that have one, so that both are there however far the time goes."""
    yes = [question for question in questions if question.answerable]
    no = [question for question in questions if not question.answerable]
    mixed: list[Question] = []
    while yes or no:
        mixed += yes[:2] + no[:1]
        yes, no = yes[2:], no[1:]
    return mixed


async def _alone(engine: Engine, model: str, question: str) -> float:
    """Seconds to the first token of an answer without documents."""
    request = ChatRequest(
        model, (Message("user", question),), max_tokens=8, temperature=0.0, cache_prompt=False
    )  # fmt: skip
    began, first = time.perf_counter(), None
    async for event in engine.chat(request):
        if isinstance(event, TextEvent) and first is None:
            first = event.at
    return (first or time.perf_counter()) - began


PHASE4: tuple[Part, ...] = (
    Part("index", 4, "read, cut, embed and store the documents", 0.20, _index),
    Part("retrieval", 4, "search for questions with known answers", 0.05, _retrieval),
    Part("chunking", 4, "the same documents cut in other ways", 0.30, _chunking),
    Part("answers", 4, "ask the model with the documents and without", 0.40, _answers),
    Part("changes", 4, "change and delete documents, and sync", 0.05, _changes),
)
