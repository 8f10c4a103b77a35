"""What a run would take, before it is made: requests, tokens, time, and the difference that it could show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inhouse.core.errors import EngineError
from inhouse.engines.base import Engine
from inhouse.quality.runner import EvalPlan, drawn
from inhouse.quality.scorers import Need, Support, make_scorer
from inhouse.quality.session import Session
from inhouse.quality.statistics import detectable_difference
from inhouse.quality.suite import Case, Suite, cases_of

_COUNTED = 8  # prompts whose tokens are counted; the others are taken for as long on the average


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one suite would take. `completion_tokens` at most; `seconds` from one answer that was really made
    (None: none was), asked alone, so that several at once take less.

    `detectable`: the smallest difference between two models that so many items show in 4 of 5 runs.
    """

    suite: str
    items: int
    requests: int
    prompt_tokens: int | None
    completion_tokens: int
    seconds: float | None
    detectable: float


async def estimate(
    engine: Engine, suites: Sequence[Suite], plan: EvalPlan, *, model: str, pilot: Session | None = None
) -> list[Estimate]:
    """The estimate of each suite. With a `pilot` session one case of each is asked, and kept there."""
    return [await _one(engine, suite, plan, model, pilot) for suite in suites]


async def _one(engine: Engine, suite: Suite, plan: EvalPlan, model: str, pilot: Session | None) -> Estimate:
    items = drawn(suite, plan)
    cases = cases_of(suite.with_(items=tuple(items)), samples=plan.samples)
    needs = frozenset[Need]().union(*(make_scorer(use, Support()).needs for use in suite.scorers))
    return Estimate(
        suite=suite.name,
        items=len(items),
        requests=sum(_requests(case, needs) for case in cases),
        prompt_tokens=await _prompt_tokens(engine, model, cases),
        completion_tokens=sum(_tokens(case, needs) for case in cases),
        seconds=None if pilot is None else await _pilot_s(pilot, cases[0], needs) * len(cases),
        detectable=detectable_difference(len({item.cluster for item in items})),
    )


def _requests(case: Case, needs: frozenset[Need]) -> int:
    return ("text" in needs) + ("letters" in needs) + ("continuations" in needs) * len(case.item.choices)


def _tokens(case: Case, needs: frozenset[Need]) -> int:
    return ("text" in needs) * case.sampling.max_tokens + ("letters" in needs)


async def _prompt_tokens(engine: Engine, model: str, cases: Sequence[Case]) -> int | None:
    """Tokens of all prompts, from those of a few that stand far apart; None where the engine cannot count."""
    some = cases[:: max(1, len(cases) // _COUNTED)][:_COUNTED]
    try:
        counted = [await engine.count_tokens(model, case.prompt.system + case.text) for case in some]
    except EngineError:
        return None
    return round(sum(counted) / len(counted) * len(cases))


async def _pilot_s(pilot: Session, case: Case, needs: frozenset[Need]) -> float:
    """How long one answer takes; the first is sent twice where the engine had the model to load for it."""
    return (await pilot.answer(case, {}, needs)).duration_s
