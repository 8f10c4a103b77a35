"""`inhouse docs migrate`: a collection from one document store to another."""

from __future__ import annotations

from pathlib import Path

import typer

from inhouse.cli import output
from inhouse.core.settings import get_settings


def migrate(
    collection: str = typer.Argument(..., help="The collection to copy."),
    to: str = typer.Option(..., "--to", help="The store to copy it to, as a URL (see docs/document-stores.md)."),
    from_: str = typer.Option("", "--from", help="The store that has it; left out: SQLite in the data folder."),
    as_: str = typer.Option("", "--as", help="Its name in the target; left out: the same."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Copies a collection to another store, and compares the two by count and checksum.

    The source stays as it is. Cut off, it can be run again: what is there already is not copied twice.
    """
    from inhouse.core.errors import UsageError
    from inhouse.docs.stores.migrate import MigrateProgress
    from inhouse.docs.stores.migrate import migrate as copy
    from inhouse.docs.stores.open import open_store

    settings = get_settings()
    if (from_, collection) == (to, as_ or collection):
        raise UsageError("Source and target are the same", do="Name another store with --to")
    default = Path(settings.data_dir) / "docs" / f"{collection}.db"
    if not from_ and not default.exists():
        raise UsageError(f"There is no collection {collection}", do="Name its store with --from")
    source = open_store(from_, collection, data_dir=settings.data_dir)
    try:
        target = open_store(to, as_ or collection, data_dir=settings.data_dir)
        try:
            with output.progress() as bar:
                task = bar.add_task("copy", total=None, detail="")

                def show(at: MigrateProgress) -> None:
                    bar.update(task, description=at.phase, completed=at.done, total=at.total, detail=str(at.done))

                done = copy(source, target, show)
        finally:
            target.close()
    finally:
        source.close()
    if as_json:
        output.print_json(done)
        return
    output.print_table(
        ["documents", "chunks", "copied", "already there", "checksum"],
        [[done.counts.documents, done.counts.chunks, done.copied, done.kept, done.checksum]],
    )
