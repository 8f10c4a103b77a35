"""A study as one self-contained HTML page: no network, no script, light and dark, on paper and on a phone.

Lays out what document.py gathered; the template engine escapes every text that goes in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from inhouse import __version__
from inhouse.core.records import Evidence, Finding, Metric, Scalar
from inhouse.report.chapters import chapters
from inhouse.report.document import Document, gather
from inhouse.report.figures import circumstances, identity, in_words, method_of, name_of, quantity
from inhouse.report.files import write_whole
from inhouse.report.language import moment, word
from inhouse.report.message import CLOSE, OPEN, Rendered, fill, marked, render
from inhouse.report.outline import config_lines, ended_because, run_name, samples_said
from inhouse.report.tables import heading, key_figures, pivot, tables
from inhouse.store.repository import Store


def write_html(store: Store, study_id: str, path: Path, lang: str) -> Path:
    """Writes the report of a study in that language; returns its path.

    Raises:
        UsageError: where the study or the place to write to cannot be used.
    """
    return write_whole(path, render_html(gather(store, study_id), lang))


def render_html(document: Document, lang: str, theme: str = "") -> str:
    """The page as text; `theme`: light or dark, else as the reader's system has it."""
    made = tables(document)
    return (
        _engine(lang, document)
        .get_template("report.html.jinja")
        .render(
            lang=lang,
            theme=theme,
            version=__version__,
            document=document,
            decision=document.decision,
            sides=chapters(document, made, lang),
            key_figures=key_figures(made),
            pivots={record.run.id: pivot(record) for record in document.runs},
        )
    )


def _engine(lang: str, document: Document) -> Environment:
    """The template engine with the words of that language, and the places on the page, at hand."""
    engine = Environment(
        loader=PackageLoader("inhouse.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def t(key: str, **figures: Scalar) -> str:
        return fill(word(lang, key), figures, lang)

    def say(finding: Finding) -> Rendered:
        return render(finding, lang, mark=marked)

    def when(at: datetime) -> str:
        return moment(at.astimezone(UTC), lang)

    def duration(start: datetime, end: datetime) -> str:
        return in_words("s", (end - start).total_seconds(), lang)

    engine.globals.update(
        t=t,
        place=_places(document),
        anchor={id(finding): f"finding-{number}" for number, finding in enumerate(document.findings, 1)},
        say=say,
        when=when,
        duration=duration,
        words=lambda name, value: in_words(name, value, lang),
        quantity=lambda metric, largest=None: quantity(metric, lang, largest=largest),
        name_of=lambda metric, with_stat=True: name_of(metric, lang, with_stat=with_stat),
        run_name=lambda run: run_name(run, lang),
        because_of=lambda run: ended_because(document, run, lang),
        samples=lambda record: samples_said(record, lang),
        circumstances=lambda metric: circumstances(metric, lang),
        column=lambda table, index: heading(table, index, lang),
        method_of=lambda metric: method_of(metric, lang),
    )
    engine.filters.update(
        prose=_prose,
        short=lambda run_id: run_id[:10],
        config=lambda config: "\n".join(config_lines(config)),
        ident=id,
    )
    return engine


def _places(document: Document) -> Callable[[str, Metric], str]:
    """Where on the page a figure of a run stands: its own cell for what a finding stands on, else its run."""
    wanted = {identity(item) for finding in document.findings for item in finding.evidence}
    cells = {
        key: f"fig-{record.run.id}-{number}"
        for record in document.runs
        for number, metric in enumerate(record.metrics)
        if (key := identity(Evidence(record.run.id, metric))) in wanted
    }
    return lambda run_id, metric: cells.get(identity(Evidence(run_id, metric)), f"run-{run_id}")


def _prose(text: str) -> Markup:
    """A sentence as markup: its filled-in figures stressed, what stands in backticks set as code."""
    markup = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    # A figure stays on one line with the ending that follows it: 14.7%입니다.
    markup = re.sub(f"{CLOSE}(?=\\w)", f"{CLOSE}\u2060", markup)
    return Markup(markup.replace(OPEN, "<b>").replace(CLOSE, "</b>"))  # noqa: S704 - escaped above
