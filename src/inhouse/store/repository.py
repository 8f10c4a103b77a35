"""The store: keeps runs, their samples, metrics, series and findings, and knows which process owns a run.

Knows nothing of how anything is measured. Safe for several threads and for several processes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, delete, func, insert, select, update

from inhouse.core.environment import Environment
from inhouse.core.errors import StoreError
from inhouse.core.records import Finding, Metric, Run, RunStatus, Sample, Series
from inhouse.store import eval_rows, rows, run_table, tables
from inhouse.store.database import Database
from inhouse.store.identity import new_run_id, this_process
from inhouse.store.rows import KeptRun
from inhouse.store.run_table import not_found, owner_columns


@dataclass(frozen=True, slots=True)
class SampleCount:
    """How many samples of a run's stage ended in one way: without an error, or with one of a kind."""

    stage: str | None
    error_kind: str | None
    count: int


class Store:
    """All kept records. A context manager; every method raises StoreError (or a subclass) where it cannot.

    Opening migrates the database to this version's schema, refuses a newer one, and marks as interrupted
    the runs of this machine whose process is gone. `clock` gives the wall-clock time (UTC).
    """

    def __init__(self, url: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._database = Database(url)
        try:
            self.mark_interrupted()
        except BaseException:
            self.close()
            raise

    @classmethod
    def over(cls, database: Database, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Store:
        """The records in a database that somebody else has opened and closes; looks after no runs left behind."""
        store = cls.__new__(cls)
        store._clock, store._database = clock, database
        return store

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the database's connections. Idempotent."""
        self._database.close()

    @property
    def database(self) -> Database:
        """The database itself, for parts that keep tables of their own."""
        return self._database

    # --- runs -------------------------------------------------------------------------------------------

    def create_run(
        self,
        kind: str,
        config: Mapping[str, Any],
        *,
        seed: int,
        environment: Environment,
        model: str | None = None,
        engine: str | None = None,
        study_id: str | None = None,
    ) -> Run:
        """Begins a run: RUNNING, owned by this process until it is finished."""
        now = self._clock()
        with self._database.write() as connection:
            if study_id is not None:
                run_table.require(connection, study_id)
            newest = connection.scalar(select(func.max(tables.runs.c.id)))
            run = Run(
                id=new_run_id(now, after=newest),
                kind=kind,
                config=dict(config),
                seed=seed,
                environment=environment,
                status=RunStatus.RUNNING,
                created_at=now,
                model=model,
                engine=engine,
                study_id=study_id,
            )
            connection.execute(
                insert(tables.runs).values(**rows.run_to_row(run), **owner_columns(this_process()), progress={})
            )
        return run

    def claim_run(self, run_id: str) -> Run:
        """Takes over an interrupted or failed run, to go on with it as RUNNING.

        StoreError where it is done, or where another process still works on it.
        """
        with self._database.write() as connection:
            return run_table.claim(connection, run_id)

    def finish_run(self, run_id: str, status: RunStatus, error: str | None = None) -> Run:
        """Ends a run now, as done, interrupted or failed (`error` says why)."""
        self._update_run(run_id, status=status.value, error=error, ended_at=self._clock(), **owner_columns(None))
        return self.get_run(run_id)

    def set_environment(self, run_id: str, environment: Environment) -> None:
        """Replaces the run's environment, once what had to be measured or loaded is known."""
        self._update_run(run_id, environment=environment.to_dict())

    def set_progress(self, run_id: str, progress: Mapping[str, Any]) -> None:
        """Replaces what a resume needs to know, such as the stages that are done."""
        self._update_run(run_id, progress=dict(progress))

    def progress(self, run_id: str) -> dict[str, Any]:
        """What `set_progress` last kept; empty where nothing was."""
        with self._database.read() as connection:
            progress = connection.scalar(select(tables.runs.c.progress).where(tables.runs.c.id == run_id))
        if progress is None:
            raise not_found(run_id)
        return dict(progress)

    def mark_interrupted(self) -> int:
        """Marks as interrupted the running runs of this machine whose process is gone; how many there were."""
        with self._database.read() as connection:
            left = run_table.left_behind(connection)
        if not left:
            return 0
        with self._database.write() as connection:
            return run_table.interrupt(connection, left)

    def get_run(self, id_or_prefix: str, *, kind: str | None = None) -> Run:
        """The run by its id, the beginning of its id, or "last" for the newest (of `kind`, where given).

        RunNotFound where there is none, UsageError where a prefix fits several.
        """
        with self._database.read() as connection:
            return run_table.find(connection, id_or_prefix, kind=kind)

    def list_runs(
        self,
        *,
        kind: str | None = None,
        model: str | None = None,
        engine: str | None = None,
        study_id: str | None = None,
        status: RunStatus | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> list[Run]:
        """The runs that fit every filter given, newest first; `before`: only those older than the run of that id."""
        filters = {"kind": kind, "model": model, "engine": engine, "study_id": study_id, "status": status}
        query = select(tables.runs).order_by(tables.runs.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(tables.runs.c.id < before)
        for column, value in filters.items():
            if value is not None:
                query = query.where(tables.runs.c[column] == value)
        with self._database.read() as connection:
            return [rows.run_from_row(row._mapping) for row in connection.execute(query)]

    def kinds_and_models(self) -> tuple[list[str], list[str]]:
        """Of which kinds and of which models there are runs, in alphabetical order."""
        columns = (tables.runs.c.kind, tables.runs.c.model)
        with self._database.read() as connection:
            kinds, models = ([row[0] for row in connection.execute(select(one).distinct())] for one in columns)
        return sorted(kinds), sorted(model for model in models if model)

    def delete_run(self, run_id: str, *, force: bool = False) -> None:
        """Removes a run and all that is kept under it; for a study its runs and findings too.

        StoreError while one of them is running, unless `force` (for a run of a machine that is gone).
        """
        with self._database.write() as connection:
            run_table.remove(connection, run_id, force=force)

    # --- what is kept under a run -----------------------------------------------------------------------

    def add_samples(self, run_id: str, samples: Iterable[Sample]) -> None:
        """Keeps the samples, all or none."""
        self._add(tables.samples, run_id, map(rows.sample_to_row, samples))

    def samples(
        self, run_id: str, *, stage: str | None = None, skip: int = 0, limit: int | None = None
    ) -> list[Sample]:
        """The run's samples in the order they were kept; of one stage, where given; `limit` of them after `skip`."""
        query = _of_run(tables.samples, run_id).limit(limit).offset(skip)
        if stage is not None:
            query = query.where(tables.samples.c.stage == stage)
        return [rows.sample_from_row(row) for row in self._fetch(query)]

    def sample_counts(self, run_id: str) -> list[SampleCount]:
        """How many samples there are of each stage and outcome, without reading them."""
        table = tables.samples.c
        query = (
            select(table.stage, table.error_kind, func.count().label("count"))
            .where(table.run_id == run_id)
            .group_by(table.stage, table.error_kind)
            .order_by(func.min(table.id))
        )
        return [SampleCount(**row) for row in self._fetch(query)]

    def delete_samples(self, run_id: str, *, stage: str) -> int:
        """Removes a stage's samples, so that it can be measured again; how many there were."""
        with self._database.write() as connection:
            table = tables.samples
            return connection.execute(delete(table).where(table.c.run_id == run_id, table.c.stage == stage)).rowcount

    def set_metrics(self, run_id: str, metrics: Iterable[Metric]) -> None:
        """Replaces the run's metrics."""
        self._add(tables.metrics, run_id, map(rows.metric_to_row, metrics), replacing=True)

    def add_metrics(self, run_id: str, metrics: Iterable[Metric]) -> None:
        """Adds to the run's metrics."""
        self._add(tables.metrics, run_id, map(rows.metric_to_row, metrics))

    def metrics(self, run_id: str) -> list[Metric]:
        """The run's metrics in the order they were kept."""
        return [rows.metric_from_row(row) for row in self._fetch(_of_run(tables.metrics, run_id))]

    def add_series(self, run_id: str, series: Iterable[Series]) -> None:
        """Keeps quantities over time."""
        self._add(tables.series, run_id, map(rows.series_to_row, series))

    def series(self, run_id: str) -> list[Series]:
        """The run's series in the order they were kept."""
        return [rows.series_from_row(row) for row in self._fetch(_of_run(tables.series, run_id))]

    def set_findings(self, study_id: str, phase: int, findings: Sequence[Finding]) -> None:
        """Replaces what was found in a phase of the study."""
        with self._database.write() as connection:
            run_table.require(connection, study_id)
            table = tables.findings
            connection.execute(delete(table).where(table.c.study_id == study_id, table.c.phase == phase))
            _insert(connection, table, {"study_id": study_id}, map(rows.finding_to_row, findings))

    def findings(self, study_id: str) -> list[Finding]:
        """The study's findings by phase, in the order they were kept."""
        table = tables.findings
        query = select(table).where(table.c.study_id == study_id).order_by(table.c.phase, table.c.id)
        return [rows.finding_from_row(row) for row in self._fetch(query)]

    # --- a run as a whole -------------------------------------------------------------------------------

    def kept_run(self, run_id: str) -> KeptRun:
        """The run with everything that is kept under its id."""
        return KeptRun(
            run=self.get_run(run_id),
            progress=self.progress(run_id),
            samples=self.samples(run_id),
            metrics=self.metrics(run_id),
            series=self.series(run_id),
            findings=self.findings(run_id),
            answers=self._answers(run_id),
        )

    def restore_runs(self, kept: Iterable[KeptRun]) -> None:
        """Keeps runs that were exported, under their own ids; all or none. A study goes before its parts.

        StoreError where a run of such an id is kept already. One that was running comes back as interrupted.
        """
        with self._database.write() as connection:
            for part in kept:
                if run_table.exists(connection, part.run.id):
                    raise StoreError(f"Run {part.run.id} is kept already", do=f"See `inhouse runs show {part.run.id}`")
                row = rows.run_to_row(part.run) | {"progress": dict(part.progress)}
                if part.run.status is RunStatus.RUNNING:
                    row["status"] = RunStatus.INTERRUPTED.value
                if part.run.study_id is not None and not run_table.exists(connection, part.run.study_id):
                    row["study_id"] = None  # a part exported without its study
                connection.execute(insert(tables.runs).values(row))
                under = {"run_id": part.run.id}
                _insert(connection, tables.samples, under, map(rows.sample_to_row, part.samples))
                _insert(connection, tables.metrics, under, map(rows.metric_to_row, part.metrics))
                _insert(connection, tables.series, under, map(rows.series_to_row, part.series))
                _insert(connection, tables.findings, {"study_id": part.run.id}, map(rows.finding_to_row, part.findings))
                eval_rows.restore_answers(connection, part.run.id, part.answers)

    # --- how --------------------------------------------------------------------------------------------

    def _update_run(self, run_id: str, **values: Any) -> None:
        with self._database.write() as connection:
            if not connection.execute(update(tables.runs).where(tables.runs.c.id == run_id).values(values)).rowcount:
                raise not_found(run_id)

    def _add(self, table: Table, run_id: str, records: Iterable[Mapping[str, Any]], *, replacing: bool = False) -> None:
        records = list(records)  # built before the write lock is taken
        with self._database.write() as connection:
            run_table.require(connection, run_id)
            if replacing:
                connection.execute(delete(table).where(table.c.run_id == run_id))
            _insert(connection, table, {"run_id": run_id}, records)

    def _answers(self, run_id: str) -> list[eval_rows.KeptAnswer]:
        with self._database.read() as connection:
            return eval_rows.kept_answers(connection, run_id)

    def _fetch(self, query: Select[Any]) -> Sequence[RowMapping]:
        with self._database.read() as connection:
            return connection.execute(query).mappings().all()


def _of_run(table: Table, run_id: str) -> Select[Any]:
    return select(table).where(table.c.run_id == run_id).order_by(table.c.id)


def _insert(
    connection: Connection, table: Table, under: Mapping[str, str], records: Iterable[Mapping[str, Any]]
) -> None:
    filled = [{**record, **under} for record in records]
    if filled:
        connection.execute(insert(table), filled)
