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


def upgrade(connection: Connection) -> None:
    """Upgrades to HEAD; the caller commits. StoreError where the schema is not one of this version's past."""
    config = alembic_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    tables = set(inspect(connection).get_table_names())
    current = None
    if "alembic_version" in tables:
        row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
        current = None if row is None else str(row[0])
    if current is not None and current not in known:
        raise StoreError(
            "The store was written by a newer version of inhouse",
            why=f"its schema is {current}, this version knows up to {HEAD}",
            do="Update inhouse, or name another store in INHOUSE_STORE_URL",
        )
    if current is None and "runs" in tables:
        raise StoreError(
            "The database is not a store of inhouse",
            why="it holds tables of the same names from another program",
            do="Name another database in INHOUSE_STORE_URL",
        )
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError("The store's schema cannot be updated", why=str(error)) from None
