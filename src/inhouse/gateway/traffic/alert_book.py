"""The alerts in the store: each open once whoever sees it first, and what the webhook is still to be told of.

Blocks; safe for several threads and processes. Knows no rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Executable, Row, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from inhouse.store.database import Database
from inhouse.store.identity import new_run_id
from inhouse.store.web_tables import alerts

LEASE = timedelta(minutes=2)
"""How long who has taken an alert to tell of it has for that; then another may."""
FIRST_RETRY_S, LONGEST_RETRY_S = 10.0, 3600.0
MOST_ATTEMPTS = 30
"""A day, about: who does not listen by then is not told."""
KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rule reads of a subject: over at `threshold` and above, over again below nine tenths of it."""

    rule: str
    subject: str
    value: float
    threshold: float

    @property
    def raised(self) -> bool:
        """Whether it is reason for an alert."""
        return self.value >= self.threshold

    @property
    def calm(self) -> bool:
        """Whether an alert about it is over. Between the two nothing changes, or it would come and go."""
        return self.value < 0.9 * self.threshold


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert: `until` is None while it lasts; `value` is the highest that was read.

    `tell_at` is when the webhook is to be told, None where there is nothing to tell; `problem` why it could not be.
    """

    id: str
    rule: str
    subject: str
    since: datetime
    until: datetime | None
    value: float
    threshold: float
    tell_at: datetime | None
    attempts: int
    problem: str | None


class AlertBook:
    """The alerts of a store. With `telling`, each change is due to be told of."""

    def __init__(self, database: Database, *, telling: bool) -> None:
        self._database, self._telling = database, telling

    def settle(self, readings: Iterable[Reading], rules: Collection[str], now: datetime) -> None:
        """Opens what is raised, and ends what is calm or, of these rules, was not read at all any more."""
        read = {(one.rule, one.subject): one for one in readings}
        known = {(one.rule, one.subject): one for one in self.open()}
        changes = [
            *(self._opened(one, now) for key, one in read.items() if key not in known and one.raised),
            *(
                _changed(known[key], value=one.value)
                for key, one in read.items()
                if key in known and one.value > known[key].value
            ),
            *(
                _changed(alert, is_open=None, until=now, tell_at=now if self._telling else None, attempts=0)
                for key, alert in known.items()
                if (read[key].calm if key in read else alert.rule in rules)
            ),
        ]
        if changes:
            with self._database.write() as connection:
                for change in changes:
                    connection.execute(change)

    def open(self) -> list[Alert]:
        """Those that last, the oldest first."""
        return self._all(alerts.c.is_open == 1)

    def ended(self, since: datetime) -> list[Alert]:
        """Those that are over and were not yet then, the newest first."""
        return self._all(alerts.c.until >= since)[::-1]

    def take_due(self, now: datetime) -> list[Alert]:
        """Those that are to be told of now, taken for the LEASE: no other process gets them meanwhile."""
        taken = []
        for one in self._all(alerts.c.tell_at <= now):
            with self._database.write() as connection:
                mine = update(alerts).where(alerts.c.id == one.id, alerts.c.tell_at == one.tell_at)
                if connection.execute(mine.values(tell_at=now + LEASE)).rowcount:
                    taken.append(one)
        return taken

    def told(self, alert: Alert, taken_at: datetime) -> None:
        """The webhook knows. Where the alert has changed meanwhile, that is still to be told."""
        self._told(alert, taken_at, tell_at=None, problem=None)

    def not_told(self, alert: Alert, taken_at: datetime, problem: str, now: datetime) -> None:
        """The webhook could not be told: again later, each time after twice as long, until it is given up."""
        attempts = alert.attempts + 1
        wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(attempts - 1, 20))
        again = None if attempts >= MOST_ATTEMPTS else now + timedelta(seconds=wait_s)
        self._told(alert, taken_at, tell_at=again, problem=problem, attempts=attempts)

    def forget(self, now: datetime) -> None:
        """Removes what was over long ago."""
        with self._database.write() as connection:
            connection.execute(delete(alerts).where(alerts.c.until < now - KEPT))

    def _opened(self, one: Reading, now: datetime) -> Executable:
        """Unless another process was faster."""
        row = {
            "id": new_run_id(now), "rule": one.rule, "subject": one.subject, "is_open": 1, "since": now,
            "value": one.value, "threshold": one.threshold, "tell_at": now if self._telling else None, "attempts": 0,
        }  # fmt: skip
        if self._database.sqlite:
            return sqlite.insert(alerts).values(row).on_conflict_do_nothing()
        return postgresql.insert(alerts).values(row).on_conflict_do_nothing()

    def _told(self, alert: Alert, taken_at: datetime, **values: Any) -> None:
        with self._database.write() as connection:
            ours = update(alerts).where(alerts.c.id == alert.id, alerts.c.tell_at == taken_at + LEASE)
            connection.execute(ours.values(**values))

    def _all(self, which: Any) -> list[Alert]:
        with self._database.read() as connection:
            return [_alert(row) for row in connection.execute(select(alerts).where(which).order_by(alerts.c.since))]


def _changed(alert: Alert, **values: Any) -> Executable:
    """Of an alert that is still open."""
    return update(alerts).where(alerts.c.id == alert.id, alerts.c.is_open == 1).values(**values)


def _alert(row: Row[Any]) -> Alert:
    return Alert(**{name: getattr(row, name) for name in Alert.__dataclass_fields__})
