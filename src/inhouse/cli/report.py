"""`inhouse report`: writes the report and the notes of a kept study again, and compares two; measures nothing."""

from __future__ import annotations

import os
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from inhouse.cli.output import console, note, print_json, print_table, waiting
from inhouse.core.errors import UsageError
from inhouse.core.records import Metric
from inhouse.core.settings import get_settings
from inhouse.report.difference import Difference, compare_studies
from inhouse.report.document import gather, newest_study
from inhouse.report.figures import circumstances, name_of, quantity
from inhouse.report.formats import FORMATS, write_report
from inhouse.report.language import choose_language, number, word
from inhouse.report.message import render
from inhouse.report.notes import write_notes
from inhouse.store.repository import Store

Lang = Annotated[str | None, typer.Option(help="ko or en. Default: the locale's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what was written or found as JSON.")]


class WriteByDefault(TyperGroup):
    """`inhouse report …` means `inhouse report write …` where no other command is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the command there that was left out."""
        if not args or args[0] not in (*self.commands, "--help", "-h"):
            args = ["write", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=WriteByDefault,
    rich_markup_mode=None,
    add_completion=False,
    help="""Write the report of a study again, from the store; compare two studies.

    \b
    inhouse report                                  the newest study, as report.html and notes/
    inhouse report 01kr6rmp4r --lang ko -o report.ko.html --notes notes/ko
    inhouse report --format pdf --format docx       also md and json
    inhouse report diff 01kr6rmp4r last
    """,
)


@app.command()
def write(
    study: Annotated[str | None, typer.Argument(help="The study's id or its beginning. Default: the newest.")] = None,
    lang: Lang = None,
    forms: Annotated[
        list[str] | None, typer.Option("--format", "-f", help=f"{', '.join(FORMATS)}; several may be given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write. Default: report.html (.pdf, …).")
    ] = None,
    notes: Annotated[Path, typer.Option(help="The folder for the notes.")] = Path("notes"),
    show: Annotated[bool, typer.Option("--open", help="Open what was written.")] = False,
    json: AsJson = False,
) -> None:
    """Write the report of a study again, in any language and form, and its notes.

    \b
    inhouse report
    inhouse report 01kr6rmp4r --lang ko -o report.ko.html --notes notes/ko
    inhouse report -o decision.pdf
    """
    language = choose_language(lang, os.environ)
    paths = _paths(forms, out)
    with Store(get_settings().database_url) as store:
        kept = newest_study(store) if study in (None, "last") else store.get_run(study)
        document = gather(store, kept.id)
        with waiting("writing the report"):
            written = [write_report(document, path, language, form) for form, path in paths.items()]
            noted = write_notes(store, kept.id, notes, language)
    if json:
        print_json({"study": kept.id, "lang": language, "report": written[0], "reports": written, "notes": noted})
    else:
        for path in written:
            console().print(str(path))
        console().print(f"{notes}/ ({len(noted)} notes)")
    if show and not webbrowser.open(written[0].resolve().as_uri()):
        note(f"No browser could be opened; the report is {written[0].resolve()}")


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="The study to compare with.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The study that may differ.")],
    lang: Lang = None,
    json: AsJson = False,
) -> None:
    """Say what changed from study A to study B: decision, findings, and figures beyond noise.

    \b
    inhouse report diff 01kr6rmp4r last
    """
    language = choose_language(lang, os.environ)
    with Store(get_settings().database_url) as store, waiting("comparing"):
        studies = [store.get_run(name, kind="study").id for name in (a, b)]
        difference = compare_studies(store, *studies)
    if json:
        changes = [{"kind": c.kind, "before": c.before, "after": c.after} for c in difference.changes]
        print_json(
            {
                "a": difference.a, "b": difference.b, "decisions": difference.decisions, "findings": changes,
                "parts": difference.parts,
            }
        )  # fmt: skip
    else:
        _print_difference(difference, language)


def _paths(forms: list[str] | None, out: Path | None) -> dict[str, Path]:
    """Where each form goes: as `out` says, whose ending names the form where none was asked for."""
    ending = out.suffix.removeprefix(".") if out is not None else ""
    asked = [form.lower() for form in forms or [ending if ending in FORMATS else "html"]]
    for form in asked:
        if form not in FORMATS:
            raise UsageError(f"There is no report in the format {form!r}", do=f"Use one of: {', '.join(FORMATS)}")
    if out is not None and len(asked) == 1:
        return {asked[0]: out}
    return {form: (out or Path("report.html")).with_suffix(f".{form}") for form in asked}


def _print_difference(difference: Difference, lang: str) -> None:
    out = console()
    before, after = (word(lang, f"answer.{decision.answer}") for decision in difference.decisions)
    out.print(f"{difference.a[:10]}: {before}\n{difference.b[:10]}: {after}\n")
    for change in difference.changes:
        if change.kind == "same":
            continue
        said = [render(one, lang).title if one is not None else "–" for one in (change.before, change.after)]
        out.print(f"[{word(lang, f'diff.{change.kind}')}]", style="bold")
        out.print(f"  A: {said[0]}\n  B: {said[1]}")
    rows, within = [], 0
    for name, comparison in difference.parts.items():
        for row in comparison.rows:
            if row.verdict not in ("better", "worse"):
                within += 1
                continue
            metric = Metric(row.name, row.a, row.unit, row.labels)
            a, b = (quantity(replace(metric, value=value), lang).text for value in (row.a, row.b))
            ratio = "–" if row.ratio is None else f"{number(row.ratio, lang)}×"
            rows.append(
                (word(lang, f"part.{name}", name), name_of(metric, lang), circumstances(metric, lang), a, b, ratio,
                 word(lang, f"diff.{row.verdict}"))
            )  # fmt: skip
    keys = ("ui.runs", "ui.figure", "ui.circumstances")
    if rows:
        print_table([*(word(lang, key) for key in keys), "A", "B", "B ÷ A", ""], rows)
    out.print(word(lang, "diff.within").replace("{n}", str(within)))
    for warning in dict.fromkeys(w for comparison in difference.parts.values() for w in comparison.warnings):
        note(warning)
