"""`inhouse keys`: makes, lists, rotates and revokes the gateway's keys, and sets what teams may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any

import typer

from inhouse.cli.output import note, print_json, print_table
from inhouse.core.errors import UsageError
from inhouse.core.settings import get_settings
from inhouse.gateway.audit import local_actor, open_audit_log
from inhouse.gateway.audited_keys import AuditedKeys
from inhouse.gateway.identity import Budget, KeyLimits
from inhouse.gateway.key_store import Key, KeyStore, Team
from inhouse.gateway.open import open_database

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="""Make, list, rotate and revoke the keys of the gateway.

    A key is named by its id, the beginning of its id, or the beginning of its text (ih-abcd2345).
    """,
)

KeyName = Annotated[str, typer.Argument(metavar="KEY", help="Its id or the beginning of it, or ih-abcd2345.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Rpm = Annotated[int | None, typer.Option("--requests-per-minute", min=1, help="Requests a minute.")]
Tpm = Annotated[int | None, typer.Option("--tokens-per-minute", min=1, help="Tokens a minute.")]
AtOnce = Annotated[int | None, typer.Option("--max-concurrent", min=1, help="Requests at once.")]
TokensDay = Annotated[int | None, typer.Option("--tokens-per-day", min=1, help="Tokens by UTC day.")]
TokensMonth = Annotated[int | None, typer.Option("--tokens-per-month", min=1, help="Tokens by UTC month.")]
KrwDay = Annotated[str | None, typer.Option("--krw-per-day", help="Won by UTC day, by the price table.")]
KrwMonth = Annotated[str | None, typer.Option("--krw-per-month", help="Won by UTC month, by the price table.")]


class RoleName(StrEnum):
    """What a key may do beyond using models."""

    USER = "user"
    ADMIN = "admin"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, or what for.")],
    team: Annotated[str | None, typer.Option(help="The team it belongs to; made if it is new.")] = None,
    role: Annotated[RoleName, typer.Option(help="admin may also see metrics and usage and make keys.")] = RoleName.USER,
    model: Annotated[list[str] | None, typer.Option(help="A model it may use, once for each; default: all.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="An access tag: documents with it are open to this key.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="When it ends: 2027-01-31, or 90d, 12h from now.")] = None,
    priority: Annotated[int, typer.Option(min=-100, max=100, help="In the queue; higher goes first.")] = 0,
    requests_per_minute: Rpm = None,
    tokens_per_minute: Tpm = None,
    max_concurrent: AtOnce = None,
    tokens_per_day: TokensDay = None,
    tokens_per_month: TokensMonth = None,
    krw_per_day: KrwDay = None,
    krw_per_month: KrwMonth = None,
    json: AsJson = False,
) -> None:
    """Make a key. Its text is shown this once; only its hash is kept.

    \b
    inhouse keys create alice --team search --requests-per-minute 60 --krw-per-month 50000
    inhouse keys create grafana --role admin --expires 90d
    """
    with _keys() as keys:
        key, text = keys.create(
            name,
            team=team,
            role="admin" if role is RoleName.ADMIN else "user",
            models=model or None,
            tags=tag or (),
            limits=KeyLimits(requests_per_minute, tokens_per_minute, max_concurrent),
            budget=Budget(tokens_per_day, tokens_per_month, _money(krw_per_day), _money(krw_per_month)),
            priority=priority,
            expires_at=None if expires is None else _time(expires),
        )
    _show_once(key, text, json)


@app.command("list")
def list_keys(
    all_: Annotated[bool, typer.Option("--all", help="The revoked ones too.")] = False,
    json: AsJson = False,
) -> None:
    """List the keys."""
    with _keys() as keys:
        found = keys.all(revoked=all_)
    if json:
        print_json(found)
    elif not found:
        note("There is no key yet; make one with `inhouse keys create NAME`")
    else:
        print_table(
            ["id", "key", "name", "team", "role", "models", "tags", "limits", "created", "expires", "revoked"],
            [
                (
                    key.id[:10],
                    f"{key.prefix}-…",
                    key.name,
                    key.team,
                    key.role,
                    "all" if key.models is None else ", ".join(key.models),
                    ", ".join(key.tags),
                    _allowances(key.limits, key.budget),
                    _date(key.created_at),
                    _date(key.expires_at),
                    _date(key.revoked_at),
                )
                for key in found
            ],
        )


@app.command()
def limit(
    key: KeyName,
    requests_per_minute: Rpm = None,
    tokens_per_minute: Tpm = None,
    max_concurrent: AtOnce = None,
    tokens_per_day: TokensDay = None,
    tokens_per_month: TokensMonth = None,
    krw_per_day: KrwDay = None,
    krw_per_month: KrwMonth = None,
    json: AsJson = False,
) -> None:
    """Replace a key's own rates and budgets; what is not given is unlimited from then on.

    \b
    inhouse keys limit ih-abcd2345 --requests-per-minute 60 --krw-per-month 50000
    """
    with _keys() as keys:
        limits = KeyLimits(requests_per_minute, tokens_per_minute, max_concurrent)
        budget = Budget(tokens_per_day, tokens_per_month, _money(krw_per_day), _money(krw_per_month))
        changed = keys.set_allowances(key, limits, budget)
    if json:
        print_json(changed)
    else:
        note(f"{changed.prefix} ({changed.name}): {_allowances(limits, budget) or 'no limit'}")


@app.command()
def rotate(
    key: KeyName,
    grace: Annotated[str, typer.Option(help="How long the old secret stays good: 24h, 7d.")] = "0h",
    json: AsJson = False,
) -> None:
    """Give a key a new secret, shown this once.

    \b
    inhouse keys rotate ih-abcd2345 --grace 24h
    """
    with _keys() as keys:
        rotated, text = keys.rotate(key, grace=_span(grace))
    _show_once(rotated, text, json)


@app.command()
def revoke(key: KeyName) -> None:
    """End a key; every gateway process refuses it within a second."""
    with _keys() as keys:
        revoked = keys.revoke(key)
    note(f"Revoked {revoked.prefix} ({revoked.name})")


@app.command()
def team(
    name: Annotated[str | None, typer.Argument(help="The team to make or change; none: list them.")] = None,
    requests_per_minute: Rpm = None,
    tokens_per_minute: Tpm = None,
    max_concurrent: AtOnce = None,
    tokens_per_day: TokensDay = None,
    tokens_per_month: TokensMonth = None,
    krw_per_day: KrwDay = None,
    krw_per_month: KrwMonth = None,
    json: AsJson = False,
) -> None:
    """List the teams, or set what all keys of a team may use together (what is not given has no limit).

    \b
    inhouse keys team search --tokens-per-day 2000000
    """
    with _keys() as keys:
        if name is not None:
            limits = KeyLimits(requests_per_minute, tokens_per_minute, max_concurrent)
            budget = Budget(tokens_per_day, tokens_per_month, _money(krw_per_day), _money(krw_per_month))
            keys.set_team(Team(name, limits, budget))
        teams = keys.teams()
    if json:
        print_json(teams)
    else:
        print_table(["team", "limits"], [(one.name, _allowances(one.limits, one.budget)) for one in teams])


@contextmanager
def _keys() -> Iterator[KeyStore]:
    settings = get_settings()
    database = open_database(settings)
    try:
        log = open_audit_log(database, settings.data_dir, os.environ)
        assert log is not None
        yield AuditedKeys(database, log, local_actor())
    finally:
        database.close()


def _show_once(key: Key, text: str, json: bool) -> None:
    if json:
        print_json({**asdict(key), "key": text})
        return
    sys.stdout.write(text + "\n")
    note(f"The key of {key.name}. It is shown this once and cannot be read again; {key.prefix} stays its name.")


def _allowances(limits: KeyLimits, budget: Budget) -> str:
    given: dict[str, Any] = {**asdict(limits), **asdict(budget)}
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in given.items() if value is not None)


def _date(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M")


def _money(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text.replace(",", ""))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or not 0 < amount <= 10**12:
        raise UsageError(f"{text!r} is no amount of money", do="Write a number of won over 0")
    return amount


def _span(text: str) -> timedelta:
    unit = {"h": "hours", "d": "days", "m": "minutes"}.get(text[-1:])
    if unit is None or not text[:-1].isdecimal() or len(text) > 6:
        raise UsageError(f"{text!r} is no length of time", do="Write 12h or 90d")
    return timedelta(**{unit: int(text[:-1])})


def _time(text: str) -> datetime:
    if text[-1:] in ("h", "d", "m"):
        return datetime.now(UTC) + _span(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time", do="Write 2027-01-31 or 90d") from None
    return at if at.tzinfo is not None else at.astimezone()
