"""What kept benchmarks say of a machine: its speed for all its users, its power, its cold start; assumes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from inhouse.core.errors import UsageError
from inhouse.core.records import Metric, RunStatus
from inhouse.plan.assumptions import Amount, Assumptions
from inhouse.store.repository import Store


@dataclass(frozen=True, slots=True)
class MeasuredMachine:
    """The best throughput of a run's stages with its 95 % interval, and the power in that stage where it was counted.

    `watts` is of the CPU package and the GPUs, which is what counters tell: the rest of the machine is not in it.
    """

    run_id: str
    day: str
    output_tokens_s: float
    low: float
    high: float
    watts: float | None = None

    def over(self, assumptions: Assumptions) -> Assumptions:
        """The assumptions with these figures for our own machine."""
        table = f"hardware.{assumptions.choice.own}"
        source = f"measured: run {self.run_id[:10]}"
        speed = Amount(self.low, self.output_tokens_s, self.high, "tokens/s", source, self.day)
        amounts = {f"{table}.output_tokens_s": speed}
        busy = assumptions.amounts[f"{table}.busy_w"]
        if self.watts is not None:
            # The counters miss the board, the disks and the power supply's loss: what was assumed may only be raised.
            likely = max(self.watts, busy.likely)
            amounts[f"{table}.busy_w"] = Amount(
                min(max(self.watts, busy.low), likely), likely, max(likely, busy.high), "W",
                source if likely == self.watts else busy.source, self.day if likely == self.watts else busy.date,
                busy.range,
            )  # fmt: skip
        return assumptions.replaced(amounts)


def cold_start_in(store: Store, *, model: str | None, study_id: str | None = None) -> Metric | None:
    """How long the newest finished cold start of the model took in all, its file not in the page cache where that was
    measured; None where nothing was.
    """
    for run in store.list_runs(kind="cold_start", status=RunStatus.DONE, study_id=study_id):
        if run.model != model:
            continue
        totals = {
            one.labels.get("cache"): one
            for one in store.metrics(run.id)
            if one.name == "cold_start_s" and one.labels.get("part") == "total"
        }
        if totals:
            return totals.get("cold") or next(iter(totals.values()))
    return None


def measured_machine(store: Store, run_id: str) -> MeasuredMachine:
    """The machine that the run was made on.

    Raises:
        RunNotFound: no run goes by that id.
        UsageError: the run measured no throughput.
    """
    run = store.get_run(run_id)
    metrics = store.metrics(run.id)
    speeds = [one for one in metrics if one.name == "output_tokens_s" and not one.predicted and one.value > 0]
    if not speeds:
        raise UsageError(
            f"The run {run.id[:10]} measured no throughput", why=f"it is of kind {run.kind!r}",
            do="Name a benchmark: inhouse runs list --kind bench",
        )  # fmt: skip
    best = max(speeds, key=lambda one: one.value)
    stage = best.labels.get("stage")
    joules = sum(one.value for one in metrics if one.name == "energy_j" and one.labels.get("stage") == stage)
    watts = None
    if joules > 0 and isinstance(stage, str):
        tokens = sum(one.completion_tokens or 0 for one in store.samples(run.id, stage=stage) if one.ok)
        watts = joules * best.value / tokens if tokens else None
    low, high = (best.value if bound is None else bound for bound in (best.low, best.high))
    return MeasuredMachine(run.id, run.created_at.date().isoformat(), best.value, low, high, watts)
