"""The schema's history, run by Alembic from inside the package; `HEAD` is the schema this version needs."""

HEAD = "0008"
