"""Keeps a capacity plan as a run, so that sentences can stand on its figures. Plans nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inhouse.bench.keeping import ending
from inhouse.core.environment import Environment
from inhouse.core.records import Metric, Run, Scalar
from inhouse.plan.capacity import CapacityPlan
from inhouse.store.repository import Store

KIND = "plan_capacity"
HOUR_S = 3600.0
Labels = dict[str, Scalar]


def keep_capacity(
    store: Store,
    plan: CapacityPlan,
    environment: Environment,
    *,
    runs: Sequence[str] = (),
    model: str | None = None,
    machine: str = "",
    seed: int = 0,
    study_id: str | None = None,
    name: str = "capacity",
) -> Run:
    """Keeps the plan with all that it stands on; returns the finished run.

    Args:
        store: where it is kept.
        plan: what is kept.
        environment: this machine's fingerprint.
        runs: the benches that the service model was fitted to.
        model: the model that is served.
        machine: the catalogue's machine, where the plan is not of this one.
        seed: of the simulations.
        study_id: the study that it is part of.
        name: the part's name.
    """
    config = {"name": name, "runs": list(runs), "machine": machine, **plan.to_dict()}
    run = store.create_run(KIND, config, seed=seed, environment=environment, model=model, study_id=study_id)
    with ending(store, run):
        store.set_metrics(run.id, list(figures(plan)))
    return store.get_run(run.id)


def figures(plan: CapacityPlan) -> Iterator[Metric]:
    """The plan's figures, every one a prediction."""
    need, method = plan.need, "simulation"
    labels: Labels = {"objectives": str(plan.objectives)}

    def figure(name: str, value: float, unit: str = "", at: Labels | None = None, n: int | None = None) -> Metric:
        return Metric(name, value, unit, {**labels, **(at or {})}, n=n, method=method, predicted=True)

    yield figure("most_requests_hour", plan.most_requests_s * HOUR_S)
    yield figure("kept_requests_hour", plan.kept_requests_s * HOUR_S)
    yield figure("asked_requests_hour", plan.demand_requests_hour)
    yield figure("knee_requests", plan.knee_requests)
    for level in plan.levels:
        load: Labels = {"load_percent": round(level.queue.utilisation * 100)}
        yield figure("offered_requests_hour", level.queue.requests_s * HOUR_S, at=load)
        yield figure("within_percent", level.simulated.attained * 100, "%", at=load)
        for name, seconds in level.simulated.kept_s.items():
            yield figure(f"kept_{name}", seconds, "s", at=load)
    if need.machines is not None and need.level is not None and need.one_away is not None:
        yield figure("machines_needed", need.machines)
        if plan.headroom is not None:
            yield figure("headroom_ratio", plan.headroom)
        for name, times in (("ttft_s", need.level.simulated.ttft_s), ("e2e_s", need.level.simulated.e2e_s)):
            for stat in ("p50", "p95"):
                if stat in times:
                    yield figure(name, times[stat], "s", {"stat": stat, "machines": need.machines})
        yield figure("one_away_percent", need.one_away.attained * 100, "%", {"machines": need.machines})
        if need.with_spare is not None:
            yield figure("machines_with_spare", need.with_spare)
        yield figure("rush_ratio", plan.happening.rush)
        yield figure("start_s", plan.happening.cold_start_s, "s", {"from": plan.happening.cold_from})
        for moment in plan.moments:
            at: Labels = {"moment": moment.name, "machines": need.machines}
            yield figure("moment_percent", moment.outcome.attained * 100, "%", at=at, n=moment.outcome.requests)
            if "p95" in moment.outcome.ttft_s:
                yield figure("ttft_s", moment.outcome.ttft_s["p95"], "s", {**at, "stat": "p95"})
