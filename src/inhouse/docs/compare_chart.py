"""Draws compared ways and stores as an SVG: bars with 95 % intervals. Stands alone, in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from inhouse.core.units import format_bytes, format_seconds
from inhouse.docs.compare import Standing, Tried

_ROW, _LEFT, _BARS, _RIGHT, _TOP = 26, 250, 320, 310, 34
_STYLE = (
    "<style>svg{background:#fff}text{fill:#222}.m{fill:#666}.b{fill:#3b6fb6}.w{fill:#9bb3d3}.i{stroke:#222;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){svg{background:#1b1b1b}text{fill:#eee}.m{fill:#aaa}.i{stroke:#eee}}</style>"
)


def chart(standings: Sequence[Standing], figure: str, title: str, stores: Sequence[Standing] = ()) -> str:
    """The ways in their order, and below them the stores; `figure` is a metric from 0 to 1."""
    parts = [(title, [(one, one.tried.way.name, _reading(one.tried)) for one in standings])]
    if stores:
        way = stores[0].tried.way
        parts.append((f"Stores ({way.name})", [(one, one.tried.way.store, _keeping(one.tried)) for one in stores]))
    lines: list[str] = []
    y = 0
    for heading, rows in parts:
        lines.append(f'<text x="0" y="{y + 18}" font-weight="bold">{escape(heading)}</text>')
        y += _TOP
        for standing, name, cost in rows:
            lines += _row(standing, figure, name, cost, y)
            y += _ROW
        y += 12
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _BARS + _RIGHT} {y}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{escape(title, quote=True)}">'
    )
    return "\n".join([opening, _STYLE, *lines, "</svg>", ""])


def _row(standing: Standing, figure: str, name: str, cost: str, y: int) -> list[str]:
    metric = next((metric for metric in standing.tried.metrics if metric.name == figure), None)
    middle = y + _ROW / 2 - 2
    label = f'<text x="{_LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>'
    if metric is None:
        return [label]
    low = metric.value if metric.low is None else metric.low
    high = metric.value if metric.high is None else metric.high
    return [
        label,
        f'<rect class="{"w" if standing.worse else "b"}" x="{_LEFT}" y="{y}" '
        f'width="{_BARS * metric.value:.1f}" height="{_ROW - 6}"/>',
        f'<line class="i" x1="{_LEFT + _BARS * low:.1f}" x2="{_LEFT + _BARS * high:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text class="m" x="{_LEFT + _BARS + 6}" y="{middle + 4}">{metric.value:.3f} · {escape(cost)}</text>',
    ]


def _reading(one: Tried) -> str:
    return f"{one.value('context_tokens'):.0f} tokens, {format_seconds(one.value('search_s'))}"


def _keeping(one: Tried) -> str:
    size = "size not told" if one.index_bytes is None else format_bytes(one.index_bytes)
    return f"{format_seconds(one.value('search_s'))}, added in {format_seconds(one.index_s)}, {size}"
