"""`inhouse study`: says what it will do, does it, writes the report; stopped and resumed at will."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.main import run_async
from inhouse.cli.output import console, note, print_json, progress
from inhouse.core.environment import read_environment
from inhouse.core.errors import UsageError
from inhouse.core.records import Run, RunStatus
from inhouse.core.settings import get_settings
from inhouse.core.units import format_bytes, format_seconds, parse_seconds
from inhouse.models.catalogue import CatalogueEntry, find_entry
from inhouse.models.choice import largest_fitting
from inhouse.models.library import pulled
from inhouse.plan.assumptions import load_assumptions
from inhouse.report.html import write_html
from inhouse.report.language import choose_language
from inhouse.report.message import render
from inhouse.report.notes import write_notes
from inhouse.store.repository import Store
from inhouse.study.base import Outcome, Part, Progress, StudyConfig, outcomes
from inhouse.study.run import PHASES, parts_of, run_study, seconds_of, undone

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def study(
    budget: Annotated[str, typer.Option(help="Time for the measurements; the download comes on top.")] = "10m",
    model: Annotated[str | None, typer.Option(help="Catalogue name. Default: the largest that fits.")] = None,
    lang: Annotated[str | None, typer.Option(help="Report in ko or en. Default: the locale's.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html and notes/.")] = Path(),
    resume: Annotated[str | None, typer.Option(help="Go on with a stopped study: its id, or last.")] = None,
    phases: Annotated[str, typer.Option(help="Which phases to make, by number.")] = "1,2,3,4,5",
    documents: Annotated[
        Path | None, typer.Option(help="The folder that phase 4 asks. Default: a part of a real manual.")
    ] = None,
    questions: Annotated[Path | None, typer.Option(help="Questions on it, as for inhouse docs eval.")] = None,
    assumptions: Annotated[Path | None, typer.Option(help="What costs are computed from: inhouse plan cost.")] = None,
    seed: Annotated[int, typer.Option(help="Fixes prompts and sampling.", min=0)] = 0,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and stop.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON at the end.")] = False,
) -> None:
    """Measure a real model on this machine and write report.html and notes/.

    \b
    inhouse study
    inhouse study --budget 3m --model smollm2:135m --lang ko
    inhouse study --phases 5
    inhouse study --phases 4 --documents ~/handbook --questions questions.jsonl
    inhouse study --resume last
    """
    settings = get_settings()
    seconds = parse_seconds(budget, "The budget")
    if assumptions is not None:
        load_assumptions(assumptions)  # what is wrong with it is said before anything is measured
    language = choose_language(lang, os.environ)
    chosen = _phases(phases)
    _check_writable(out)
    with Store(settings.database_url) as store:
        earlier = _earlier(store, resume) if resume else None
        if earlier is None:
            entry = find_entry(model) if model else largest_fitting(settings, seconds)
            config = StudyConfig(
                entry.name, seconds, language, seed, chosen, _place(documents, "documents"),
                _place(questions, "questions"), _place(assumptions, "assumptions"),
            )  # fmt: skip
        else:
            config = StudyConfig.from_dict(earlier.config)
            entry = find_entry(config.model)
        left = undone(parts_of(config), outcomes(store, earlier.id) if earlier else {})
        is_here = any(held.name == entry.name for held in pulled(settings))
        _announce(entry, config, left, is_here=is_here, chosen=not (model or earlier))
        if plan:
            return
        environment = read_environment()
        with progress() as display:
            on_progress, on_outcome = _follow(display, left)
            done = run_async(
                run_study(
                    settings, store, config, environment, resume=earlier, on_progress=on_progress, on_outcome=on_outcome
                )
            )
        note("writing the report")
        if done.error:
            note(f"{done.error}; inhouse study --resume {done.id[:10]} tries again")
        report = write_html(store, done.id, out / "report.html", config.lang)
        notes = write_notes(store, done.id, out / "notes", config.lang)
        findings = store.findings(done.id)
        if json:
            print_json({"study": done.id, "report": report, "notes": notes, "findings": findings})
            return
        out_console = console()
        for finding in findings:
            text = render(finding, config.lang)
            out_console.print(f"[{finding.severity}] {text.title}", style="bold")
            out_console.print(f"  {text.text}")
        out_console.print(f"\n{report}\n{out / 'notes'}/ ({len(notes)} notes)")
        note(f"kept as {done.id[:10]}: inhouse report {done.id[:10]} writes it again, --lang en or ko")


def _phases(text: str) -> tuple[int, ...]:
    """The phases that were asked for, in order."""
    numbers = {int(piece) if piece.strip().isdecimal() else 0 for piece in text.split(",")}
    if not numbers <= PHASES.keys():
        known = ", ".join(map(str, PHASES))
        raise UsageError(f"The study has no phases {text!r}", do=f"Give numbers of {known}, such as --phases 1,4")
    return tuple(sorted(numbers))


def _place(path: Path | None, what: str) -> str:
    """The path in full, as the study keeps it; empty for none."""
    if path is None:
        return ""
    if not path.exists():
        raise UsageError(f"{path} is not there", do=f"Correct --{what}")
    return str(path.resolve())


def _earlier(store: Store, resume: str) -> Run:
    """The study to go on with."""
    if resume == "last":
        stopped = [run for run in store.list_runs(kind="study") if run.status is not RunStatus.DONE]
        if not stopped:
            raise UsageError("No study was stopped half-way or failed in part", do="Start one: inhouse study")
        return stopped[0]
    run = store.get_run(resume)
    if run.kind != "study":
        raise UsageError(f"The run {resume} is no study but a {run.kind}", do="inhouse runs list --kind study")
    if run.status is RunStatus.DONE:
        raise UsageError(f"The study {resume} is finished", do=f"Write its report again: inhouse report {resume}")
    return run


def _announce(entry: CatalogueEntry, config: StudyConfig, left: list[Part], *, is_here: bool, chosen: bool) -> None:
    why = ", the largest that fits this machine and budget" if chosen else ""
    here = "it is here already" if is_here else f"{format_bytes(entry.size_bytes)} to download first"
    note(f"model: {entry.name} ({entry.title}){why}; {here}")
    seconds = sum(seconds_of(part, config) for part in left)
    note(f"{len(left)} parts, about {format_seconds(seconds)}" + ("" if is_here else " and the download") + ":")
    for part in left:
        time = f"≤ {format_seconds(seconds_of(part, config))}" if part.share else ""
        note(f"  {part.name:<14} {part.what:<52} {time}")
    note("Ctrl-C stops it; inhouse study --resume last goes on")


def _follow(display: object, left: list[Part]) -> tuple[Callable[[Progress], None], Callable[[Part, Outcome], None]]:
    """The progress display's two ends: one task for the study, one for the part under way."""
    from rich.progress import Progress as Display

    assert isinstance(display, Display)
    whole = display.add_task("study", total=len(left), detail="")
    current = display.add_task("", total=1.0, detail="", visible=False)
    terminal = display.console.is_terminal

    def on_progress(progress: Progress) -> None:
        if display.tasks[1].description != progress.part:
            display.reset(current, total=1.0, visible=True, description=progress.part)
        display.update(
            current,
            total=None if progress.fraction is None else 1.0,
            completed=progress.fraction,
            detail=progress.detail,
        )

    def on_outcome(part: Part, outcome: Outcome) -> None:
        display.advance(whole)
        mark = {"done": "✓", "skipped": "–", "failed": "✗"}[outcome.status]
        line = f"{mark} {part.name}" + (f": {outcome.reason}" if outcome.reason else "")
        if terminal:
            display.console.print(line)
        else:
            note(line)

    return on_progress, on_outcome


def _check_writable(folder: Path) -> None:
    """Ten minutes of measuring must not end in a report that cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The report cannot be written to {folder}", why=error.strerror or str(error)) from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The report cannot be written to {folder}", why="no permission", do="Give another --out")
