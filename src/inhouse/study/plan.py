"""The study's plan: what it would take to go on, computed from the assumptions and from what the phases measured.

Measures nothing. What follows from the figures is said in plan_findings.py.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from inhouse.core.errors import PartSkipped
from inhouse.plan.assumptions import load_assumptions
from inhouse.plan.comparison import compare, keep
from inhouse.plan.solved import solved_tasks
from inhouse.study.base import Context, Part

PLAN = 6
"""The phase of what is planned."""


async def _ownership(context: Context) -> str:
    """A year's cost of every way to an LLM."""
    if find_spec("genai_prices") is None:
        raise PartSkipped(
            "API prices are not installed", do="pip install 'inhouse[plan]'", message="phase6.no_plan_extra"
        )
    file = context.config.assumptions
    made = await asyncio.to_thread(
        compare, load_assumptions(Path(file) if file else None), datetime.now(UTC), seed=context.config.seed,
        solved=solved_tasks(context.store, context.study.id),
    )  # fmt: skip
    run = keep(context.store, made, context.environment, context.study.id, name="ownership", file=file)
    return run.id


PLAN_PARTS: tuple[Part, ...] = (Part("ownership", PLAN, "what a year costs, in-house and bought", 0.0, _ownership),)
"""The parts that come after the phases, whatever they are."""
