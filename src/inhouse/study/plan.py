"""The study's plan: what it would take to go on, computed from the assumptions and from what the phases measured.

Measures nothing. What follows from the figures is said in plan_findings.py.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from inhouse.core.errors import PartSkipped, UsageError
from inhouse.plan.assumptions import Assumptions, load_assumptions
from inhouse.plan.capacity import plan_capacity
from inhouse.plan.capacity_run import keep_capacity
from inhouse.plan.comparison import compare, keep
from inhouse.plan.demand import demand_of
from inhouse.plan.fitting import service_of
from inhouse.plan.hardware import find_layout, find_machine, predicted_service
from inhouse.plan.measured import cold_start_in
from inhouse.plan.moments import Happening
from inhouse.plan.solved import solved_tasks
from inhouse.study.base import Context, Part, outcomes

PLAN = 6
"""The phase of what is planned."""
GPU_MODEL, GPU_BITS = "llama3.1:8b", 8
"""What the machine that would be bought is planned with: the model that the assumptions rate their hardware with."""
_BENCHES = ("concurrency", "prompt_length")  # of phase 1


async def _ownership(context: Context) -> str:
    """A year's cost of every way to an LLM."""
    if find_spec("genai_prices") is None:
        raise PartSkipped(
            "API prices are not installed", do="pip install 'inhouse[plan]'", message="phase6.no_plan_extra"
        )
    file = context.config.assumptions
    made = await asyncio.to_thread(
        compare, _assumptions(context), datetime.now(UTC), seed=context.config.seed,
        solved=solved_tasks(context.store, context.study.id),
    )  # fmt: skip
    run = keep(context.store, made, context.environment, context.study.id, name="ownership", file=file)
    return run.id


async def _capacity(context: Context) -> str:
    """What this machine keeps up with, and how many of it the demand takes, from the study's own benches."""
    made = outcomes(context.store, context.study.id)
    runs = [one.run for name in _BENCHES if (one := made.get(name)) is not None and one.status == "done" and one.run]
    if not runs:
        raise PartSkipped("No load was measured in this study", message="phase6.no_bench")
    demand = demand_of(_assumptions(context))
    model = await asyncio.to_thread(service_of, context.store, runs)
    started = cold_start_in(context.store, model=context.config.model, study_id=context.study.id)
    happening = Happening() if started is None else Happening(cold_start_s=started.value, cold_from="measured")
    plan = await asyncio.to_thread(plan_capacity, model, demand, happening=happening, seed=context.config.seed)
    kept = keep_capacity(
        context.store, plan, context.environment, runs=runs, model=context.config.model, seed=context.config.seed,
        study_id=context.study.id, name="capacity",
    )  # fmt: skip
    return kept.id


async def _gpu_capacity(context: Context) -> str:
    """The same demand on the machine that the assumptions would buy, with an 8B model, from its specification."""
    assumptions = _assumptions(context)
    try:
        machine = find_machine(assumptions.choice.own)
    except UsageError:
        raise PartSkipped(
            f"The specification of {assumptions.choice.own} is not known", message="phase6.no_specification",
            machine=assumptions.choice.own,
        ) from None  # fmt: skip
    model = predicted_service(machine, find_layout(GPU_MODEL, GPU_BITS))
    plan = await asyncio.to_thread(plan_capacity, model, demand_of(assumptions), seed=context.config.seed)
    kept = keep_capacity(
        context.store, plan, context.environment, model=GPU_MODEL, machine=machine.title, seed=context.config.seed,
        study_id=context.study.id, name="gpu_capacity",
    )  # fmt: skip
    return kept.id


def _assumptions(context: Context) -> Assumptions:
    file = context.config.assumptions
    return load_assumptions(Path(file) if file else None)


PLAN_PARTS: tuple[Part, ...] = (
    Part("capacity", PLAN, "how many of this machine the demand takes", 0.0, _capacity),
    Part("gpu_capacity", PLAN, "how many GPUs it would take", 0.0, _gpu_capacity),
    Part("ownership", PLAN, "what a year costs, in-house and bought", 0.0, _ownership),
)
"""The parts that come after the phases, whatever they are."""
