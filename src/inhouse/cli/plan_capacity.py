"""`inhouse plan capacity`: what a machine does under load, and how many of them a demand takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from inhouse.bench.plan import parse_objectives
from inhouse.bench.traces import read_trace
from inhouse.cli.output import console, note, print_json, print_table, waiting
from inhouse.cli.run_view import short_id
from inhouse.core.environment import read_environment
from inhouse.core.errors import UsageError
from inhouse.core.records import RunStatus
from inhouse.core.settings import get_settings
from inhouse.core.units import format_seconds, parse_seconds
from inhouse.plan.assumptions import load_assumptions
from inhouse.plan.capacity import OBJECTIVES, SHARE, CapacityPlan, plan_capacity
from inhouse.plan.capacity_run import keep_capacity
from inhouse.plan.demand import Demand, demand_in, demand_of
from inhouse.plan.fitting import service_of
from inhouse.plan.hardware import find_layout, find_machine, predicted_service
from inhouse.plan.measured import cold_start_in
from inhouse.plan.moments import RUSH, RUSH_S, Happening
from inhouse.plan.outcome import Outcome
from inhouse.store.repository import Store


def capacity(
    run: Annotated[
        list[str] | None, typer.Option(metavar="RUN", help="A benchmark to fit. Repeatable. Default: the newest.")
    ] = None,
    machine: Annotated[
        str | None, typer.Option(help="A machine that is not here, predicted: l40s, h100, rtx-4090, … With --model.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model to predict: llama3.1:8b, qwen3:30b-a3b, …")] = None,
    bits: Annotated[int | None, typer.Option(help="Width of its weights: 16, 8 or 4. Default: 16.")] = None,
    users: Annotated[float | None, typer.Option(help="People who use it.", min=1)] = None,
    requests: Annotated[float | None, typer.Option(help="Requests of each in a working day.", min=0.01)] = None,
    prompt_tokens: Annotated[float | None, typer.Option(help="Mean length of a prompt.", min=1)] = None,
    output_tokens: Annotated[float | None, typer.Option(help="Mean length of an answer.", min=1)] = None,
    trace: Annotated[Path | None, typer.Option(help="A recorded trace in place of all four.")] = None,
    burst: Annotated[float, typer.Option(help="1: people ask independently; more: in bursts.", min=0.1)] = 1.0,
    rush: Annotated[float, typer.Option(help="How many times as many ask in a rush of 5 minutes.", min=1)] = RUSH,
    urgent: Annotated[float, typer.Option(help="Share of the requests that go first, in percent.", min=0)] = 0.0,
    cold_start: Annotated[
        str | None, typer.Option(help="How long a machine takes to start: 40s. Default: as measured, else 60s.")
    ] = None,
    objective: Annotated[
        list[str] | None, typer.Option(help="ttft=2s, tpot=100ms, e2e=10s. Repeatable. Default: the first two.")
    ] = None,
    share: Annotated[float, typer.Option(help="Share of the requests that keep them, in percent.")] = SHARE * 100,
    assumptions: Annotated[Path | None, typer.Option(help="Your file. Default: the one that comes along.")] = None,
    seed: Annotated[int, typer.Option(help="Fixes the simulations.", min=0)] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what load a machine keeps up with, and how many machines the demand takes.

    \b
    inhouse bench run --streams 1,2,4,8 --prompt-tokens 64,512
    inhouse plan capacity --users 300
    inhouse plan capacity --run 3f2a --objective ttft=1s --objective tpot=80ms --share 99
    inhouse plan capacity --trace AzureLLMInferenceTrace_conv.csv --urgent 20
    inhouse plan capacity --machine l40s --model llama3.1:8b --bits 8 --users 3000
    """
    if trace is not None:
        if any(given is not None for given in (users, requests, prompt_tokens, output_tokens)):
            raise UsageError("A trace has its own demand", do="Give --trace alone, or leave it out")
        demand = demand_in(read_trace(trace), trace.name)
    else:
        demand = demand_of(
            load_assumptions(assumptions), users=users, requests_per_user_day=requests, prompt_tokens=prompt_tokens,
            output_tokens=output_tokens, burst=burst,
        )  # fmt: skip
    if (machine is None) != (model is None) or (machine is not None and run):
        raise UsageError(
            "A prediction needs a machine and a model, and no run", do="Give --machine and --model, or --run"
        )
    with Store(get_settings().database_url) as store:
        if machine is not None and model is not None:
            ids: list[str] = []
            service = predicted_service(find_machine(machine), find_layout(model, bits, get_settings().data_dir))
        else:
            ids = [store.get_run(one, kind="bench" if one == "last" else None).id for one in run or [_newest(store)]]
            service, model = service_of(store, ids), store.get_run(ids[0]).model
        with waiting("simulating"):
            plan = plan_capacity(
                service, demand, objectives=parse_objectives(objective or []) or OBJECTIVES, share=share / 100,
                happening=_happening(store, cold_start, None if machine else model, rush, urgent / 100), seed=seed,
            )  # fmt: skip
        kept = keep_capacity(store, plan, read_environment(), runs=ids, model=model, machine=machine or "", seed=seed)
    if json:
        print_json({"run": kept.id, "runs": ids, "model": model, "machine": machine, "plan": plan.to_dict()})
        return
    _print(plan, demand, f"run {', '.join(map(short_id, ids))}: " if ids else "")
    note(f"kept: inhouse runs show {short_id(kept.id)}")


def _newest(store: Store) -> str:
    found = store.list_runs(kind="bench", status=RunStatus.DONE, limit=1)
    if not found:
        raise UsageError(
            "Nothing was measured yet that capacity could be planned from",
            do="Measure first: inhouse bench run --streams 1,2,4,8 --prompt-tokens 64,512",
        )
    return found[0].id


def _happening(store: Store, cold_start: str | None, model: str | None, rush: float, urgent: float) -> Happening:
    """What is asked of the busiest hour. `model` is the one measured here (None: the machine is predicted)."""
    if cold_start is not None:
        return Happening(rush, urgent, parse_seconds(cold_start, "The cold start"), "given")
    if model is not None and (measured := cold_start_in(store, model=model)) is not None:
        return Happening(rush, urgent, measured.value, "measured")
    return Happening(rush, urgent)


def _print(plan: CapacityPlan, demand: Demand, origin: str) -> None:
    model = plan.model
    print_table(
        ["requests at once", "a step", "tokens/s of each", "tokens/s of all"],
        [
            [count, format_seconds(step), _number(1 / step), _number(count / step)]
            for count, step in ((n, model.step_s(n)) for n, _ in model.decode_s)
        ],
        title="Decoding on one machine, with short contexts",
    )
    print_table(
        ["load", "requests/h", "TTFT p50", "p95", "E2E p50", "p95", "within objectives"],
        [
            [
                f"{level.queue.utilisation:.0%}", _number(level.queue.requests_s * 3600),
                *_times(level.simulated), f"{level.simulated.attained:.1%}",
            ]
            for level in plan.levels
        ],
        title=f"One machine under load, simulated ({plan.prompt_tokens:,.0f} + {plan.output_tokens:,.0f} tokens)",
    )  # fmt: skip
    print_table(
        ["load", "TTFT", "TPOT", "E2E"],
        [
            [
                f"{level.queue.utilisation:.0%}",
                *(_kept(level.simulated, name) for name in ("ttft_s", "tpot_s", "e2e_s")),
            ]
            for level in plan.levels
        ],
        title=f"The tightest objectives that {plan.share * 100:g} % of the requests keep at each load",
    )
    if plan.moments:
        _print_moments(plan)
    for line in _lines(plan, demand):
        console().print(line)
    off = "" if model.off is None else f", within {model.off:.1%} of each stage's time"
    note(f"{origin}{model.method}{off}; demand: {demand.source}")


def _print_moments(plan: CapacityPlan) -> None:
    asked = plan.happening
    said = {
        "rush": f"{asked.rush:g} times as many ask for {format_seconds(RUSH_S)}",
        "rush_urgent": f"… of them the {asked.urgent:.0%} that go first",
        "rush_others": "… and the others, behind them",
        "replaced": f"one machine fails, and is back after {format_seconds(asked.cold_start_s)}",
        "cold": f"all are started as the hour begins ({format_seconds(asked.cold_start_s)} each)",
    }
    machines = plan.need.machines
    print_table(
        ["in the busiest hour", "requests", "TTFT p50", "p95", "E2E p50", "p95", "within objectives"],
        [
            [said[one.name], f"{one.outcome.requests:,}", *_times(one.outcome), f"{one.outcome.attained:.1%}"]
            for one in plan.moments
        ],
        title=f"What {machines} machine{'s' if machines != 1 else ''} would do in the ten minutes from then on",
    )
    note(f"a cold start of {format_seconds(asked.cold_start_s)}: {asked.cold_from}")


def _number(value: float) -> str:
    """Four figures and no exponent: 29,740; 12.47."""
    return f"{float(f'{value:.4g}'):,.10g}"


def _kept(outcome: Outcome, name: str) -> str:
    return format_seconds(outcome.kept_s[name]) if name in outcome.kept_s else "–"


def _times(outcome: Outcome) -> list[str]:
    found = [figures.get(stat) for figures in (outcome.ttft_s, outcome.e2e_s) for stat in ("p50", "p95")]
    return ["–" if value is None else format_seconds(value) for value in found]


def _lines(plan: CapacityPlan, demand: Demand) -> Iterator[str]:
    need = plan.need
    yield (
        f"One machine completes {_number(plan.most_requests_s * 3600)} requests an hour at most; "
        f"{plan.knee_requests} at once bring nine tenths of what any number brings."
    )
    goal = f"{plan.objectives} for {plan.share * 100:g} % of the requests"
    if need.machines is None or need.level is None:
        yield f"No number of these machines keeps {goal}: one request alone breaks it."
        return
    yield f"It keeps {goal} up to {_number(plan.kept_requests_s * 3600)} requests an hour."
    people = f"{demand.users:,.0f} users, " if demand.users else ""
    yield (
        f"The busiest hour ({people}{_number(plan.demand_requests_hour)} requests) takes {need.machines} "
        f"machine{'s' if need.machines != 1 else ''}, which would carry {plan.headroom or 0:.2g} times as many."
    )
    if need.one_away is not None:
        spare = "not even two more keep them" if need.with_spare is None else f"{need.with_spare} machines keep them"
        yield (
            f"If one of them fails in that hour, {need.one_away.attained:.1%} of the requests are within the "
            f"objectives; {spare} even then."
        )
