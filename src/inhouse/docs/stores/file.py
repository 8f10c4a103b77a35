"""The SQLite file of a collection: connections, transactions, and its tables when it is new. Asks nothing of it."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from inhouse.core.errors import StoreError
from inhouse.docs.stores.rows import TABLES, WINDOWS

SCHEMA = 2


class CollectionFile:
    """One collection's file. Each thread gets a connection of its own; writers wait for each other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._closed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.writing() as db:
            self._create(db)
        self.uuid = str(self.connection.execute("SELECT value FROM meta WHERE name = 'uuid'").fetchone()[0])

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if self._closed:
            raise StoreError("The collection was closed")
        if db is None:
            try:
                db = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
                db.execute("PRAGMA page_size = 8192")
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute("PRAGMA secure_delete = FAST")
                db.execute("PRAGMA mmap_size = 4000000000")
            except sqlite3.Error as error:
                raise _error(self.path, error) from None
            self._local.db = db
            self._all.append(db)
        return db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all or nothing, one writer at a time."""
        db = self.connection
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _error(self.path, error) from None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A view of one moment, whatever others write meanwhile."""
        db = self.connection
        if db.in_transaction:
            yield db
            return
        try:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _error(self.path, error) from None

    def _create(self, db: sqlite3.Connection) -> None:
        there = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
        if not there:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StoreError(f"{self.path} is the database of something else", do="Name another file")
            for statement in TABLES.split(";"):
                db.execute(statement)
            db.executemany(
                "INSERT INTO meta VALUES (?, ?)", [("schema", SCHEMA), ("uuid", uuid.uuid4().hex), ("version", 0)]
            )
        schema = db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()[0]
        if schema == 1:
            db.execute(WINDOWS)
            db.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (SCHEMA,))
        elif schema != SCHEMA:
            raise StoreError(
                f"{self.path} is of schema {schema}, this program knows {SCHEMA}", do="Upgrade inhouse to open it"
            )

    def close(self) -> None:
        """Closes every thread's connection."""
        self._closed = True
        for db in self._all:
            db.close()
        self._all.clear()


def held_bytes(path: Path) -> int:
    """Bytes of a collection's file as it is once it is closed: without the journal of changes, which comes and goes."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            (pages,), (size,) = (db.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "page_size"))
    except sqlite3.Error as error:
        raise _error(path, error) from None
    return int(pages * size)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _error(path: Path, error: sqlite3.Error) -> StoreError:
    if "not a database" in str(error) or "malformed" in str(error):
        return StoreError(f"{path} is no readable collection", why=str(error), do="Remove it and sync again")
    if "locked" in str(error):
        return StoreError(f"{path} is busy", why="another process has been writing for a minute", do="Try again later")
    return StoreError(f"{path} cannot be used", why=str(error), do="Check its folder's rights and space")
