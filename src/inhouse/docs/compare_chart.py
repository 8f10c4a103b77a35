"""Draws compared ways as an SVG: a bar for each, with its 95 % interval. Stands alone, in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from inhouse.docs.compare import Standing

_ROW, _LEFT, _BARS, _RIGHT, _TOP = 26, 250, 320, 190, 34


def chart(standings: Sequence[Standing], figure: str, title: str) -> str:
    """The ways in their order; `figure` is a metric from 0 to 1."""
    height = _TOP + _ROW * len(standings) + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _BARS + _RIGHT} {height}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{escape(title, quote=True)}">',
        "<style>text{fill:#222}.m{fill:#666}.b{fill:#3b6fb6}.w{fill:#9bb3d3}.i{stroke:#222;stroke-width:1.5}"
        "@media(prefers-color-scheme:dark){text{fill:#eee}.m{fill:#aaa}.i{stroke:#eee}}</style>",
        f'<text x="0" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for at, standing in enumerate(standings):
        one, y = standing.tried, _TOP + _ROW * at
        metric = next((metric for metric in one.metrics if metric.name == figure), None)
        if metric is None:
            continue
        low = metric.value if metric.low is None else metric.low
        high = metric.value if metric.high is None else metric.high
        middle = y + _ROW / 2 - 2
        cost = f"{one.value('context_tokens'):.0f} tokens, {1000 * one.value('search_s'):.1f} ms"
        lines += [
            f'<text x="{_LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(one.way.name)}</text>',
            f'<rect class="{"w" if standing.worse else "b"}" x="{_LEFT}" y="{y}" '
            f'width="{_BARS * metric.value:.1f}" height="{_ROW - 6}"/>',
            f'<line class="i" x1="{_LEFT + _BARS * low:.1f}" x2="{_LEFT + _BARS * high:.1f}" '
            f'y1="{middle}" y2="{middle}"/>',
            f'<text class="m" x="{_LEFT + _BARS + 6}" y="{middle + 4}">{metric.value:.3f} · {cost}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
