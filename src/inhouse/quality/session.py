"""Asks cases for one run: as many at once as the engine has slots, from the cache where it was asked before, each
answer scored and kept within a second. Knows neither suites' order nor when to stop.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any, TypeVar

import orjson

from inhouse.bench.keeping import origin_of
from inhouse.core.environment import Environment
from inhouse.core.errors import (
    EngineError,
    EngineModelMissing,
    EngineUnauthorised,
    EngineUnavailable,
    UnsupportedFeature,
)
from inhouse.core.records import Run, Sample, SampleError, Scalar
from inhouse.engines.base import ChatRequest, Engine
from inhouse.quality.answers import Answer, Answers
from inhouse.quality.likelihood import Asked, ask
from inhouse.quality.scorers import Need, Response, Scorer
from inhouse.quality.suite import Case
from inhouse.store.repository import Store

T = TypeVar("T")

_EVERY_S = 1.0  # what a kill can lose
_IN_A_ROW = 5  # failures after which the engine is taken for gone
# What the next request would meet as well.
_FATAL = (UnsupportedFeature, EngineModelMissing, EngineUnauthorised)


@dataclass(slots=True)
class Cost:
    """What the session's requests took so far; `cached` answers took nothing."""

    asked: int = 0
    cached: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Session:
    """One run's requests to one model. An async context manager: leaving it keeps what is still pending.

    `fresh` leaves the cache unread. `concurrency` requests are sent at once.
    """

    def __init__(
        self, engine: Engine, store: Store, run: Run, *, model: str, concurrency: int = 1, fresh: bool = False
    ) -> None:
        self.engine = engine
        self.run = run
        self.model = model
        self.concurrency = max(1, concurrency)
        self.cost = Cost()
        self.answers = Answers(store.database)
        self._store = store
        self._fresh = fresh
        self._origin = origin_of(run)
        self._slots = asyncio.Semaphore(self.concurrency)
        self._pending: list[tuple[Answer, Sample | None]] = []
        self._index = 1 + max((sample.index for sample in store.samples(run.id)), default=-1)
        self._failed_in_a_row = 0
        self._identity = _identity(run.environment, model)
        self._flushing: asyncio.Task[None] | None = None
        self._writing = threading.Lock()

    async def __aenter__(self) -> Session:
        self._flushing = asyncio.create_task(self._flush_often())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._flushing is not None
        self._flushing.cancel()
        await asyncio.gather(self._flushing, return_exceptions=True)
        self._flush()

    async def answer(self, case: Case, scorers: Mapping[str, Scorer], needs: frozenset[Need] | None = None) -> Answer:
        """The case's answer with its scores; kept soon. A failure of the engine is an answer with an `error`.

        `needs` is what to ask for where the scorers do not say it.

        Raises:
            EngineError: every further request would fail as well.
        """
        wanted = needs or frozenset[Need]().union(*(scorer.needs for scorer in scorers.values())) or frozenset({"text"})
        request = case.request(self.model, self.run.seed)
        bare = Answer(
            case.suite, case.item.id, case.prompt.name, case.repeat, self._digest(case, request, wanted),
            request.messages[-1].content, Response(), request.seed or 0, run_id=self.run.id,
            cluster=case.item.cluster, targets=case.item.targets, choices=case.item.choices,
        )  # fmt: skip
        async with self._slots:
            if not self._fresh and (known := await asyncio.to_thread(self.answers.find, [bare.digest])):
                self.cost.cached += 1
                answer, sample = _taken_over(bare, known[bare.digest]), None
            else:
                answer, sample = await self._ask(bare, case, request, wanted)
        if answer.error is None:
            verdicts = {key: await scorer.score(case, answer.response) for key, scorer in scorers.items()}
            answer = replace(answer, scores=verdicts)
        self._pending.append((answer, sample))
        return answer

    async def answer_all(
        self, cases: Iterable[Case], scorers: Mapping[str, Scorer], needs: frozenset[Need] | None = None
    ) -> list[Answer]:
        """The answers to all cases, in their order; asked together as far as the slots allow."""
        return await together(self.answer(case, scorers, needs) for case in cases)

    async def _ask(
        self, bare: Answer, case: Case, request: ChatRequest, needs: frozenset[Need]
    ) -> tuple[Answer, Sample]:
        start = time.perf_counter()
        asked, error = Asked(bare.response), None
        try:
            asked = await ask(self.engine, case, request, needs)
            self._failed_in_a_row = 0
        except _FATAL:
            raise
        except EngineError as failure:
            self._failed_in_a_row += 1
            self.cost.failed += 1
            if self._failed_in_a_row >= _IN_A_ROW or isinstance(failure, EngineUnavailable):
                raise
            error = failure
        end = time.perf_counter()
        self.cost.asked += 1
        self.cost.prompt_tokens += asked.prompt_tokens or 0
        self.cost.completion_tokens += asked.completion_tokens or 0
        tags: dict[str, Scalar] = {
            "stage": case.suite,
            "item": case.item.id,
            "prompt": case.prompt.name,
            "repeat": case.repeat,
        }
        sent = start - self._origin
        sample = Sample(
            self._next_index(), sent, sent, end - self._origin,
            first_token_s=None if asked.first_token_s is None else sent + asked.first_token_s,
            prompt_tokens=asked.prompt_tokens, completion_tokens=asked.completion_tokens,
            cached_tokens=asked.cached_tokens, finish_reason=asked.response.finish_reason,
            error=None if error is None else SampleError(error.kind, str(error)), tags=tags,
        )  # fmt: skip
        answer = replace(
            bare,
            response=asked.response,
            prompt_tokens=asked.prompt_tokens,
            completion_tokens=asked.completion_tokens,
            duration_s=end - start,
            error=None if error is None else str(error),
        )
        return answer, sample

    def _next_index(self) -> int:
        index, self._index = self._index, self._index + 1
        return index

    def _digest(self, case: Case, request: ChatRequest, needs: frozenset[Need]) -> str:
        asked: dict[str, Any] = {
            "to": self._identity,
            "request": asdict(request),
            "needs": sorted(needs),
            "raw": [case.prompt.raw, case.prompt.delimiter],
            # The choices themselves, where they are scored and not just shown.
            "choices": case.item.choices if needs != {"text"} else (),
        }
        return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()

    async def _flush_often(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            await asyncio.to_thread(self._flush)

    def _flush(self) -> None:
        with self._writing:  # a write under way in its thread goes on when its task is cancelled
            count = len(self._pending)
            batch = self._pending[:count]
            if not batch:
                return
            self.answers.add(self.run.id, [answer for answer, _ in batch])
            self._store.add_samples(self.run.id, [sample for _, sample in batch if sample is not None])
            del self._pending[:count]


async def together(parts: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all parts, run at once; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def _identity(environment: Environment, model: str) -> list[str | None]:
    """What an answer depends on beside the request: the model's very file where it is known, and the engine."""
    return [model, environment.model_sha256, environment.engine, environment.engine_version]


def _taken_over(bare: Answer, known: Answer) -> Answer:
    return replace(
        bare,
        response=known.response,
        prompt_tokens=known.prompt_tokens,
        completion_tokens=known.completion_tokens,
        duration_s=known.duration_s,
        cached_from=known.cached_from or known.run_id,
    )
