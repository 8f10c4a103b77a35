"""A study as one self-contained HTML page: no network, no script, light and dark, on paper and on a phone.

Lays out what document.py gathered; the template engine escapes every text that goes in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from inhouse import __version__
from inhouse.core.records import Finding, Scalar, Side
from inhouse.report.charts import Chart, charts_of, over_time
from inhouse.report.document import Document, gather
from inhouse.report.figures import circumstances, in_words, method_of, name_of, quantity
from inhouse.report.files import write_whole
from inhouse.report.language import moment, word
from inhouse.report.message import Rendered, fill, render
from inhouse.report.tables import Table, heading, key_figures, pivot, tables
from inhouse.store.repository import Store

_OVER_TIME = ("cpu_percent", "rss_bytes", "gpu_percent")
_CHARTS: Mapping[Side, tuple[str, ...]] = {
    Side.TECHNICAL: ("latency_by_prompt", "memory_by_context"),
    Side.OPERATIONAL: ("ttft_by_streams", "throughput_by_streams", *_OVER_TIME, "cold_start_parts"),
    Side.BUSINESS: (),
}
# Stand for the tags around a filled-in figure until the text around them is escaped.
_OPEN, _CLOSE = "\ue000", "\ue001"


def write_html(store: Store, study_id: str, path: Path, lang: str) -> Path:
    """Writes the report of a study in that language; returns its path.

    Raises:
        UsageError: where the study or the place to write to cannot be used.
    """
    return write_whole(path, render_html(gather(store, study_id), lang))


def render_html(document: Document, lang: str) -> str:
    """The page as text."""
    made = tables(document)
    charts = charts_of(made, lang) | _charts_over_time(document, made, lang)
    sections = [_section(document, side, made, charts) for side in _CHARTS]
    return (
        _engine(lang)
        .get_template("report.html.jinja")
        .render(
            lang=lang,
            version=__version__,
            document=document,
            sections=sections,
            key_figures=key_figures(made),
            pivots={record.run.id: pivot(record) for record in document.runs},
        )
    )


@dataclass(frozen=True, slots=True)
class Section:
    """What one kind of reader wants to know: charts, findings worst first, and the charts' figures."""

    side: Side
    charts: tuple[Chart, ...]
    findings: tuple[Finding, ...]
    tables: tuple[Table, ...]


def _section(document: Document, side: Side, made: Mapping[str, Table], charts: Mapping[str, Chart]) -> Section:
    drawn = tuple(charts[name] for name in _CHARTS[side] if name in charts)
    names = dict.fromkeys(chart.table for chart in drawn if chart.table)
    return Section(side, drawn, document.on(side), tuple(made[name] for name in names))


def _charts_over_time(document: Document, made: Mapping[str, Table], lang: str) -> dict[str, Chart]:
    """The course of CPU and memory over the run with the highest load, or the first run that kept one."""
    loaded = made["concurrency"].run_ids if "concurrency" in made else ()
    records = sorted(document.runs, key=lambda record: record.run.id not in loaded)
    charts: dict[str, Chart] = {}
    for record in records:
        for name in _OVER_TIME:
            stretches = [s for s in record.series if s.name == name and s.labels.get("of", "engine") == "engine"]
            chart = over_time(name, record.run.id, stretches, lang) if name not in charts else None
            if chart is not None:
                charts[name] = chart
    return charts


def _engine(lang: str) -> Environment:
    """The template engine with the words of that language at hand."""
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
        return render(finding, lang, mark=lambda figure: f"{_OPEN}{figure}{_CLOSE}")

    def when(at: datetime) -> str:
        return moment(at.astimezone(UTC), lang)

    def duration(start: datetime, end: datetime) -> str:
        return in_words("s", (end - start).total_seconds(), lang)

    engine.globals.update(
        t=t,
        say=say,
        when=when,
        duration=duration,
        words=lambda name, value: in_words(name, value, lang),
        quantity=lambda metric, largest=None: quantity(metric, lang, largest=largest),
        name_of=lambda metric, with_stat=True: name_of(metric, lang, with_stat=with_stat),
        run_name=lambda run: word(lang, f"part.{run.config.get('name')}", word(lang, f"kind.{run.kind}", run.kind)),
        circumstances=lambda metric: circumstances(metric, lang),
        column=lambda table, index: heading(table, index, lang),
        method_of=lambda metric: method_of(metric, lang),
    )
    engine.filters.update(prose=_prose, short=lambda run_id: run_id[:10], json=_json)
    return engine


def _prose(text: str) -> Markup:
    """A sentence as markup: its filled-in figures stressed, what stands in backticks set as code."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    # A figure stays on one line with the ending that follows it: 14.7%입니다.
    marked = re.sub(f"{_CLOSE}(?=\\w)", f"{_CLOSE}\u2060", marked)
    return Markup(marked.replace(_OPEN, "<b>").replace(_CLOSE, "</b>"))  # noqa: S704 - escaped above


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
