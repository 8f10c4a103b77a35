"""Runs suites: items in random order, until all are done, the time is up or the interval is narrow enough.

Keeps everything as a run of kind "eval", which can be gone on with after a kill. What one case takes is the session's.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

from inhouse.bench.keeping import ending
from inhouse.core.environment import Environment
from inhouse.core.errors import QualityError
from inhouse.core.records import Metric, Run
from inhouse.engines.base import Engine
from inhouse.quality.answers import Answer
from inhouse.quality.figures import figures
from inhouse.quality.scorers import Scorer, Support, make_scorer
from inhouse.quality.session import Session, together
from inhouse.quality.statistics import Interval, mean_interval, sequential_interval
from inhouse.quality.suite import Case, Item, Suite, cases_of
from inhouse.store.repository import Store

RUN_KIND = "eval"

_LOOK_EVERY = 10  # items between two looks at the interval
_REPORT_S = 0.25
_FEWEST = 20  # items before the first look


@dataclass(frozen=True, slots=True)
class EvalPlan:
    """What to run. `suites` are names or paths as they were given, so that a resumed run finds them again.

    `limit` items of each suite, drawn by the seed; `budget_s` for all suites together, shared equally by those that
    are left; `half_width`: a suite ends once its headline is known to ± so much. `fresh` asks anew what is cached.
    """

    suites: tuple[str, ...]
    seed: int = 0
    limit: int | None = None
    samples: int | None = None
    concurrency: int = 1
    budget_s: float | None = None
    half_width: float | None = None
    fresh: bool = False
    name: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EvalPlan:
        """The plan that a run's config holds."""
        known = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        return cls(**{**known, "suites": tuple(known.get("suites", ()))})


@dataclass(frozen=True, slots=True)
class EvalProgress:
    """Where a run stands: `done` of `total` cases of suite `number` of `of`. `figure` is its headline so far."""

    run_id: str
    suite: str
    number: int
    of: int
    done: int
    total: int
    cached: int
    failed: int
    elapsed_s: float
    left_s: float | None
    figure: Interval | None = None


Report = Callable[[EvalProgress], None]


async def evaluate(
    engine: Engine,
    store: Store,
    suites: Sequence[Suite],
    plan: EvalPlan,
    *,
    model: str,
    environment: Environment,
    support: Support | None = None,
    study_id: str | None = None,
    run_id: str | None = None,
    on_progress: Report = lambda _: None,
) -> Run:
    """Asks, scores and keeps all suites; with `run_id` what is left of them in that run.

    Cancelled, it leaves the run INTERRUPTED, and on an error FAILED; both can be gone on with.

    Raises:
        QualityError: the suites are no longer those that the run began with.
        EngineError: the engine cannot do what a scorer needs, or is gone.
    """
    scorers = {suite.name: {use.key: make_scorer(use, support) for use in suite.scorers} for suite in suites}
    marks = {suite.name: fingerprint(suite) for suite in suites}
    if run_id is not None:
        run = store.claim_run(run_id)
        if run.config.get("fingerprints") != marks:
            with ending(store, run):
                raise QualityError(
                    f"Run {run.id} cannot go on", why="its suites have changed since it began", do="Start a new run"
                )
    else:
        config = {**asdict(plan), "fingerprints": marks, "scorers": described(suites)}
        run = store.create_run(
            RUN_KIND, config, seed=plan.seed, environment=environment, model=model, engine=engine.name,
            study_id=study_id,
        )  # fmt: skip
    with ending(store, run):
        if engine.capabilities.lifecycle:
            await engine.load(model)
        begin = time.perf_counter()
        found: list[Metric] = []
        session = Session(engine, store, run, model=model, concurrency=plan.concurrency, fresh=plan.fresh)
        async with session:
            session.answers.forget_failed(run.id)
            for number, suite in enumerate(suites, 1):
                spent = time.perf_counter() - begin
                part_s = None if plan.budget_s is None else (plan.budget_s - spent) / (len(suites) - number + 1)
                part = _Part(session, suite, scorers[suite.name], plan, part_s, number, len(suites), on_progress)
                answers = await part.run()
                found += figures(suite, answers, interval=part.stopped_at)
                if (pace := part.pace) is not None:
                    found.append(Metric("seconds_per_answer", pace, "s", {"suite": suite.name}, n=len(answers)))
                store.set_metrics(run.id, [*found, *costs(session, time.perf_counter() - begin)])
    return store.get_run(run.id)


def fingerprint(suite: Suite) -> str:
    """What the suite is, in 16 letters: changed prompts, items or scorers are another suite."""
    return hashlib.sha256(orjson.dumps(asdict(suite), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def drawn(suite: Suite, plan: EvalPlan) -> list[Item]:
    """The suite's items in the order in which they are asked: random, fixed by both seeds, cut at the limit."""
    items = list(suite.items)
    random.Random(f"{suite.seed}:{plan.seed}").shuffle(items)
    return items[: plan.limit]


class _Part:
    """One suite of a run under way."""

    def __init__(
        self, session: Session, suite: Suite, scorers: Mapping[str, Scorer], plan: EvalPlan,
        seconds: float | None, number: int, of: int, report: Report,
    ) -> None:  # fmt: skip
        self._session = session
        self._suite = suite
        self._scorers = scorers
        self._plan = plan
        self._deadline = None if seconds is None else time.perf_counter() + max(0.0, seconds)
        self._place = (number, of)
        self._report = report
        self._items = drawn(suite, plan)
        self._clusters = {item.id: item.cluster for item in suite.items}
        self._answers: dict[tuple[str, str, str, int], Answer] = {}
        self._fresh = 0
        self._finished = 0
        self._begin = time.perf_counter()
        self._told = 0.0
        self.stopped_at: Interval | None = None
        """The headline's interval where the suite was ended by it."""

    @property
    def pace(self) -> float | None:
        """Seconds an answer took, those asked at once counted together; None where none was asked now."""
        return (time.perf_counter() - self._begin) / self._fresh if self._fresh else None

    async def run(self) -> list[Answer]:
        """The answers to all items that there was time for, those kept earlier included."""
        kept = await asyncio.to_thread(self._session.answers.of_run, self._session.run.id, suite=self._suite.name)
        self._answers = {one.key: one for one in kept}
        self._begin = time.perf_counter()
        waiting = iter(self._items)
        await together(self._work(waiting) for _ in range(self._session.concurrency))
        self._tell(now=True)
        return list(self._answers.values())

    async def _work(self, waiting: Any) -> None:
        """Takes item after item; all cases of an item in a row, since they share the beginning of their prompts."""
        for item in waiting:
            # One item at least, so that a suite without time still says something.
            if self._finished and self._over():
                return
            for case in cases_of(self._suite.with_(items=(item,)), samples=self._plan.samples):
                await self._one(case)
            self._finished += 1
            self._look()

    async def _one(self, case: Case) -> None:
        key = (case.suite, case.item.id, case.prompt.name, case.repeat)
        if key not in self._answers:
            self._answers[key] = await self._session.answer(case, self._scorers)
            self._fresh += 1
        self._tell()

    def _over(self) -> bool:
        late = self._deadline is not None and time.perf_counter() >= self._deadline
        return late or self.stopped_at is not None

    def _look(self) -> None:
        """Ends the suite where its headline's interval, good for looking at any time, is narrow enough."""
        half = self._plan.half_width
        if half is None or self.stopped_at or self._finished < _FEWEST or self._finished % _LOOK_EVERY:
            return
        values, clusters = self._headline()
        now = sequential_interval(values, clusters, planned=len(self._items))
        if now.low is not None and now.high is not None and (now.high - now.low) / 2 <= half:
            self.stopped_at = now

    def _headline(self) -> tuple[list[float], list[str]]:
        key = self._suite.scorers[0].key
        judged = [
            (value, self._clusters[one.item])
            for one in self._answers.values()
            if key in one.scores and (value := one.scores[key].value) is not None
        ]
        return [value for value, _ in judged], [cluster for _, cluster in judged]

    def _tell(self, *, now: bool = False) -> None:
        if not now and time.perf_counter() - self._told < _REPORT_S:
            return
        self._told = time.perf_counter()
        cases = len(self._suite.prompts) * (self._plan.samples or self._suite.sampling.samples)
        total = len(self._items) * cases
        elapsed = time.perf_counter() - self._begin
        left = elapsed / self._fresh * (total - len(self._answers)) if self._fresh else None
        if left is not None and self._deadline is not None:
            left = min(left, max(0.0, self._deadline - time.perf_counter()))
        cost = self._session.cost
        values, clusters = self._headline()
        self._report(
            EvalProgress(
                self._session.run.id,
                self._suite.name,
                *self._place,
                done=len(self._answers),
                total=total,
                cached=cost.cached,
                failed=cost.failed,
                elapsed_s=elapsed,
                left_s=left,
                figure=mean_interval(values, clusters) if values else None,
            )
        )


def described(suites: Sequence[Suite]) -> dict[str, Any]:
    """What the report and a comparison need of the suites once their files are gone."""
    return {
        suite.name: {
            "title": dict(suite.title), "language": suite.language, "licence": suite.licence, "source": suite.source,
            "metric": suite.metric, "scorers": [use.key for use in suite.scorers], "items": len(suite.items),
        }
        for suite in suites
    }  # fmt: skip


def costs(session: Session, seconds: float) -> list[Metric]:
    """What the run took in this process."""
    cost = session.cost
    counted = {
        "requests": (cost.asked, "requests"), "cached_answers": (cost.cached, "requests"),
        "failed_requests": (cost.failed, "requests"), "prompt_tokens": (cost.prompt_tokens, "tokens"),
        "completion_tokens": (cost.completion_tokens, "tokens"),
    }  # fmt: skip
    found = [
        Metric(name, value, unit, n=cost.asked + cost.cached, method="counted")
        for name, (value, unit) in counted.items()
    ]
    found.append(Metric("duration_s", seconds, "s", n=1))
    if cost.asked and seconds > 0:
        found.append(Metric("answers_s", cost.asked / seconds, "1/s", n=cost.asked))
    return found
