"""Measures a collection on a question set: how well it is searched, how well answered, and how long each part takes.

Every question is kept as a sample of its run, so that two runs on the same questions can be compared in pairs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from inhouse.bench.keeping import ending
from inhouse.bench.metrics import percentiles
from inhouse.bench.statistics import mean, ratio_draws, two_sided_p
from inhouse.core.environment import Environment
from inhouse.core.errors import EngineError
from inhouse.core.records import Metric, Run, Sample, SampleError, Scalar
from inhouse.docs.answer import AnswerPlan, FoundEvent, answer
from inhouse.docs.citations import CitationsEvent
from inhouse.docs.measures import exact, f1, faithfulness, holds, ndcg, recall, reciprocal_rank
from inhouse.docs.model import Model
from inhouse.docs.questions import Question, right_chunks
from inhouse.docs.search import Mode, Searcher
from inhouse.docs.stores.base import Filter
from inhouse.engines.base import TextEvent, UsageEvent
from inhouse.store.repository import Store

KIND = "docs_eval"
CUTS = (1, 3, 5, 10)
"""The k of recall@k, as far as so many are searched for."""
OnProgress = Callable[[int, int], None]
_PARTS = ("search_s", "prompt_s", "ttft_s", "generation_s", "e2e_s")

Scores = dict[str, float]
"""A question's figures by the metric's name; those that do not apply to it are not there."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One question's outcome: its figures, its times in seconds, and the answer if one was made."""

    question: Question
    scores: Scores
    times: dict[str, float]
    said: str = ""
    refused: bool = False
    error: str = ""


def search_all(
    questions: Sequence[Question], searcher: Searcher, *, k: int, mode: Mode = "hybrid", where: Filter | None = None
) -> list[Scored]:
    """Searches for every question, without a model: recall@k, MRR, nDCG@k and the time."""
    found = []
    for question, right in zip(questions, right_chunks(questions, searcher.store), strict=True):
        began = time.perf_counter()
        hits = searcher.search(question.question, k, where, mode)
        took = time.perf_counter() - began
        scores = _ranks([hit.chunk.id for hit in hits], right, k) if question.answerable else {}
        scores["context_tokens"] = float(sum(hit.chunk.chunk.tokens for hit in hits))
        found.append(Scored(question, scores, {"search_s": took}))
    return found


async def answer_all(
    questions: Sequence[Question],
    searcher: Searcher,
    engine: Model,
    model: str,
    plan: AnswerPlan,
    *,
    where: Filter | None = None,
    on_progress: OnProgress | None = None,
    until: float | None = None,
) -> list[Scored]:
    """Asks every question, one after another; stops after the one during which `until` (perf_counter) has come."""
    found: list[Scored] = []
    right = right_chunks(questions, searcher.store)
    for at, question in enumerate(questions):
        if until is not None and found and time.perf_counter() >= until:
            break
        try:
            found.append(await _asked(question, right[at], searcher, engine, model, plan, where))
        except EngineError as error:
            found.append(Scored(question, {}, {}, error=str(error)))
        if on_progress:
            on_progress(at + 1, len(questions))
    return found


async def _asked(
    question: Question, right: frozenset[int], searcher: Searcher, engine: Model, model: str, plan: AnswerPlan,
    where: Filter | None,
) -> Scored:  # fmt: skip
    began = time.perf_counter()
    found: FoundEvent | None = None
    cited: CitationsEvent | None = None
    used: UsageEvent | None = None
    first = end = began
    said = ""
    async for event in answer(question.question, (), searcher, engine, model, plan=plan, where=where):
        if isinstance(event, FoundEvent):
            found = event
        elif isinstance(event, TextEvent):
            first = event.at if not said else first
            end, said = event.at, said + event.text
        elif isinstance(event, CitationsEvent):
            cited = event
        elif isinstance(event, UsageEvent):
            used = event
    assert found is not None
    assert cited is not None
    ranked = [hit.chunk.id for hit in found.hits]
    scores = _ranks(ranked, right, plan.k) if question.answerable else {}
    if question.answerable:
        scores["false_refusal"] = float(cited.refused)
        if question.answers:
            scores |= {
                "answer_exact": exact(said, question.answers),
                "answer_holds": holds(said, question.answers),
                "answer_f1": f1(said, question.answers),
            }
    else:
        scores["refusal"] = float(cited.refused)
    if not cited.refused:
        if (faith := faithfulness(said, found.texts)) is not None:
            scores["faithfulness"] = faith
        own = [one for one in cited.citations if one.by == "model"]
        scores["cited"] = float(bool(own))
        scores["made_up_citations"] = float(cited.dropped > 0)
        if own and right:
            by_text = {hit.chunk.chunk.text: hit.chunk.id for hit in found.hits}
            scores["citation_precision"] = sum(by_text.get(one.text) in right for one in own) / len(own)
    scores["context_tokens"] = float(used.prompt_tokens or 0) if used else 0.0
    times = {
        "search_s": found.search_s, "prompt_s": found.prompt_s, "ttft_s": first - began, "e2e_s": end - began,
        "generation_s": end - found.at,
    }  # fmt: skip
    return Scored(question, scores, times, said, cited.refused)


def _ranks(ranked: Sequence[int], right: frozenset[int], k: int) -> Scores:
    """The figures of a question that has an answer: one whose place was cut apart is not found, which counts."""
    scores = {f"recall_{cut}": recall(ranked, right, cut) for cut in CUTS if cut <= k}
    return scores | {"mrr": reciprocal_rank(ranked, right), f"ndcg_{k}": ndcg(ranked, right, k)}


def metrics_of(scored: Sequence[Scored], *, seed: int, labels: Mapping[str, Scalar] | None = None) -> list[Metric]:
    """Means with 95 % bootstrap intervals over the questions, and percentiles of the times."""
    rng = np.random.default_rng(seed)
    given = dict(labels or {})
    metrics: list[Metric] = []
    for name in dict.fromkeys(name for one in scored for name in one.scores):
        values = np.array([one.scores[name] for one in scored if name in one.scores])
        found = mean(values, rng)
        unit = "tokens" if name == "context_tokens" else ""
        metrics.append(
            Metric(name, found.value, unit, given, found.low, found.high, found.n, "mean over questions, bootstrap")
        )
    for part in _PARTS:
        times = np.array([one.times[part] for one in scored if part in one.times])
        metrics += percentiles(part, times, given, rng)
    failed = sum(bool(one.error) for one in scored)
    metrics.append(Metric("questions", float(len(scored)), "", given, n=len(scored), method="counted"))
    metrics.append(Metric("failed_questions", float(failed), "", given, n=len(scored), method="counted"))
    return metrics


def samples_of(scored: Sequence[Scored], labels: Mapping[str, Scalar] | None = None) -> list[Sample]:
    """A sample for each question: its figures as tags, its answer as text; times count from the run's start."""
    samples, at = [], 0.0
    for index, one in enumerate(scored):
        took = one.times.get("e2e_s", one.times.get("search_s", 0.0))
        tags: dict[str, Scalar] = {**(labels or {}), **one.scores, "refused": one.refused}
        tags |= {name: value for name, value in one.times.items() if name in ("search_s", "prompt_s")}
        ttft = one.times.get("ttft_s")
        samples.append(
            Sample(
                index,
                at,
                at,
                at + took,
                None if ttft is None else at + ttft,
                tags=tags,
                error=SampleError("engine", one.error) if one.error else None,
                prompt=one.question.question,
                answer=one.said or None,
            )
        )
        at += took
    return samples


def keep(
    store: Store, scored: Sequence[Scored], config: Mapping[str, object], *, environment: Environment, seed: int,
    model: str | None, engine: str | None, more: Sequence[Metric] = (),
) -> Run:  # fmt: skip
    """Keeps a run of kind docs_eval with its questions and figures, and `more` figures of the same questions."""
    run = store.create_run(KIND, config, seed=seed, environment=environment, model=model, engine=engine)
    with ending(store, run):
        store.add_samples(run.id, samples_of(scored))
        store.set_metrics(run.id, [*metrics_of(scored, seed=seed), *more])
    return store.get_run(run.id)


@dataclass(frozen=True, slots=True)
class Difference:
    """What one way has over another in the same questions: the mean difference, its 95 % interval, its p value."""

    value: float
    low: float | None
    high: float | None
    p: float
    n: int


def paired(one: Sequence[Scored], other: Sequence[Scored], name: str, *, seed: int) -> Difference | None:
    """`one` less `other` in the figure `name` (or a time), by question; None where they share no question."""
    values = [{s.question.question: (s.scores | s.times)[name] for s in scored if name in (s.scores | s.times)}
              for scored in (one, other)]  # fmt: skip
    both = [text for text in values[0] if text in values[1]]
    if not both:
        return None
    rng = np.random.default_rng(seed)
    differences = np.array([values[0][text] - values[1][text] for text in both])
    found = mean(differences, rng)
    p = two_sided_p(ratio_draws(differences, np.ones_like(differences), rng), null=0.0) if len(both) > 1 else 1.0
    return Difference(found.value, found.low, found.high, p, found.n)


def plan_config(plan: AnswerPlan, **more: object) -> dict[str, object]:
    """A run's config: how was answered, and what else there is to say."""
    return {**asdict(replace(plan)), **more}
