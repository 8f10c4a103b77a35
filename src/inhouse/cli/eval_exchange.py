"""`inhouse eval import, export`: evaluations from other programs' files, and in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.eval_review import evaluation
from inhouse.cli.eval_view import print_figures
from inhouse.cli.output import note, print_json
from inhouse.cli.run_view import short_id
from inhouse.core.settings import get_settings
from inhouse.quality.exchange import files
from inhouse.quality.exchange.base import keep, of_run
from inhouse.quality.exchange.files import Format
from inhouse.quality.exchange.lm_eval_tasks import to_suite
from inhouse.store.repository import Store


def import_(
    file: Annotated[Path, typer.Argument(help="A file of results; of lm-eval also its folder, or a task's YAML.")],
    format: Annotated[Format | None, typer.Option(help="Which program wrote it. Default: as its name says.")] = None,  # noqa: A002
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the suite that a task becomes. Default: here.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Keep an evaluation that another program made, with its answers and scores; its figures get intervals here.

    A task of lm-eval over local data becomes a suite.

    \b
    inhouse eval import out/results_2026-11-30T21-52-44.650248.json     # lm-eval, run with --log_samples
    inhouse eval import logs/2026-11-30T22-10-10_sums.eval              # Inspect
    inhouse eval import answers.csv
    inhouse eval import tasks/mine.yaml -o suites/ && inhouse eval run --suite suites/mine.toml
    """
    if file.suffix in (".yaml", ".yml"):
        made = to_suite(file, output or Path())
        print_json({"suite": str(made)}) if json else typer.echo(str(made))
        return
    found, sha256 = files.read(file, format)
    with Store(get_settings().database_url) as store:
        run = keep(store, found, file=file.name, sha256=sha256)
        metrics = store.metrics(run.id)
    if json:
        print_json({"run": run, "metrics": metrics})
        return
    print_figures(metrics, run)
    for remark in found.notes:
        note(remark)
    note(f"kept: inhouse eval show {short_id(run.id)}")


def export(
    run: Annotated[str, typer.Argument(help="A run's id, its beginning, or last.")] = "last",
    format: Annotated[Format, typer.Option(help="The form to write.")] = Format.JSONL,  # noqa: A002
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file (jsonl, csv) or a folder. Default: here.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the written files as JSON.")] = False,
) -> None:
    """Write an evaluation's answers and scores for other programs.

    \b
    inhouse eval export last --format csv -o answers.csv
    inhouse eval export last --format inspect -o logs/        # then: inspect view --log-dir logs
    inhouse eval export last --format lm-eval -o results/
    """
    with Store(get_settings().database_url) as store:
        found_run = evaluation(store, run)
        found = of_run(store, found_run)
    plain = format in (Format.JSONL, Format.CSV)
    where = output or Path(f"eval-{short_id(found_run.id)}" + (f".{format.value}" if plain else ""))
    written = files.write(found, where, format)
    if json:
        print_json([str(path) for path in written])
        return
    for path in written:
        typer.echo(str(path))
