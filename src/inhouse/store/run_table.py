"""The table of runs: finding one, and which process works on it (claiming, refusing, noticing that it is gone).

Knows no other table; each function is a step of the caller's transaction, whose connection it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from inhouse.core.errors import RunNotFound, StoreError, UsageError
from inhouse.core.records import Run, RunStatus
from inhouse.store.identity import Owner, this_process
from inhouse.store.rows import run_from_row
from inhouse.store.tables import runs

_RUNNING = runs.c.status == RunStatus.RUNNING.value
_LIST = "See `inhouse runs list`"
_GONE = "its process ended before the run did"


def owner_columns(owner: Owner | None) -> dict[str, Any]:
    """The columns that say who owns a run; a finished run has no owner."""
    if owner is None:
        return {"owner_host": None, "owner_pid": None, "owner_started": None}
    return {"owner_host": owner.host, "owner_pid": owner.pid, "owner_started": owner.started}


def not_found(run_id: str, kind: str | None = None) -> RunNotFound:
    """The error for an id that no run has."""
    if run_id == "last":
        return RunNotFound(f"There is no {kind or 'run'} yet", do="Make one: inhouse study, or inhouse bench run")
    return RunNotFound(f"No {kind or 'run'} goes by {run_id!r}", do=_LIST)


def exists(connection: Connection, run_id: str) -> bool:
    """Whether there is a run of just that id."""
    return connection.scalar(select(runs.c.id).where(runs.c.id == run_id)) is not None


def require(connection: Connection, run_id: str) -> None:
    """RunNotFound where there is no run of just that id."""
    if not exists(connection, run_id):
        raise not_found(run_id)


def find(connection: Connection, id_or_prefix: str, *, kind: str | None = None) -> Run:
    """The run by its id, the beginning of its id, or "last" for the newest (of `kind`, where given).

    RunNotFound where there is none, UsageError where a prefix fits several.
    """
    wanted = id_or_prefix.strip().lower()
    if not wanted:
        raise UsageError("An empty run id names no run", do=_LIST)
    query = select(runs).order_by(runs.c.id.desc())
    if kind is not None:
        query = query.where(runs.c.kind == kind)
    if wanted != "last":
        query = query.where(runs.c.id.startswith(wanted, autoescape=True))
    found = connection.execute(query.limit(1 if wanted == "last" else 5)).all()
    if not found:
        raise not_found(wanted, kind)
    if len(found) > 1:
        raise UsageError(
            f"{wanted!r} fits several runs", why=", ".join(row.id for row in found), do="Give more of the id"
        )
    return run_from_row(found[0]._mapping)


def claim(connection: Connection, run_id: str) -> Run:
    """Makes this process the owner of a run that is not done and that no live process owns."""
    row = connection.execute(select(runs).where(runs.c.id == run_id).with_for_update()).one_or_none()
    if row is None:
        raise not_found(run_id)
    run = run_from_row(row._mapping)
    if run.status is RunStatus.DONE:
        raise StoreError(f"Run {run_id} cannot go on", why="it is done", do="Start a new run")
    if run.status is RunStatus.RUNNING:
        _refuse_if_owned(row, "go on")
    run = replace(run, status=RunStatus.RUNNING, ended_at=None, error=None)
    connection.execute(
        update(runs)
        .where(runs.c.id == run_id)
        .values(status=run.status.value, ended_at=None, error=None, **owner_columns(this_process()))
    )
    return run


def left_behind(connection: Connection) -> list[Row[Any]]:
    """The running runs of this machine whose process is gone."""
    found = connection.execute(select(runs).where(_RUNNING)).all()
    return [row for row in found if (owner := _owner(row)).is_here and not owner.is_alive]


def interrupt(connection: Connection, left: Iterable[Row[Any]]) -> int:
    """Marks them as interrupted, but for those that another process has claimed since; how many it marked."""
    marked = 0
    for row in left:
        same_owner = (runs.c.owner_pid == row.owner_pid) & (runs.c.owner_started == row.owner_started)
        result = connection.execute(
            update(runs)
            .where(runs.c.id == row.id, _RUNNING, same_owner)
            .values(status=RunStatus.INTERRUPTED.value, error=_GONE, **owner_columns(None))
        )
        marked += result.rowcount
    return marked


def remove(connection: Connection, run_id: str, *, force: bool) -> None:
    """Removes a run, and with it (by the database) its records, for a study its runs; not while one is running."""
    part = (runs.c.id == run_id) | (runs.c.study_id == run_id)
    if not force:
        for row in connection.execute(select(runs).where(part, _RUNNING)).all():
            _refuse_if_owned(row, "be removed")
    if not connection.execute(delete(runs).where(runs.c.id == run_id)).rowcount:
        raise not_found(run_id)


def _owner(row: Row[Any]) -> Owner:
    return Owner(row.owner_host or "", row.owner_pid or 0, row.owner_started or "")


def _refuse_if_owned(row: Row[Any], action: str) -> None:
    """StoreError while the run's process lives, or where that cannot be known since it is on another machine."""
    owner = _owner(row)
    if not owner.is_here:
        raise StoreError(
            f"Run {row.id} cannot {action}",
            why=f"process {owner.pid} on {owner.host} works on it",
            do=f"Stop it there; if that machine is gone, run: inhouse runs rm --force {row.id}",
        )
    if owner.is_alive:
        raise StoreError(
            f"Run {row.id} cannot {action}", why=f"process {owner.pid} works on it", do="Wait for it, or stop it"
        )
