"""Plans survive being kept, and refuse what cannot be meant."""

from __future__ import annotations

import json
import math

import pytest

from inhouse.bench.plan import BenchPlan, Closed, Objectives, Open, Stage, Sweep, Trace, parse_objectives
from inhouse.core.errors import UsageError


def test_a_plan_is_the_same_after_being_kept_as_json() -> None:
    plan = BenchPlan(
        stages=(
            Stage(Closed(4), 256, 64, count=10, shared_prefix=100),
            Stage(Open(2.5, "constant"), duration_s=3.0),
            Stage(Trace("/tmp/trace.csv", 0.5)),
        ),
        sweep=Sweep(Stage(Open(1.0), count=5), limit=8, min_gain=0.1),
        warmup=2,
        seed=7,
        text="ko",
        objectives=Objectives(ttft_s=2.0, e2e_s=9.0),
        context=2048,
        slots=4,
        name="night",
        labels={"device": "gpu"},
    )
    assert BenchPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_plan_of_a_newer_version_can_be_read() -> None:
    plan = BenchPlan((Stage(Closed(1), count=1),))
    assert BenchPlan.from_dict({**plan.to_dict(), "invented_later": 1}) == plan


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_numbers_that_are_not_above_zero_are_refused(value: float) -> None:
    for make in (
        lambda: Closed(value),  # type: ignore[arg-type]
        lambda: Open(value),
        lambda: Trace("t", value),
        lambda: Stage(Closed(1), prompt_tokens=value, count=1),  # type: ignore[arg-type]
        lambda: Stage(Closed(1), output_tokens=value, count=1),  # type: ignore[arg-type]
        lambda: Stage(Closed(1), count=value),  # type: ignore[arg-type]
        lambda: Stage(Closed(1), duration_s=value),
        lambda: Objectives(ttft_s=value),
    ):
        with pytest.raises(UsageError):
            make()


def test_plans_without_sense_are_refused() -> None:
    stage = Stage(Closed(1), count=1)
    for make in (
        lambda: Stage(Closed(1)),
        lambda: Stage(Closed(1), 64, count=1, shared_prefix=64),
        lambda: Stage(Closed(1), count=1, shared_prefix=-1),
        lambda: BenchPlan(),
        lambda: BenchPlan((stage, stage)),
        lambda: BenchPlan((stage,), warmup=-1),
        lambda: BenchPlan((stage,), text="fr"),  # type: ignore[arg-type]
        lambda: Open(1.0, "bursty"),  # type: ignore[arg-type]
        lambda: Sweep(Stage(Trace("t"))),
        lambda: Sweep(stage, factor=1.0),
        lambda: Sweep(stage, min_gain=5.0),
    ):
        with pytest.raises(UsageError):
            make()


def test_objectives_are_read_with_their_units() -> None:
    assert parse_objectives(["ttft=2s", "tpot=100ms", "e2e=10"]) == Objectives(2.0, 0.1, 10.0)
    assert not parse_objectives([])


@pytest.mark.parametrize("text", ["ttft", "ttft=", "speed=2s", "ttft=fast", "ttft=0s", "ttft=-1s", "=2s", "ttft=nans"])
def test_an_objective_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_objectives([text])


def test_stages_are_named_by_the_work_they_do() -> None:
    assert Stage(Closed(1), 256, 64, count=1).name == "1 stream, 256/64 tokens"
    assert Stage(Closed(8), 256, 64, count=9, shared_prefix=200).name == "8 streams, 256/64 tokens, 200 shared"
    assert Stage(Open(2.5), 256, 64, count=1).name == "2.5/s poisson, 256/64 tokens"
