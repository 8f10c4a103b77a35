"""Brings a SQLite database's committed rows to the disk, and its log into the file, behind the writer's back.

A commit then costs no wait for the disk: what is lost by a power cut is what was committed in the last INTERVAL_S.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from inhouse.store.database import Database

INTERVAL_S = 0.1
_CHECKPOINT_EVERY = 20  # intervals
_LONGEST_LOG_BYTES = 64 * 1024 * 1024


class WalSync:
    """Runs in a thread of its own until `close`; does nothing for PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger disk sync", daemon=True)
        path = database.path
        self._log = None if path is None else Path(f"{path}-wal")
        if self._log is not None:
            self._thread.start()

    def written(self) -> None:
        """Something was committed."""
        self._dirty.set()

    def close(self) -> None:
        """Syncs a last time and ends the thread."""
        self._closing.set()
        self._dirty.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        since_checkpoint = 0
        while True:
            self._dirty.wait()
            self._dirty.clear()
            with suppress(OSError):  # the log can be gone only after its rows went into the file
                self._sync()
            since_checkpoint += 1
            if since_checkpoint >= _CHECKPOINT_EVERY:
                since_checkpoint = 0
                self._checkpoint()
            if self._closing.wait(INTERVAL_S):
                return

    def _sync(self) -> None:
        assert self._log is not None
        descriptor = os.open(self._log, os.O_RDWR)
        try:
            os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _checkpoint(self) -> None:
        """Copies the log's rows into the file. Only a log that grew too long makes the writer wait meanwhile."""
        assert self._log is not None
        mode = "PASSIVE"
        with suppress(OSError):
            if self._log.stat().st_size > _LONGEST_LOG_BYTES:
                mode = "TRUNCATE"
        with suppress(Exception):  # a busy database is checkpointed another time
            connection = self._database.driver_connection()
            try:
                connection.execute(f"PRAGMA wal_checkpoint({mode})")
            finally:
                connection.close()
