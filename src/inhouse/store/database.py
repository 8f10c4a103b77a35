"""Opens the database behind the store: its URL, its connections, its schema, its errors as StoreError.

Knows nothing of runs. Alembic is imported only when the schema has to change, so that opening stays fast.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from inhouse.core.errors import MissingExtra, StoreError, UsageError
from inhouse.store.migrations import HEAD

_BUSY_S = 30.0  # how long a writer waits for another one; a write here takes milliseconds
_CONNECT_S = 10
_MIGRATION_LOCK = 0x696E68  # any number that only this program uses as a PostgreSQL advisory lock


class Database:
    """A connected database at the head schema. `read` and `write` are transactions; close it when done."""

    def __init__(self, url: str) -> None:
        self._url = _parse(url)
        self._engine = _create_engine(self._url)
        try:
            with self._errors():
                self._migrate()
        except BaseException:
            self._engine.dispose()
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; nothing may be written in it."""
        with self._errors(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """All or nothing; waits for another process's write to end."""
        with self._errors(), self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    @property
    def sqlite(self) -> bool:
        """Whether it is SQLite; else it is PostgreSQL."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database that is not in memory."""
        return Path(self._url.database) if self.sqlite and self._url.database not in (None, "", ":memory:") else None

    def driver_connection(self) -> Any:
        """A connection of the driver's own (no transaction begun), for one thread's hot path; the caller closes it."""
        with self._errors():
            pooled = self._engine.raw_connection()
            connection = pooled.driver_connection
            pooled.detach()
        return connection

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self._engine.connect() as connection, connection.begin():
            if _schema_version(connection) == HEAD:
                return
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            # Whoever else opened the database in the meantime is now done or waiting.
            if (current := _schema_version(connection)) != HEAD:
                from inhouse.store.migrations.upgrade import upgrade

                upgrade(connection, current)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise _store_error(error, self._url) from None
        except OverflowError as error:  # an integer beyond 64 bits, from SQLite's driver
            raise StoreError("The record cannot be kept", why=str(error)) from None


def _parse(text: str) -> URL:
    """The URL with its driver. Messages never repeat it, since it may hold a password."""
    forms = "Write sqlite:////absolute/path.db or postgresql://user@host/database in INHOUSE_STORE_URL"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UsageError("The store's URL cannot be read", do=forms) from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        path = url.database or ""
        return url.set(database=str(Path(path).expanduser())) if path.startswith("~") else url
    raise UsageError(f"The store cannot be kept in {url.drivername!r}", do=forms)


def _create_engine(url: URL) -> Engine:
    options: dict[str, Any] = {"json_serializer": _to_json, "json_deserializer": orjson.loads}
    if url.get_backend_name() == "postgresql":
        try:
            return create_engine(
                url,
                pool_pre_ping=True,  # the server may have been restarted since the last use
                connect_args={"connect_timeout": _CONNECT_S, "application_name": "inhouse"},
                **options,
            )
        except ImportError:
            raise MissingExtra(
                "PostgreSQL needs a driver that is not installed", do="Run: pip install 'inhouse[postgres]'"
            ) from None
    if url.database in (None, "", ":memory:"):
        # One connection that the threads take in turn: each other one would be an empty database.
        options |= {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}
    else:
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_writable(url.database, error.strerror or str(error)) from None
    engine = create_engine(url, connect_args={"timeout": _BUSY_S, "check_same_thread": False}, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own guessing at where transactions begin is off: _begin_sqlite says it.
    connection.isolation_level = None
    _use_wal(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    # What was measured for minutes must survive a power cut, and there are few commits: sync each one.
    connection.execute("PRAGMA synchronous = FULL")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switches the file to WAL once; the switch itself does not wait for other processes, so this does."""
    deadline = time.monotonic() + _BUSY_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that will write takes the write lock at once: taking it later fails, without waiting,
    # where another process has written in between.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _schema_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return None if row is None else str(row[0])


def _to_json(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Lone surrogates and integers over 64 bits, which the fast writer refuses.
        return json.dumps(value, default=_plain, ensure_ascii=False).encode("utf-8", "replace").decode()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _store_error(error: SQLAlchemyError, url: URL) -> StoreError:
    """The driver's error for a person; without the statement and its values, without the password."""
    cause = getattr(error, "orig", None) if isinstance(error, DBAPIError) else None
    why = " ".join(str(cause or error).split())[:300]
    if url.get_backend_name() == "postgresql":
        return _postgres_error(error, why, url)
    path = url.database or "in memory"
    if any(sign in why for sign in ("not a database", "malformed", "corrupt")):
        return StoreError(
            f"The store {path} is damaged", why=why, do="Restore a copy of it, or move it away to start anew"
        )
    if any(sign in why for sign in ("readonly", "unable to open", "permission")):
        return _not_writable(path, why)
    if "locked" in why or "busy" in why:
        return StoreError(
            f"The store {path} is busy", why=f"another process held it for {_BUSY_S:.0f} s", do="Try again"
        )
    if "disk is full" in why:
        return StoreError(f"The store {path} cannot grow", why="the disk is full", do="Free some space, then go on")
    return StoreError(f"The store {path} failed", why=why)


def _postgres_error(error: SQLAlchemyError, why: str, url: URL) -> StoreError:
    for secret in (url.password, url.query.get("password")):
        if isinstance(secret, str) and secret:
            why = why.replace(secret, "***")
    where = f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"
    unreachable = isinstance(error, (OperationalError, InterfaceError))
    return StoreError(
        f"The store at {where} cannot be used" if unreachable else f"The store at {where} failed",
        why=why,
        do="Check that the server runs and what INHOUSE_STORE_URL says" if unreachable else "",
    )


def _not_writable(path: str, why: str) -> StoreError:
    return StoreError(
        f"The store {path} cannot be written",
        why=why,
        do="Name a folder that you may write to in INHOUSE_DATA_DIR, or a database in INHOUSE_STORE_URL",
    )
