"""What a run would take, before it is made: requests, tokens, time, and the difference that it could show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inhouse.core.environment import Environment
from inhouse.core.errors import EngineError
from inhouse.core.records import RunStatus
from inhouse.engines.base import Engine
from inhouse.quality.likelihood import ask
from inhouse.quality.runner import RUN_KIND, EvalPlan, drawn
from inhouse.quality.scorers import Need, Support, make_scorer
from inhouse.quality.statistics import assumed_design_effect, detectable_difference, items_within
from inhouse.quality.suite import Case, Item, Suite, cases_of
from inhouse.store.repository import Store

_COUNTED = 8  # prompts whose tokens are counted; the others are taken for as long on the average


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one suite would take; `completion_tokens` at most.

    `seconds` is None where nothing is known; `basis` says what it rests on. `detectable` is the smallest difference
    between two models that so many items show in 4 of 5 runs, see `detectable`.
    """

    suite: str
    items: int
    requests: int
    prompt_tokens: int | None
    completion_tokens: int
    seconds: float | None
    basis: str
    detectable: float


async def estimate(
    engine: Engine, suites: Sequence[Suite], plan: EvalPlan, *, model: str, paces: Mapping[str, float], pilot: bool
) -> list[Estimate]:
    """The estimate of each suite. `paces` are seconds an answer by suite, from earlier runs; where they say nothing
    and `pilot` is set, one case is asked and timed (an upper bound: alone, and with nothing cached).
    """
    return [await _one(engine, suite, plan, model, paces.get(suite.name), pilot=pilot) for suite in suites]


def detectable(items: Sequence[Item]) -> float:
    """The smallest difference between two models that the items show in 4 of 5 runs, at an accuracy of a half; items
    of one cluster are taken to be somewhat alike (ASSUMED_CORRELATION).
    """
    clusters = len({item.cluster for item in items})
    return detectable_difference(len(items), design_effect=assumed_design_effect(len(items), clusters))


def paces(store: Store, model: str, environment: Environment) -> dict[str, float]:
    """Seconds an answer took by suite, in the newest run of this model on this machine that has the suite."""
    found: dict[str, float] = {}
    for run in store.list_runs(kind=RUN_KIND, model=model, status=RunStatus.DONE, limit=20):
        same = (run.environment.cpu, run.environment.cores) == (environment.cpu, environment.cores)
        for metric in store.metrics(run.id) if same else ():
            if metric.name == "seconds_per_answer":
                found.setdefault(str(metric.labels.get("suite")), metric.value)
    return found


async def _one(
    engine: Engine, suite: Suite, plan: EvalPlan, model: str, pace: float | None, *, pilot: bool
) -> Estimate:
    items = drawn(suite, plan)
    needs = frozenset[Need]().union(*(make_scorer(use, Support()).needs for use in suite.scorers))
    basis = "an earlier run" if pace is not None else "not known"
    if pace is None and pilot:
        asked = await ask(engine, first := cases_of(suite)[0], first.request(model, plan.seed), needs)
        pace, basis = asked.duration_s, "one answer, asked alone"
    cases = cases_of(suite.with_(items=tuple(items)), samples=plan.samples)
    if plan.budget_s is not None and pace:
        each = len(cases) // len(items)
        items = items[: max(1, items_within(plan.budget_s, pace * each))]
        cases = cases[: len(items) * each]
    return Estimate(
        suite=suite.name,
        items=len(items),
        requests=sum(_requests(case, needs) for case in cases),
        prompt_tokens=await _prompt_tokens(engine, model, cases),
        completion_tokens=sum(("text" in needs) * one.sampling.max_tokens + ("letters" in needs) for one in cases),
        seconds=None if pace is None else pace * len(cases),
        basis=basis,
        detectable=detectable(items),
    )


def _requests(case: Case, needs: frozenset[Need]) -> int:
    return ("text" in needs) + ("letters" in needs) + ("continuations" in needs) * len(case.item.choices)


async def _prompt_tokens(engine: Engine, model: str, cases: Sequence[Case]) -> int | None:
    """Tokens of all prompts, from those of a few that stand far apart; None where the engine cannot count."""
    some = cases[:: max(1, len(cases) // _COUNTED)][:_COUNTED]
    try:
        counted = [await engine.count_tokens(model, case.prompt.system + case.text) for case in some]
    except EngineError:
        return None
    return round(sum(counted) / len(counted) * len(cases))
