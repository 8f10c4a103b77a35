"""`inhouse plan cost`: what a year of an LLM costs, in-house and bought, from one file of assumptions."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.output import note, print_json, print_table
from inhouse.core.environment import read_environment
from inhouse.core.errors import UsageError
from inhouse.core.settings import get_settings
from inhouse.plan.assumptions import Assumptions, given, load_assumptions, shipped_text
from inhouse.plan.comparison import compare, keep
from inhouse.plan.measured import measured_machine
from inhouse.plan.solved import solved_tasks
from inhouse.store.repository import Store


def cost(
    assumptions: Annotated[Path | None, typer.Option(help="Your file. Default: the one that comes along.")] = None,
    init: Annotated[Path | None, typer.Option(help="Write that file to be edited, and stop.")] = None,
    users: Annotated[int | None, typer.Option(help="People who use it.", min=1)] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=NUMBER", help="Another amount. Repeatable.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="A benchmark of your machine: its speed and power count.")] = None,
    machines: Annotated[
        int | None, typer.Option(help="How many machines, spare ones too, as inhouse plan capacity found.", min=1)
    ] = None,
    show: Annotated[bool, typer.Option("--show-assumptions", help="List every amount with its source.")] = False,
    seed: Annotated[int, typer.Option(help="Fixes the draws of the ranges.", min=0)] = 0,
    lang: Annotated[str | None, typer.Option(help="ko or en. Default: the locale's.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare a year's cost of own machines, a cloud, a managed service, APIs and seats.

    \b
    inhouse plan cost --users 300
    inhouse plan cost --init costs.toml        (edit it, then:)
    inhouse plan cost --assumptions costs.toml --show-assumptions
    inhouse plan cost --run 3f2a --set power.krw_per_kwh=150
    """
    if init is not None:
        _write(init)
        return
    loaded = _with(load_assumptions(assumptions), users, set_ or [])
    with Store(get_settings().database_url) as store:
        if run is not None:
            loaded = measured_machine(store, run).over(loaded)
        made = compare(loaded, datetime.now(UTC), seed=seed, machines=machines, solved=solved_tasks(store))
        kept = keep(store, made, read_environment(), file=str(assumptions or ""))
    if json:
        print_json({"run": kept.id, "comparison": made, "assumptions": loaded.to_dict()})
        return
    # What is for people is written by the report's words, which a program that reads JSON does not need.
    from inhouse.report.cost_tables import cost_tables
    from inhouse.report.language import choose_language

    for table in cost_tables(made, choose_language(lang, os.environ), assumptions=show):
        print_table(table.columns, table.rows, title=table.title)
        for line in table.notes:
            note(line)
    note(f"kept: inhouse runs show {kept.id[:10]}")


def _write(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} is there already", do="Give another name, or remove it first")
    try:
        path.write_text(shipped_text(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written", why=error.strerror or str(error)) from None
    note(f"written: {path}; edit it, then inhouse plan cost --assumptions {path}")


def _with(loaded: Assumptions, users: int | None, sets: list[str]) -> Assumptions:
    """The assumptions with what the command line says."""
    said = [*sets, *([f"demand.users={users}"] if users is not None else [])]
    for text in said:
        name, _, value = text.partition("=")
        amount = loaded.amounts.get(name.strip())
        if amount is None:
            raise UsageError(f"There is no assumption {name.strip()!r}", do="See inhouse plan cost --show-assumptions")
        try:
            number = float(value.replace(",", "").replace("_", ""))
        except ValueError:
            raise UsageError(f"{text!r} gives no number", do="Write NAME=NUMBER, as in power.pue=1.3") from None
        loaded = loaded.replaced({name.strip(): given(name.strip(), amount, number)})
    return loaded
