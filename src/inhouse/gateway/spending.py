"""What each key and team has used today and this month, by the ledger; refuses who is over the budget.

A budget is checked before a request begins, so that requests under way can take it a little over.
"""

from __future__ import annotations

import asyncio
import calendar
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import func, select

from inhouse.core.errors import BudgetExceeded, StoreError
from inhouse.gateway.identity import Budget, Caller
from inhouse.gateway.ledger import UsageRow, utc_day
from inhouse.store.database import Database
from inhouse.store.gateway_tables import usage_days

REFRESH_S = 1.0
_MICRO = 1_000_000


@dataclass(slots=True)
class Spent:
    """Used so far: tokens, and money in millionths of a won."""

    day_tokens: int = 0
    month_tokens: int = 0
    day_micro_krw: int = 0
    month_micro_krw: int = 0


class Spending:
    """Sums by key and by team; read from the ledger each second, and kept up between by this process's own rows."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._keys: dict[str, Spent] = {}
        self._teams: dict[str, Spent] = {}
        self._day = ""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reads the sums and goes on following the ledger, which other processes write too."""
        await asyncio.to_thread(self.refresh)
        self._task = asyncio.create_task(self._follow(), name="follow spending")

    async def close(self) -> None:
        """Stops following."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def check(self, caller: Caller) -> None:
        """BudgetExceeded where the caller, or its team, has used up a budget."""
        if caller.budget:
            self._check(caller.budget, self._keys.get(caller.key_id), "key")
        if caller.team_budget and caller.team is not None:
            self._check(caller.team_budget, self._teams.get(caller.team), "team")

    def spent(self, caller: Caller) -> Spent:
        """What the caller's key has used."""
        return self._keys.get(caller.key_id) or Spent()

    @property
    def by_key(self) -> Mapping[str, Spent]:
        """What each key has used, by its id; those that have used nothing this month are left out."""
        return self._keys

    @property
    def by_team(self) -> Mapping[str, Spent]:
        """What each team has used."""
        return self._teams

    def add(self, row: UsageRow) -> None:
        """Counts a row that was recorded here."""
        if row.day != self._day:
            return  # the next refresh begins the new day
        tokens = row.prompt_tokens + row.completion_tokens
        for table, name in ((self._keys, row.key_id), (self._teams, row.team)):
            if name is None:
                continue
            spent = table.get(name)
            if spent is None:
                spent = table[name] = Spent()
            spent.day_tokens += tokens
            spent.month_tokens += tokens
            spent.day_micro_krw += row.micro_krw
            spent.month_micro_krw += row.micro_krw

    def refresh(self) -> None:
        """Reads the sums anew. Blocks."""
        day = utc_day(self._clock())
        table = usage_days.c
        query = (
            select(
                table.key_id,
                table.team,
                table.day == day,
                func.sum(table.prompt_tokens + table.completion_tokens),
                func.sum(table.micro_krw),
            )
            .where(table.day >= day[:8] + "01", table.day <= day)
            .group_by(table.key_id, table.team, table.day == day)
        )
        keys: dict[str, Spent] = {}
        teams: dict[str, Spent] = {}
        with self._database.read() as connection:
            for key_id, team, today, tokens, micro_krw in connection.execute(query):
                _count(keys.setdefault(key_id, Spent()), bool(today), int(tokens), int(micro_krw))
                if team:
                    _count(teams.setdefault(team, Spent()), bool(today), int(tokens), int(micro_krw))
        self._keys, self._teams, self._day = keys, teams, day

    def _check(self, budget: Budget, spent: Spent | None, whose: str) -> None:
        if spent is None:
            spent = Spent()
        now = self._clock()
        for limit, used, unit, over_s in (
            (budget.tokens_per_day, spent.day_tokens, "tokens a day", _until_tomorrow),
            (budget.tokens_per_month, spent.month_tokens, "tokens a month", _until_next_month),
            (_micro(budget.krw_per_day), spent.day_micro_krw, "won a day", _until_tomorrow),
            (_micro(budget.krw_per_month), spent.month_micro_krw, "won a month", _until_next_month),
        ):
            if limit is not None and used >= limit:
                shown = limit // _MICRO if "won" in unit else limit
                raise BudgetExceeded(
                    f"The {whose}'s budget is used up",
                    why=f"it is {shown:,} {unit} (UTC)",
                    do="Wait for the next one, or ask an admin for more",
                    retry_after_s=over_s(now),
                )

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            with suppress(StoreError):  # the sums go on from this process's own rows until the store is back
                await asyncio.to_thread(self.refresh)


def _count(spent: Spent, today: bool, tokens: int, micro_krw: int) -> None:
    spent.month_tokens += tokens
    spent.month_micro_krw += micro_krw
    if today:
        spent.day_tokens += tokens
        spent.day_micro_krw += micro_krw


def _micro(krw: object) -> int | None:
    return None if krw is None else int(krw * _MICRO)  # type: ignore[operator]


def _until_tomorrow(now: float) -> float:
    return 86400 - now % 86400


def _until_next_month(now: float) -> float:
    date = time.gmtime(now)
    days = calendar.monthrange(date.tm_year, date.tm_mon)[1] - date.tm_mday
    return days * 86400 + _until_tomorrow(now)
