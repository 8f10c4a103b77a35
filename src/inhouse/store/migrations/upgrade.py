"""Brings a database to HEAD with Alembic, inside the caller's transaction; knows no tables itself."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from inhouse.core.errors import StoreError
from inhouse.store.migrations import HEAD


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration, without a file: the scripts are here, the connection is the caller's."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, current: str | None) -> None:
    """Upgrades from the schema `current` (None: no schema yet) to HEAD; the caller commits.

    StoreError where that schema is of a newer version, or the database is another program's.
    """
    config = alembic_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            "The store was written by a newer version of inhouse",
            why=f"its schema is {current}, this version knows up to {HEAD}",
            do="Update inhouse, or name another store in INHOUSE_STORE_URL",
        )
    if current is None and inspect(connection).has_table("runs"):
        raise StoreError(
            "The database is not a store of inhouse",
            why="it holds tables of the same names from another program",
            do="Name another database in INHOUSE_STORE_URL",
        )
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError("The store's schema cannot be updated", why=str(error)) from None
