"""What was used, summed from the ledger by key, team, model, day; knows neither prices nor requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, func, select

from inhouse.gateway.ledger import UsageRow
from inhouse.store.database import Database
from inhouse.store.gateway_tables import api_keys, usage, usage_days

By = Literal["day", "month", "key", "team", "model"]


@dataclass(frozen=True, slots=True)
class UsageSum:
    """The use of one group: `group` maps each of the dimensions asked for to its value."""

    group: dict[str, str]
    requests: int
    errors: int
    cache_hits: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float
    krw: float
    saved_krw: float


def rows_of(database: Database, ids: Sequence[str]) -> dict[str, UsageRow]:
    """The ledger's rows of those requests, by id; what is not there (yet) is left out."""
    if not ids:
        return {}
    columns = [usage.c[name] for name in UsageRow._fields]
    with database.read() as connection:
        rows = connection.execute(select(*columns).where(usage.c.id.in_(ids)))
        return {row.id: UsageRow(*row) for row in rows}


def sum_usage(
    database: Database,
    by: Sequence[By],
    *,
    since: str | None = None,
    until: str | None = None,
    key_id: str | None = None,
    team: str | None = None,
    model: str | None = None,
    named: bool = True,
) -> list[UsageSum]:
    """Use by the dimensions, in their order; `since` and `until` are UTC dates (inclusive).

    Keys are shown by name and the beginning of their id, or by their id where they are not to be `named`.
    """
    table = usage_days.c
    dimensions: dict[str, ColumnElement[str]] = {
        "day": table.day,
        "month": func.substr(table.day, 1, 7),
        "key": table.key_id,
        "team": table.team,
        "model": table.model,
    }
    groups = [dimensions[name].label(f"by_{name}") for name in by]
    sums = [
        func.sum(table[name]).label(name)
        for name in (
            "requests",
            "errors",
            "cache_hits",
            "prompt_tokens",
            "completion_tokens",
            "cached_tokens",
            "nano_usd",
            "micro_krw",
            "saved_micro_krw",
        )
    ]
    query = select(*groups, *sums).group_by(*groups).order_by(*groups)
    for column, value in ((table.key_id, key_id), (table.team, team), (table.model, model)):
        if value is not None:
            query = query.where(column == value)
    if since is not None:
        query = query.where(table.day >= since)
    if until is not None:
        query = query.where(table.day <= until)
    with database.read() as connection:
        rows = [row for row in connection.execute(query).mappings() if row["requests"] is not None]
        every = select(api_keys.c.id, api_keys.c.name)
        names = {row.id: row.name for row in connection.execute(every)} if named and "key" in by else {}
    return [
        UsageSum(
            group={name: _shown(name, row[f"by_{name}"], names) for name in by},
            requests=int(row["requests"]),
            errors=int(row["errors"]),
            cache_hits=int(row["cache_hits"]),
            prompt_tokens=int(row["prompt_tokens"]),
            completion_tokens=int(row["completion_tokens"]),
            cached_tokens=int(row["cached_tokens"]),
            usd=int(row["nano_usd"]) / 1e9,
            krw=int(row["micro_krw"]) / 1e6,
            saved_krw=int(row["saved_micro_krw"]) / 1e6,
        )
        for row in rows
    ]


def _shown(dimension: str, value: str, names: dict[str, str]) -> str:
    return f"{names[value]} ({value[:10]})" if dimension == "key" and value in names else value
