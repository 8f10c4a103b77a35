"""The traffic's history in the store: written at several grains, read at the one that fits a range, forgotten in time.

Knows sums by subject and step; nothing of requests or pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from inhouse.gateway.traffic.meter import STEPS_S, Bin
from inhouse.gateway.traffic.sums import Sums, total
from inhouse.store.database import Database
from inhouse.store.web_tables import traffic

_DAY_S = 86400
KEPT_S = {10: 7200, 60: 2 * _DAY_S, 600: 8 * _DAY_S, 3600: 62 * _DAY_S, _DAY_S: 10 * 365 * _DAY_S}
"""How long the steps of each grain are kept, in seconds."""

_BATCH = 200  # steps written in one transaction: others write too, and wait meanwhile


@dataclass(frozen=True, slots=True)
class Range:
    """A range of time that can be looked at: its length and the grain that it is shown at, in seconds."""

    name: str
    length_s: int
    step_s: int


RANGES = (
    Range("1h", 3600, 10),
    Range("6h", 6 * 3600, 60),
    Range("24h", _DAY_S, 600),
    Range("7d", 7 * _DAY_S, 3600),
    Range("30d", 30 * _DAY_S, 3600),
    Range("1y", 365 * _DAY_S, _DAY_S),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One step: when it began, for how long it has gone on by now, and what came in it."""

    at: int
    seconds: float
    sums: Sums


class History:
    """The history in a store, as `writer` writes it and everyone reads it. Blocks; safe for several threads."""

    def __init__(self, database: Database, writer: str) -> None:
        self._database, self._writer = database, writer

    def write(self, bins: Sequence[Bin]) -> None:
        """Keeps what this process counted; what it wrote of the same steps before is replaced."""
        insert = (sqlite if self._database.sqlite else postgresql).insert(traffic)
        upsert = insert.on_conflict_do_update(
            index_elements=[column.name for column in traffic.primary_key], set_={"sums": insert.excluded.sums}
        )
        for first in range(0, len(bins), _BATCH):
            some = [{**one._asdict(), "writer": self._writer} for one in bins[first : first + _BATCH]]
            with self._database.write() as connection:
                connection.execute(upsert, some)

    def points(self, subject: str, shown: Range, now: float) -> list[Point]:
        """The subject's steps in the range up to now, oldest first; those in which nothing came are left out.

        The step that has just begun is left out too: what came in it would look like less than it is.
        """
        step = shown.step_s
        query = (
            select(traffic.c.at, traffic.c.sums)
            .where(traffic.c.step_s == step, traffic.c.subject == subject, traffic.c.at > now - shown.length_s - step)
            .order_by(traffic.c.at)
        )
        with self._database.read() as connection:
            rows = [(int(row.at), row.sums) for row in connection.execute(query)]
        found = []
        for at, same in groupby(rows, key=lambda row: row[0]):
            seconds = min(float(step), now - at)
            if seconds == step or seconds >= max(step / 4, 120):
                found.append(Point(at, seconds, total(sums for _, sums in same)))
        return found

    def since(self, subject: str, seconds: float, now: float) -> Sums:
        """What came of the subject in the last seconds (at most two hours), to within ten."""
        table = traffic.c
        query = select(table.sums).where(
            table.step_s == STEPS_S[0], table.subject == subject, table.at >= now - seconds - STEPS_S[0]
        )
        with self._database.read() as connection:
            return total(connection.execute(query).scalars())

    def subjects(self, kind: str, shown: Range, now: float) -> list[str]:
        """The names of a kind (model, team, key, host) of which there is anything in the range."""
        table = traffic.c
        query = (
            select(table.subject)
            .where(table.step_s == shown.step_s, table.at > now - shown.length_s - shown.step_s)
            .where(table.subject.startswith(f"{kind}:", autoescape=True))
            .distinct()
        )
        with self._database.read() as connection:
            return sorted(str(one).removeprefix(f"{kind}:") for one in connection.execute(query).scalars())

    def forget(self, now: float) -> int:
        """Removes the steps that are over their time; how many those were."""
        removed = 0
        for step, kept_s in KEPT_S.items():
            with self._database.write() as connection:
                gone = delete(traffic).where(traffic.c.step_s == step, traffic.c.at < now - kept_s)
                removed += connection.execute(gone).rowcount
        return removed


def range_named(name: str) -> Range:
    """The range of that name; the shortest where there is none."""
    return next((one for one in RANGES if one.name == name), RANGES[0])
