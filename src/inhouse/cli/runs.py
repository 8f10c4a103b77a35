"""`inhouse runs`: lists, shows, compares, exports, imports and removes what the store keeps."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from inhouse.cli.output import note, print_json, print_table
from inhouse.cli.run_view import (
    local_time,
    print_comparison,
    print_counts,
    print_metrics,
    print_run,
    print_samples,
    short_id,
    took_text,
)
from inhouse.core.errors import UsageError
from inhouse.core.records import RunStatus
from inhouse.core.settings import get_settings
from inhouse.core.units import format_bytes
from inhouse.store.repository import Store

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="""List, show, compare, export and remove kept runs.

    A run is named by its id, the beginning of its id, or "last".
    """,
)

RunName = Annotated[str, typer.Argument(metavar="RUN", help='Id, the beginning of one, or "last".')]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class ExportFormat(StrEnum):
    """What `export` writes."""

    JSON = "json"
    CSV = "csv"


@app.command("list")
def list_runs(
    kind: Annotated[str | None, typer.Option(help="Only this kind: study, bench, cold_start, pull, …")] = None,
    model: Annotated[str | None, typer.Option(help="Only runs of this model.")] = None,
    engine: Annotated[str | None, typer.Option(help="Only runs on this engine.")] = None,
    status: Annotated[RunStatus | None, typer.Option(help="Only runs that stand so.")] = None,
    study: Annotated[str | None, typer.Option(metavar="RUN", help="Only the runs of this study.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 30,
    json: AsJson = False,
) -> None:
    """List the newest runs.

    \b
    inhouse runs list --kind bench --model smollm2:135m
    inhouse runs list --status interrupted --json
    """
    with _open_store() as store:
        study_id = store.get_run(study).id if study is not None else None
        found = store.list_runs(
            kind=kind, model=model, engine=engine, status=status, study_id=study_id, limit=limit + 1
        )
    runs, more = found[:limit], len(found) > limit
    if json:
        print_json(runs)
    elif not runs:
        note("No run is kept that fits" if any((kind, model, engine, status, study)) else "No run is kept yet")
    else:
        print_table(
            ["run", "kind", "model", "engine", "status", "started", "took", "study"],
            [
                (
                    short_id(run.id),
                    run.kind,
                    run.model,
                    run.engine,
                    run.status.value,
                    local_time(run.created_at),
                    took_text(run),
                    run.study_id and short_id(run.study_id),
                )
                for run in runs
            ],
        )
    if more:
        note(f"There are more; --limit shows more than {limit}")


@app.command()
def show(
    run: RunName = "last",
    samples: Annotated[bool, typer.Option("--samples", help="List every sample too.")] = False,
    json: AsJson = False,
) -> None:
    """Show one run: what was asked, where, what was measured, what failed.

    \b
    inhouse runs show last
    inhouse runs show 01m87q28h2 --samples
    """
    with _open_store() as store:
        found = store.get_run(run)
        metrics = store.metrics(found.id)
        counts = store.sample_counts(found.id)
        parts = list(reversed(store.list_runs(study_id=found.id)))
        listed = store.samples(found.id) if samples else []
    if json:
        document: dict[str, Any] = {"run": found, "metrics": metrics, "samples": counts}
        if samples:
            document["samples_listed"] = listed
        print_json(document | {"parts": [part.id for part in parts]})
        return
    print_run(found)
    print_metrics(metrics)
    print_counts(counts)
    if parts:
        print_table(
            ["run", "kind", "status", "started", "took"],
            [
                (short_id(part.id), part.kind, part.status.value, local_time(part.created_at), took_text(part))
                for part in parts
            ],
            title="Runs of this study",
        )
    if listed:
        print_samples(listed)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="The run to compare with.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The run that may differ.")],
    json: AsJson = False,
) -> None:
    """Say in which figures run B differs from run A beyond noise.

    \b
    inhouse runs compare 01m87q28h2 last
    """
    from inhouse.bench.compare import compare_runs

    with _open_store() as store:
        comparison = compare_runs(store, store.get_run(a).id, store.get_run(b).id)
    if json:
        print_json(comparison)
    else:
        print_comparison(comparison)


@app.command()
def export(
    run: RunName,
    format: Annotated[ExportFormat, typer.Option(help="json: all of it; csv: a row a sample.")] = ExportFormat.JSON,  # noqa: A002
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; else stdout.")] = None,
) -> None:
    """Write a run (of a study, all its runs) as JSON, which can be imported again, or as CSV.

    \b
    inhouse runs export last -o run.json
    inhouse runs export last --format csv > samples.csv
    """
    from inhouse.store.export import runs_to_json, samples_to_csv

    with _open_store() as store:
        run_id = store.get_run(run).id
        text = runs_to_json(store, run_id) if format is ExportFormat.JSON else samples_to_csv(store, run_id)
    if output is None:
        sys.stdout.write(text)
        return
    _write_whole(output, text)
    note(f"Wrote {output} ({format_bytes(len(text.encode()))})")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A file that `inhouse runs export` wrote as JSON.")],
) -> None:
    """Keep the runs of an exported file here, under the ids they had."""
    from inhouse.store.export import import_json

    try:
        text = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read", why=error.strerror or str(error)) from None
    with _open_store() as store:
        runs = import_json(store, text)
    for run in runs:
        typer.echo(run.id)


@app.command()
def rm(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help='Ids, beginnings of ids, or "last".')],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also a run that is marked as running.")] = False,
) -> None:
    """Remove runs and all that is kept under them; a study goes with its runs.

    \b
    inhouse runs rm 01m87q28h2 01m87q2ak3
    """
    with _open_store() as store:
        found = {run.id: run for run in map(store.get_run, runs)}
        # A part goes with its study, also where both are named.
        found = {run_id: run for run_id, run in found.items() if run.study_id not in found}
        parts = sum(len(store.list_runs(study_id=run_id)) for run_id in found)
        if not yes:
            names = ", ".join(f"{short_id(run.id)} ({run.kind})" for run in found.values())
            _confirm(f"Remove {names}" + (f" and {parts} runs of it" if parts else "") + "?")
        for run_id in found:
            store.delete_run(run_id, force=force)
    note(f"Removed {len(found) + parts} run{'s' if len(found) + parts > 1 else ''}")


def _open_store() -> Store:
    return Store(get_settings().database_url)


def _confirm(question: str) -> None:
    try:
        sure = typer.confirm(question, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        typer.echo(err=True)  # the question stands unanswered on its line
        raise UsageError("Nothing was removed", why="nobody is there to be asked", do="Add --yes") from None
    if not sure:
        note("Nothing was removed")
        raise typer.Exit(1)


def _write_whole(path: Path, text: str) -> None:
    """Writes the file in one step: a reader, or an interruption, never meets half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written", why=error.strerror or str(error)) from None
