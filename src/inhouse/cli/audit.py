"""`inhouse audit`: lists, verifies and exports the gateway's audit log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.output import note, print_json, print_table
from inhouse.cli.run_view import local_time
from inhouse.core.errors import StoreError, UsageError
from inhouse.core.settings import get_settings
from inhouse.gateway.audit import AuditCheck, AuditLog, open_audit_log, verify_export
from inhouse.store.database import Database

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="List, verify and export the gateway's audit log: what admins did and what the guard decided.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_events(
    action: Annotated[str | None, typer.Option(help="Only events of this action: key.create, guard.block, …")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    json: AsJson = False,
) -> None:
    """List the newest events.

    \b
    inhouse audit list --action guard.block
    """
    with _log() as log:
        entries = list(log.entries(action=action, newest=limit))
    if json:
        print_json(entries)
    elif not entries:
        note("Nothing is recorded" + (f" of the action {action}" if action else " yet"))
    else:
        print_table(
            ["number", "when", "who", "what", "to what", "details"],
            [
                (
                    entry.seq,
                    local_time(entry.at),
                    entry.actor,
                    entry.action,
                    entry.subject,
                    " ".join(f"{key}={value}" for key, value in entry.details.items()),
                )
                for entry in entries
            ],
        )


@app.command()
def verify(
    file: Annotated[Path | None, typer.Argument(help="An exported log; without it, the log in the store.")] = None,
    json: AsJson = False,
) -> None:
    """Find any change, deletion, insertion or cut in the log; exit status 1 where there is one.

    \b
    inhouse audit verify
    inhouse audit verify audit.jsonl
    """
    if file is None:
        with _log() as log:
            check = log.verify()
    else:
        try:
            with file.open(encoding="utf-8") as lines:
                check = verify_export(lines)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} cannot be read", why=getattr(error, "strerror", None) or str(error)) from None
    if json:
        print_json({"events": check.events, "intact": check.intact, "problems": check.problems})
    else:
        _say(check, exported=file is not None)
    if not check.intact:
        raise typer.Exit(1)


@app.command()
def export(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; else stdout.")] = None,
) -> None:
    """Write the whole log, one event a line of JSON, with its hashes.

    \b
    inhouse audit export -o audit.jsonl
    """
    with _log() as log:
        if output is None:
            sys.stdout.writelines(f"{line}\n" for line in log.export())
            return
        try:
            with output.open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in log.export())
        except OSError as error:
            raise UsageError(f"{output} cannot be written", why=error.strerror or str(error)) from None
    note(f"Wrote {output}")


def _say(check: AuditCheck, *, exported: bool) -> None:
    if check.intact:
        note(
            f"{check.events} events, every link intact"
            + (" (a cut-off end shows only in the store)" if exported else "")
        )
        return
    print_table(["event", "problem"], [(problem.seq, problem.what) for problem in check.problems])


@contextmanager
def _log() -> Iterator[AuditLog]:
    settings = get_settings()
    database = Database(settings.database_url)
    try:
        log = open_audit_log(database, settings.data_dir, os.environ, make=False)
        if log is None:
            raise StoreError(
                "The key of the audit log is not here",
                why=f"neither INHOUSE_AUDIT_KEY nor {settings.data_dir / 'audit.key'} is there",
                do="The gateway makes it when it first records something; else bring the key of that machine",
            )
        yield log
    finally:
        database.close()
