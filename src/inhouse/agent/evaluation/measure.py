"""Runs tasks, keeps each try as a sample and the whole as a run, and makes its figures.

pass^k: the chance that k tries at a task all pass, from c passes of n tries C(c,k)/C(n,k) (tau-bench), averaged over
the tasks. Intervals are bootstrapped by task: tries at one task are alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import comb
from typing import Any

import numpy as np

from inhouse.agent.config import AgentConfig
from inhouse.agent.evaluation.attempt import Attempt, Way, attempts
from inhouse.agent.evaluation.dialogue import Dialogue
from inhouse.agent.evaluation.sides import try_dialogue
from inhouse.agent.evaluation.tasks import Task
from inhouse.agent.world import Price
from inhouse.bench.keeping import ending, origin_of
from inhouse.bench.statistics import mean, ratio_of_sums
from inhouse.core.environment import Environment
from inhouse.core.records import Metric, Run, Sample, SampleError, Scalar
from inhouse.engines.base import Engine
from inhouse.store.repository import Store

RUN_KIND = "agent_eval"


async def evaluate(
    engine: Engine,
    store: Store,
    tasks: Sequence[Task | Dialogue],
    config: AgentConfig,
    *,
    suite: str,
    ways: Sequence[Way] = ("agent",),
    trials: int = 1,
    environment: Environment,
    price: Price | None = None,
    study_id: str | None = None,
    on_attempt: Callable[[Attempt, int, int], None] = lambda attempt, done, of: None,
    enough: Callable[[], bool] = lambda: False,
) -> Run:
    """Tries each task by each way and trial, and keeps the run. `enough` ends it after a task, with what there is; so
    does whatever ends it early: each try is kept as it ends, and the figures of those that there are.
    """
    kept = {"suite": suite, "agent": config.to_dict(), "ways": list(ways), "trials": trials, "tasks": len(tasks)}
    run = store.create_run(
        RUN_KIND, kept, seed=config.seed, environment=environment, model=config.model, engine=engine.name,
        study_id=study_id,
    )  # fmt: skip
    done: list[Attempt] = []
    total = len(tasks) * len(ways) * trials
    with ending(store, run):
        origin = origin_of(run)
        try:
            for task in tasks:
                for trial in range(trials):
                    for one in await _tries(engine, config, task, ways, trial, price):
                        store.add_samples(
                            run.id, [_sample(len(done), one, origin)]
                        )  # a kill takes only what is under way
                        done.append(one)
                        on_attempt(one, len(done), total)
                if enough():
                    break
        finally:
            if done:
                store.set_metrics(run.id, figures(done, suite, config.seed))
    return store.get_run(run.id)


async def _tries(
    engine: Engine, config: AgentConfig, task: Task | Dialogue, ways: Sequence[Way], trial: int, price: Price | None
) -> list[Attempt]:
    if isinstance(task, Dialogue):
        return await try_dialogue(engine, config, task, ways, trial, price)
    return await attempts(engine, config, task, ways, trial, price)


def figures(tries: Sequence[Attempt], suite: str, seed: int) -> list[Metric]:
    """All figures of the tries, by way and category and over all (category "all")."""
    found: list[Metric] = []
    for way in dict.fromkeys(one.way for one in tries):
        mine = [one for one in tries if one.way == way]
        for category in ("all", *dict.fromkeys(one.task.category for one in mine)):
            part = [one for one in mine if category in ("all", one.task.category)]
            labels: dict[str, Scalar] = {"suite": suite, "way": way, "category": category}
            found += _passes(part, labels, seed)
            if category == "all":
                found += _faults(part, labels) + _costs(part, labels, seed)
    return found


def pass_k(passed: int, tried: int, k: int) -> float:
    """The chance that k of the tries, drawn without putting back, all passed."""
    return comb(passed, k) / comb(tried, k)


def _passes(part: Sequence[Attempt], labels: Mapping[str, Scalar], seed: int) -> list[Metric]:
    by_task: dict[str, list[bool]] = {}
    for one in part:
        by_task.setdefault(one.task.id, []).append(one.passed)
    fewest = min(map(len, by_task.values()))
    found = []
    for k in range(1, fewest + 1):
        each = np.array([pass_k(sum(passes), len(passes), k) for passes in by_task.values()])
        got = mean(each, np.random.default_rng(seed))
        name, more = ("accuracy", {}) if k == 1 else ("pass_k", {"k": k})
        found.append(Metric(name, got.value, "", {**labels, **more}, got.low, got.high, got.n, "bootstrap by task"))
    return found


def _faults(part: Sequence[Attempt], labels: Mapping[str, Scalar]) -> list[Metric]:
    names = {"failure": "failures", "saved": "saved_tries", "problem": "problems"}
    counted = {
        "failure": Counter(one.fault for one in part if one.fault),
        "saved": Counter(saved for one in part if one.passed for saved in one.saved),
        "problem": Counter(problem for one in part for problem in one.problems),
    }
    return [
        Metric(names[name], count, "tries", {**labels, name: kind}, n=len(part), method="counted")
        for name, kinds in counted.items()
        for kind, count in kinds.most_common()
    ]


def _costs(part: Sequence[Attempt], labels: Mapping[str, Scalar], seed: int) -> list[Metric]:
    """What each solved task took: all that was used, over what was solved."""
    solved = np.array([float(one.passed) for one in part])
    columns: dict[str, tuple[str, list[float]]] = {
        "tokens_per_solved": ("tokens", [one.usage.tokens for one in part]),
        "seconds_per_solved": ("s", [one.end - one.start for one in part]),
        "won_per_solved": ("won", [one.usage.micro_krw / 1e6 for one in part]),
    }
    asked = sum(one.requests for one in part)
    found = [
        Metric("requests_per_try", asked / len(part), "", labels, n=len(part)),
        Metric("calls_per_try", sum(len(one.calls) for one in part) / len(part), "", labels, n=len(part)),
        Metric("tokens_per_try", sum(one.usage.tokens for one in part) / len(part), "tokens", labels, n=len(part)),
    ]
    if asked and any(one.framework_s for one in part):
        framework = ratio_of_sums(
            np.array([one.framework_s for one in part]), np.array([float(one.requests) for one in part]),
            np.random.default_rng(seed),
        )  # fmt: skip
        found.append(Metric("framework_per_request", framework.value, "s", labels, framework.low, framework.high,
                            len(part), "bootstrap"))  # fmt: skip
    for name, (unit, values) in columns.items():
        if solved.sum() and any(values):
            # A resample that solves nothing has no such figure: the interval is only given where none is likely.
            upper = np.array(values, dtype=float)
            if solved.sum() >= 8:
                got = ratio_of_sums(upper, solved, np.random.default_rng(seed))
                found.append(Metric(name, got.value, unit, labels, got.low, got.high, len(part), "bootstrap"))
            else:
                found.append(Metric(name, float(upper.sum() / solved.sum()), unit, labels, n=len(part)))
    return found


def _sample(index: int, one: Attempt, origin: float) -> Sample:
    tags: dict[str, Any] = {
        "stage": one.way, "task": one.task.id, "category": one.task.category, "trial": one.trial,
        "passed": one.passed, "fault": one.fault, "saved": ", ".join(one.saved), "requests": one.requests,
    }  # fmt: skip
    error = SampleError(one.fault.removeprefix("engine: "), one.text) if one.fault.startswith("engine: ") else None
    answer = "; ".join(f"{name}({dict(arguments)})" for name, arguments in one.calls) or one.text
    start, end = one.start - origin, one.end - origin
    return Sample(
        index, start, start, end, None, (), one.usage.prompt_tokens, one.usage.completion_tokens,
        one.usage.cached_tokens, None, error, tags, {}, one.task.question, answer,
    )  # fmt: skip
