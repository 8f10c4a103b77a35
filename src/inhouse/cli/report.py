"""`inhouse report`: writes the report and the notes of a kept study again; measures nothing."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.output import console, note, print_json
from inhouse.core.settings import get_settings
from inhouse.report.document import newest_study
from inhouse.report.html import write_html
from inhouse.report.language import choose_language
from inhouse.report.notes import write_notes
from inhouse.store.repository import Store

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def report(
    study: Annotated[str | None, typer.Argument(help="The study's id or its beginning. Default: the newest.")] = None,
    lang: Annotated[str | None, typer.Option(help="ko or en. Default: the locale's.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("report.html"),
    notes: Annotated[Path, typer.Option(help="The folder for the notes.")] = Path("notes"),
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write the report of a study again, from the store.

    \b
    inhouse report
    inhouse report 01kr6rmp4r --lang ko -o report.ko.html --notes notes/ko
    """
    language = choose_language(lang, os.environ)
    with Store(get_settings().database_url) as store:
        kept = newest_study(store) if study in (None, "last") else store.get_run(study)
        page = write_html(store, kept.id, out, language)
        written = write_notes(store, kept.id, notes, language)
    if json:
        print_json({"study": kept.id, "lang": language, "report": page, "notes": written})
    else:
        console().print(f"{page}\n{notes}/ ({len(written)} notes)")
    if show and not webbrowser.open(page.resolve().as_uri()):
        note(f"No browser could be opened; the page is {page.resolve()}")
