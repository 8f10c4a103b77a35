"""`inhouse bodies`: shows, exports and removes the prompts and answers that the gateway was told to keep."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TextIO

import orjson
import typer

from inhouse.cli.output import note, print_json
from inhouse.core.errors import StoreError, UsageError
from inhouse.core.settings import get_settings
from inhouse.gateway.audit import AuditEvent, local_actor, open_audit_log
from inhouse.gateway.bodies import Body, BodyStore
from inhouse.gateway.key_files import load_key
from inhouse.store.database import Database

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="""Show, export and remove kept prompts and answers.

    Nothing is kept unless the gateway's settings say so. Each of these commands is recorded in the audit log.
    """,
)

ByKey = Annotated[str | None, typer.Option("--key", help="Only those of this key's id.")]
ByPerson = Annotated[str | None, typer.Option("--person", help="Only those of this person (the request's user field).")]


@app.command()
def status(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say how many are kept, from when to when."""
    with _bodies() as (bodies, _):
        kept = bodies.count()
    if json:
        print_json(kept)
    else:
        note(f"{kept.count} kept" + (f", from {kept.oldest} to {kept.newest}" if kept.count else ""))


@app.command()
def show(request: Annotated[str, typer.Argument(help="The request's id.")]) -> None:
    """Print one request and its answer as JSON."""
    with _bodies() as (bodies, record):
        body = bodies.get(request)
        record("bodies.show", request)
    print_json(body)


@app.command()
def export(
    key: ByKey = None,
    person: ByPerson = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; else stdout.")] = None,
) -> None:
    """Write what is kept, one request a line of JSON.

    \b
    inhouse bodies export --person kim@corp.example -o kim.jsonl
    """
    with _bodies() as (bodies, record):
        found = bodies.export(key_id=key, person=person)
        if output is None:
            count = _write(found, sys.stdout)
        else:
            try:
                # For its owner alone: it holds what the store keeps sealed.
                with os.fdopen(
                    os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
                ) as file:
                    count = _write(found, file)
            except OSError as error:
                raise UsageError(f"{output} cannot be written", why=error.strerror or str(error)) from None
        record("bodies.export", key or "", count=count, by_person=person is not None)
    note(f"Exported {count}")


@app.command()
def delete(
    request: Annotated[str | None, typer.Argument(help="A request's id.")] = None,
    key: ByKey = None,
    person: ByPerson = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove the bodies of a request, a key or a person, for good.

    \b
    inhouse bodies delete --person kim@corp.example
    """
    if not (request or key or person):
        raise UsageError("Say which bodies are to be removed", do="Name a request, --key or --person")
    if not yes and not (sys.stdin.isatty() and typer.confirm("Remove them for good?", err=True)):
        raise UsageError("Nothing was removed", do="Add --yes")
    with _bodies() as (bodies, record):
        count = bodies.delete(body_id=request, key_id=key, person=person)
        record("bodies.delete", request or key or "", count=count, by_person=person is not None)
    note(f"Removed {count}")


@app.command()
def purge() -> None:
    """Remove those whose time is over (the gateway does so by itself while it runs)."""
    with _bodies() as (bodies, record):
        count = bodies.purge()
        record("bodies.purge", "", count=count)
    note(f"Removed {count}")


def _write(found: Iterator[Body], file: TextIO) -> int:
    count = 0
    for body in found:
        file.write(orjson.dumps(body).decode() + "\n")
        count += 1
    return count


class _Record:
    """Records what is done here in the audit log, by the user of this machine."""

    def __init__(self, database: Database) -> None:
        settings = get_settings()
        self._log = open_audit_log(database, settings.data_dir, os.environ)

    def __call__(self, action: str, subject: str, **details: object) -> None:
        if self._log is not None:
            self._log.append([AuditEvent(local_actor(), action, subject, details)])


@contextmanager
def _bodies() -> Iterator[tuple[BodyStore, _Record]]:
    settings = get_settings()
    database = Database(settings.database_url)
    try:
        key = load_key(settings.data_dir, "bodies", os.environ, make=False)
        if key is None:
            raise StoreError(
                "No bodies are kept here",
                why=f"neither INHOUSE_BODIES_KEY nor {settings.data_dir / 'bodies.key'} is there",
                do="The gateway makes the key when it is told to keep bodies",
            )
        # How long new ones are kept does not matter here: none is made.
        yield BodyStore(database, key, timedelta(days=1)), _Record(database)
    finally:
        database.close()
