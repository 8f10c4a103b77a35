"""What Alembic runs: applies the scripts on the connection, and in the transaction, of `upgrade`."""

from alembic import context

from inhouse.store import agent_tables as agent_tables  # their tables join the others' metadata
from inhouse.store import audit_tables as audit_tables
from inhouse.store import eval_tables as eval_tables
from inhouse.store import gateway_tables as gateway_tables
from inhouse.store import web_tables as web_tables
from inhouse.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
context.run_migrations()
