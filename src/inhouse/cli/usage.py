"""`inhouse usage`: what was used of the gateway, from its ledger."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from inhouse.cli.output import note, print_json, print_table
from inhouse.core.errors import UsageError
from inhouse.core.settings import get_settings

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Dimension(StrEnum):
    """What usage can be summed by."""

    DAY = "day"
    MONTH = "month"
    KEY = "key"
    TEAM = "team"
    MODEL = "model"


class Form(StrEnum):
    """How it is printed."""

    TABLE = "table"
    CSV = "csv"


@app.command()
def usage(
    by: Annotated[list[Dimension] | None, typer.Option(help="Sum by this; once for each.")] = None,
    since: Annotated[str | None, typer.Option(help="First day (UTC), or 30d for the last 30.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day (UTC).")] = None,
    key: Annotated[str | None, typer.Option(help="Only this key: its id or the beginning of its text.")] = None,
    team: Annotated[str | None, typer.Option(help="Only this team.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    format: Annotated[Form, typer.Option(help="table or csv.")] = Form.TABLE,  # noqa: A002
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Sum requests, tokens and cost by key, team, model, day or month.

    \b
    inhouse usage --by key --since 30d
    inhouse usage --by day --by model --format csv > usage.csv
    """
    from inhouse.gateway.key_store import KeyStore
    from inhouse.gateway.open import open_database
    from inhouse.gateway.usage import By, sum_usage

    groups: list[By] = [one.value for one in dict.fromkeys(by or [Dimension.DAY])]
    database = open_database(get_settings())
    try:
        key_id = None if key is None else "local" if key == "local" else KeyStore(database).get(key).id
        rows = sum_usage(database, groups, since=_day(since), until=_day(until), key_id=key_id, team=team, model=model)
    finally:
        database.close()
    if json:
        print_json(rows)
        return
    columns = [*groups, "requests", "errors", "cache_hits", "prompt_tokens", "completion_tokens", "cached_tokens"]
    columns += ["usd", "krw", "saved_krw"]
    values = [[{**row.group}.get(name, getattr(row, name, "")) for name in columns] for row in rows]
    if format is Form.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(values)
    elif not rows:
        note("No usage is kept that fits")
    else:
        print_table(columns, [[_cell(value) for value in row] for row in values])


def _day(text: str | None) -> str | None:
    if text is None:
        return None
    today = datetime.now(UTC).date()
    if text.endswith("d") and text[:-1].isdecimal() and len(text) < 7:
        return (today - timedelta(days=int(text[:-1]) - 1)).isoformat()
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"{text!r} is no day", do="Write 2026-01-31, or 30d for the last 30 days") from None


def _cell(value: object) -> object:
    if value == "":  # a key without a team; a request that was refused before it named a model
        return "(none)"
    return f"{value:,.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
