"""The plan's cost as charts: the bills stacked, cost over users, and what each assumption moves.

Drawn from the metrics of the study's newest kept comparison; computes no cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import altair as alt

from inhouse.core.records import Metric
from inhouse.plan.comparison import KIND
from inhouse.report.charts import COLOURS, INK, PAPER, Chart, svg_of
from inhouse.report.document import Document
from inhouse.report.figures import assumption_name
from inhouse.report.language import word

_MILLION = 1e-6
_GROUPS = {
    "people": ("people", "setup", "evaluation"),
    "bought": ("hardware", "maintenance", "power", "network", "storage", "rent", "tokens", "seats"),
    "risk": ("security", "downtime"),
}
_SHOWN = ("own", "api", "seats")
_SWINGS = 8


def cost_charts(document: Document, lang: str) -> dict[str, Chart]:
    """The charts of the newest comparison of the study, by name; none where there is none."""
    records = [record for record in document.runs if record.run.kind == KIND and record.metrics]
    if not records:
        return {}
    metrics, run_ids = records[-1].metrics, (records[-1].run.id,)
    drawn = {
        "cost_bills": _bills(metrics, lang),
        "cost_by_users": _curves(metrics, lang),
        "cost_swings": _swings(metrics, lang),
    }
    heights = {"cost_bills": 140, "cost_by_users": 170, "cost_swings": 180}
    return {
        name: Chart(name, svg_of(chart, word(lang, f"chart.{name}"), height=heights[name]), run_ids, predicted=True)
        for name, chart in drawn.items()
        if chart is not None
    }


def _cheapest(metrics: tuple[Metric, ...], ways: tuple[str, ...]) -> Iterator[Metric]:
    """Of each way the option whose year costs least."""
    for way in ways:
        years = [one for one in metrics if one.name == "year_won" and one.labels.get("way") == way]
        if years:
            yield min(years, key=lambda one: one.value)


def _bills(metrics: tuple[Metric, ...], lang: str) -> Any:
    rows = []
    names = [word(lang, f"group.{group}") for group in _GROUPS]
    for year in _cheapest(metrics, ("own", "cloud", "managed", "api", "seats")):
        for order, (group, lines) in enumerate(_GROUPS.items()):
            won = sum(
                one.value
                for one in metrics
                if one.name == "line_won"
                and all(one.labels[key] == year.labels[key] for key in ("way", "option"))
                and one.labels["line"] in lines
            )
            way = word(lang, f"way.{year.labels['way']}")
            rows.append({"row": way, "part": word(lang, f"group.{group}"), "y": won * _MILLION, "order": order})
    if not rows:
        return None
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height=18, stroke=PAPER, strokeWidth=1)
        .encode(
            y=alt.Y("row:N", title=None, sort=None, axis=alt.Axis(domain=False, ticks=False, labelColor=INK)),
            x=alt.X("y:Q", title=word(lang, "unit.million_won"), stack="zero", axis=alt.Axis(tickCount=5, grid=True)),
            color=alt.Color("part:N", sort=None, scale=alt.Scale(domain=names, range=list(COLOURS))),
            order="order:Q",
        )
    )


def _curves(metrics: tuple[Metric, ...], lang: str) -> Any:
    rows: list[dict[str, Any]] = []
    names = []
    for year in _cheapest(metrics, _SHOWN):
        names.append(word(lang, f"way.{year.labels['way']}"))
        rows += [
            {"x": one.labels["users"], "y": one.value * _MILLION, "series": names[-1]}
            for one in metrics
            if one.name == "demand_year_won" and all(one.labels[key] == year.labels[key] for key in ("way", "option"))
        ]
    if not rows:
        return None
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("x:Q", title=word(lang, "axis.users"), scale=alt.Scale(type="log"),
                    axis=alt.Axis(values=[10, 100, 1000, 10000, 100000], format=",d")),
            y=alt.Y("y:Q", title=word(lang, "unit.million_won"), scale=alt.Scale(type="log"),
                    axis=alt.Axis(values=[10, 100, 1000, 10000], format=",d")),
            color=alt.Color(
                "series:N",
                sort=None,
                scale=alt.Scale(domain=names, range=list(COLOURS[: len(names)])),
                legend=alt.Legend(symbolType="stroke", symbolStrokeWidth=2),  # lines alone have no filled symbol
            ),
        )
    )  # fmt: skip


def _swings(metrics: tuple[Metric, ...], lang: str) -> Any:
    swings = sorted((one for one in metrics if one.name == "swing_won"), key=lambda one: -one.value)[:_SWINGS]
    if not swings:
        return None
    rows = [
        {
            "row": assumption_name(str(one.labels["assumption"]), lang),
            "low": (one.low or 0.0) * _MILLION,
            "high": (one.high or 0.0) * _MILLION,
        }
        for one in swings
    ]
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height=12, color=COLOURS[0])
        .encode(
            y=alt.Y("row:N", title=None, sort=None,
                    axis=alt.Axis(domain=False, ticks=False, labelColor=INK, labelLimit=220)),
            x=alt.X("low:Q", title=word(lang, "unit.million_won"), scale=alt.Scale(zero=False),
                    axis=alt.Axis(tickCount=4, grid=True)),
            x2="high:Q",
        )
    )  # fmt: skip
