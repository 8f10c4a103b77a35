"""A study's themes with what there is on each: charts, findings and the charts' figures. Knows no layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inhouse.core.records import Finding, Side
from inhouse.report.charts import Chart, charts_of, over_time
from inhouse.report.cost_charts import cost_charts
from inhouse.report.document import Document
from inhouse.report.tables import Table
from inhouse.report.themes import THEMES, theme_of

_OVER_TIME = ("cpu_percent", "rss_bytes", "gpu_percent")


@dataclass(frozen=True, slots=True)
class Chapter:
    """What there is on one theme: charts, findings worst first, and the charts' figures."""

    theme: str
    charts: tuple[Chart, ...]
    findings: tuple[Finding, ...]
    tables: tuple[Table, ...]


def chapters(document: Document, made: dict[str, Table], lang: str) -> dict[Side, list[Chapter]]:
    """Every theme of every side, also those on which there is nothing. `made` are the document's tables."""
    charts = charts_of(made, lang) | _charts_over_time(document, made, lang) | cost_charts(document, lang)
    found: dict[Side, list[Chapter]] = {}
    for side, themes in THEMES.items():
        found[side] = []
        for theme in themes:
            drawn = tuple(charts[name] for name in theme.charts if name in charts)
            names = dict.fromkeys(chart.table for chart in drawn if chart.table)
            told = tuple(f for f in document.measured if f.side is side and theme_of(f) == theme.name)
            found[side].append(Chapter(theme.name, drawn, told, tuple(made[name] for name in names)))
    return found


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
