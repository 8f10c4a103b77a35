"""Charts as SVG that stands inside a page: drawn by Altair and vl-convert, coloured by the page's CSS variables.

Each is drawn from a table or from series, at the width of a phone; the page scales it. Knows no finding.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from inhouse.core.records import Series
from inhouse.report.figures import measured_in, scale, unit_word
from inhouse.report.language import number, word
from inhouse.report.tables import Row, Table

WIDTH, HEIGHT = 300, 170
_POINTS = 240  # a series is thinned to so many points: more cannot be seen at this width

# A colour that Altair draws with, and the CSS variable that takes its place, so that one drawing serves
# light and dark. The values only have to be distinct, and unlike any that Vega writes by itself.
_VARIABLES = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--series-1)",
    "#050505": "var(--series-2)",
    "#060606": "var(--series-3)",
    "#070707": "var(--paper)",
}
INK, _MUTED, _LINE, _FIRST, _SECOND, _THIRD, PAPER = _VARIABLES
COLOURS = (_FIRST, _SECOND, _THIRD)
# What the variables are in the page's light scheme (report.css).
_LIGHT = {
    "--ink": "#15181d", "--muted": "#5b6570", "--line": "#e2e5e9", "--paper": "#ffffff",
    "--series-1": "#1f6fd6", "--series-2": "#d1620a", "--series-3": "#0d8a72",
}  # fmt: skip
FONT = "Noto Sans CJK KR"


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with the runs whose figures it shows. `table` names the table with the same figures."""

    name: str
    svg: str
    run_ids: tuple[str, ...]
    table: str | None = None
    predicted: bool = False


def charts_of(tables: dict[str, Table], lang: str) -> dict[str, Chart]:
    """Every chart that the tables have the figures for, by name."""
    drawn: list[Chart | None] = []
    if (table := tables.get("concurrency")) is not None:
        drawn.append(_lines("ttft_by_streams", table, ("ttft_s.p50", "ttft_s.p90", "ttft_s.p95"), lang, log=True))
        drawn.append(_lines("throughput_by_streams", table, ("output_tokens_s",), lang, log=True))
    if (table := tables.get("prompt_length")) is not None:
        drawn.append(_lines("latency_by_prompt", table, ("ttft_s.p50", "ttft_s.p90", "ttft_s.p95"), lang))
    if (table := tables.get("memory")) is not None:
        drawn.append(_lines("memory_by_context", table, ("memory_measured_bytes", "memory_estimate_bytes"), lang))
    if (table := tables.get("needles")) is not None:
        drawn += [_heat(f"needles_{of}", table, of, lang) for of in ("ko", "en")]
    if (table := tables.get("cold_start")) is not None:
        drawn.append(_parts("cold_start_parts", table, lang))
    return {chart.name: chart for chart in drawn if chart is not None}


def over_time(name: str, run_id: str, stretches: Sequence[Series], lang: str) -> Chart | None:
    """One quantity over a run, kept stage by stage; None for one too short to show a course."""
    points = _thin([pair for one in stretches for pair in zip(one.times_s, one.values, strict=True)])
    if len(points) < 3:
        return None
    factor, sign = scale(max(value for _, value in points), stretches[0].unit)
    values = [{"x": time, "y": value * factor} for time, value in points]
    chart = (
        alt.Chart(alt.InlineData(values=values))
        .mark_area(line={"color": _FIRST, "strokeWidth": 1.5}, color=_FIRST, fillOpacity=0.12)
        .encode(
            x=alt.X("x:Q", title=f"{word(lang, 'axis.time')} ({word(lang, 'unit.s')})", axis=alt.Axis(tickCount=6)),
            y=alt.Y("y:Q", title=unit_word(sign, lang), axis=alt.Axis(tickCount=5)),
        )
    )
    return Chart(name, svg_of(chart, word(lang, f"chart.{name}")), (run_id,))


def _lines(name: str, table: Table, columns: Sequence[str], lang: str, *, log: bool = False) -> Chart | None:
    """Lines over the table's first key, with the 95 % interval of every point; predictions are dashed."""
    found = {column: points for column in columns if (points := table.points(column))}
    if not found or all(len(points) < 2 for points in found.values()):
        return None
    cells = [cell.metric for points in found.values() for _, cell in points]
    factor, sign = scale(max(metric.value for metric in cells), measured_in(cells[0]))
    rows: list[dict[str, Any]] = []
    for column, points in found.items():
        for row, cell in points:
            metric = cell.metric
            rows.append(
                {
                    "x": _position(row),
                    "y": metric.value * factor,
                    "low": (metric.value if metric.low is None else metric.low) * factor,
                    "high": (metric.value if metric.high is None else metric.high) * factor,
                    "series": word(lang, f"series.{column}", column),
                }
            )
    names = [word(lang, f"series.{column}", column) for column in found]
    predicted = [points[0][1].metric.predicted for points in found.values()]
    ticks = sorted({row["x"] for row in rows})
    x = alt.X(
        "x:Q",
        title=word(lang, "axis." + "_".join(table.keys), word(lang, f"label.{table.keys[0]}")),
        scale=alt.Scale(type="log", base=2) if log else alt.Scale(zero=False, nice=False, padding=8),
        axis=alt.Axis(values=_apart(ticks, log=log), format=",d"),
    )
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=x,
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=names, range=list(COLOURS[: len(names)])),
            legend=alt.Legend() if len(names) > 1 else None,
        ),
    )
    y = alt.Y("y:Q", title=unit_word(sign, lang), scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5))
    dash = alt.StrokeDash(
        "series:N", scale=alt.Scale(domain=names, range=[[4, 3] if is_ else [1, 0] for is_ in predicted]), legend=None
    )
    chart = alt.layer(
        base.mark_rule(strokeWidth=5, opacity=0.25).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash),
        base.mark_point(size=34, filled=True, opacity=1).encode(
            y=y, shape=alt.Shape("series:N", scale=alt.Scale(domain=names, range=["circle", "square", "diamond"]))
        ),
    )
    runs = tuple(dict.fromkeys(cell.run_id for points in found.values() for _, cell in points))
    return Chart(name, svg_of(chart, word(lang, f"chart.{name}")), runs, table.name, any(predicted))


def _parts(name: str, table: Table, lang: str) -> Chart | None:
    """Stacked bars: how the parts add up, one bar a row."""
    rows: list[dict[str, Any]] = []
    parts = [column for column in table.columns if column.value != "total"]
    for order, part in enumerate(parts):
        for row, cell in table.points(part.id):
            label = word(lang, f"cache.{row.key[0]}", str(row.key[0]))
            rows.append(
                {"row": label, "part": word(lang, f"part.{part.value}"), "y": cell.metric.value, "order": order}
            )
    if not rows:
        return None
    factor, sign = scale(max(row["y"] for row in rows), "s")
    rows = [{**row, "y": row["y"] * factor} for row in rows]
    labels = list(dict.fromkeys(row["row"] for row in rows))
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height=26, stroke=PAPER, strokeWidth=1)
        .encode(
            y=alt.Y("row:N", title=None, sort=labels, axis=alt.Axis(domain=False, ticks=False, labelColor=INK)),
            x=alt.X("y:Q", title=unit_word(sign, lang), stack="zero", axis=alt.Axis(tickCount=5, grid=True)),
            color=alt.Color(
                "part:N",
                sort=None,
                scale=alt.Scale(
                    domain=[word(lang, f"part.{part.value}") for part in parts], range=list(COLOURS[: len(parts)])
                ),
            ),
            order="order:Q",
        )
    )
    height = 44 * len(labels)
    return Chart(name, svg_of(chart, word(lang, f"chart.{name}"), height=height), table.run_ids, table.name)


def _heat(name: str, table: Table, of: str, lang: str) -> Chart | None:
    """A field for each length (across) and depth (down) of one language, the stronger the more was found."""
    fields: list[dict[str, Any]] = []
    for column in table.columns:
        for row, cell in table.points(column.id):
            if row.key[0] == of:
                value, tries = cell.metric.value, cell.metric.n or 1
                fields.append(
                    {
                        "x": number(float(row.key[1] or 0), lang), "y": word(lang, f"depth.{column.value}"),
                        "value": value, "said": f"{round(value * tries)}/{tries}", "order": row.key[1],
                        "strong": value > 0.6,
                    }
                )  # fmt: skip
    if not fields:
        return None
    down = [word(lang, f"depth.{column.value}") for column in table.columns]
    across = list(dict.fromkeys(one["x"] for one in sorted(fields, key=lambda one: one["order"])))
    base = alt.Chart(alt.InlineData(values=fields)).encode(
        x=alt.X("x:N", sort=across, title=word(lang, "axis.length"), axis=alt.Axis(labelAngle=0, ticks=False)),
        y=alt.Y("y:N", sort=down, title=None, axis=alt.Axis(domain=False, ticks=False, labelColor=INK)),
    )
    opacity = alt.Opacity("value:Q", scale=alt.Scale(domain=[0, 1], range=[0.08, 1]), legend=None)
    said = alt.Color("strong:N", scale=alt.Scale(domain=[False, True], range=[INK, PAPER]), legend=None)
    chart = alt.layer(
        base.mark_rect(stroke=PAPER, strokeWidth=2, fill=_FIRST).encode(opacity=opacity),
        base.mark_text(fontSize=11).encode(text="said:N", color=said),
    )
    runs = tuple(dict.fromkeys(cell.run_id for row in table.rows if row.key[0] == of for cell in row.cells if cell))
    return Chart(name, svg_of(chart, word(lang, f"chart.{name}"), height=40 * len(down)), runs, table.name)


def svg_of(chart: Any, label: str, *, height: int = HEIGHT) -> str:
    """The chart as an SVG element that takes its colours and its font from the page around it."""
    text = {"labelColor": _MUTED, "titleColor": _MUTED, "labelFontSize": 11, "titleFontSize": 11}
    styled = (
        chart.properties(width=WIDTH, height=height, background="transparent", padding=4)
        .configure(aria=False, font="sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            **text,
            titleFontWeight="normal",
            gridColor=_LINE,
            domainColor=_LINE,
            tickColor=_LINE,
            tickSize=4,
            labelPadding=5,
        )
        .configure_axisX(grid=False, titlePadding=8, labelFlush=False, labelOverlap=True)
        .configure_axisY(
            domain=False, ticks=False, titleAngle=0, titleAlign="left", titleAnchor="start", titleX=-4, titleY=-12
        )
        .configure_legend(
            orient="top",
            title=None,
            labelColor=INK,
            labelFontSize=11,
            symbolOpacity=1,
            symbolStrokeWidth=0,
            symbolSize=60,
            columnPadding=20,
            offset=26,  # the unit stands between the legend and the axis
        )
    )
    buffer = io.StringIO()
    styled.save(buffer, format="svg")
    svg = buffer.getvalue()
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(f'"{colour}"', f'"{variable}"')
    svg = re.sub(r' font-family="[^"]*"', "", svg)
    # Without width and height the drawing takes the width of its place and keeps its proportions.
    svg = re.sub(r'(<svg [^>]*?) width="[\d.]+" height="[\d.]+"', r"\1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{_attribute(label)}" ', 1)


def on_paper(svg: str) -> str:
    """A chart that stands alone: in the page's light colours, on white, in a font that ships with the report."""
    for name, colour in _LIGHT.items():
        svg = svg.replace(f'"var({name})"', f'"{colour}"')
    width, height = (float(size) for size in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    size = f'width="{width:g}" height="{height:g}" font-family="{FONT}"'
    paper = f'<rect width="100%" height="100%" fill="{_LIGHT["--paper"]}"/>'
    return re.sub(r"<svg ([^>]*)>", rf"<svg {size} \1>{paper}", svg, count=1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def _position(row: Row) -> float:
    """Where a row stands on the axis; context and slots multiply to the tokens that memory is held for."""
    return math.prod(value for value in row.key if isinstance(value, (int, float)))


def _apart(ticks: list[Any], *, log: bool) -> list[Any]:
    """The ticks at measured points, without those that would stand on one another."""
    kept: list[Any] = []
    span = (ticks[-1] - ticks[0]) or 1
    for tick in ticks:
        room = (tick / kept[-1] >= 1.3) if log and kept else not kept or (tick - kept[-1]) / span > 0.09
        if room:
            kept.append(tick)
    return kept


def _thin(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `_POINTS` points in order of time: the mean of each of so many equal stretches."""
    pairs = sorted(pairs)
    size = -(-len(pairs) // _POINTS) or 1
    stretches = [pairs[at : at + size] for at in range(0, len(pairs), size)]
    return [(part[0][0], sum(value for _, value in part) / len(part)) for part in stretches]
