"""From places on a page to lines in reading order: columns are read one after the other, cells kept apart.

Plain geometry in PDF points, the origin at the bottom left; knows no PDF library and no document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_THIN = 3.0
_LEAST_RULE = 6.0
_GUTTER = 0.7
"""The least width of the white between columns, in letter sizes."""
_PROSE_LINES = 5
_PROSE_LETTERS = 18


@dataclass(frozen=True, slots=True)
class Span:
    """Letters on one line without a wide gap between them; `size` is the font's."""

    text: str
    left: float
    right: float
    top: float
    bottom: float
    size: float
    bold: bool

    @property
    def middle(self) -> float:
        """The height of the span's middle."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a column: its spans from left to right, and the band between ruled lines that it lies in.

    `left` and `right` are the bounds of the column, `band` differs where a horizontal rule lies between.
    """

    spans: tuple[Span, ...]
    left: float
    right: float
    band: int

    @property
    def text(self) -> str:
        """The line's text."""
        return " ".join(span.text.strip() for span in self.spans)

    @property
    def size(self) -> float:
        """The size of its largest letters."""
        return max(span.size for span in self.spans)

    @property
    def top(self) -> float:
        """Its upper edge."""
        return max(span.top for span in self.spans)

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return min(span.bottom for span in self.spans)

    @property
    def bold(self) -> bool:
        """Whether all of it is bold."""
        return all(span.bold for span in self.spans)


@dataclass(slots=True)
class Rules:
    """Ruled lines: `upright` as (x, bottom, top), `level` as (y, left, right). Frames count by their edges."""

    upright: list[tuple[float, float, float]] = field(default_factory=list)
    level: list[tuple[float, float, float]] = field(default_factory=list)

    def add(self, left: float, bottom: float, right: float, top: float) -> None:
        """Takes the bounds of a drawn path in."""
        wide, high = right - left, top - bottom
        if high >= _LEAST_RULE:
            self.upright += [(left, bottom, top)] if wide < _THIN else [(left, bottom, top), (right, bottom, top)]
        if wide >= _LEAST_RULE:
            self.level += [(bottom, left, right)] if high < _THIN else [(bottom, left, right), (top, left, right)]

    def between(self, right: float, left: float, middle: float) -> bool:
        """Whether an upright rule stands between a letter's right and the next one's left edge."""
        if not self.upright or left - right < -1.0:
            return False
        return any(right - 1 <= x <= left + 1 and low <= middle <= high for x, low, high in self.upright)

    def band(self, middle: float, left: float, right: float) -> int:
        """How many level rules that run along most of a column lie above a height."""
        wanted = 0.4 * (right - left)
        heights = sorted(y for y, start, end in self.level if min(end, right) - max(start, left) >= wanted)
        band, last = 0, float("-inf")
        for y in heights:
            if y > middle and y - last > _THIN:
                band += 1
                last = y
        return band


def page_lines(spans: Sequence[Span], rules: Rules) -> list[Line]:
    """The lines of a page in reading order."""
    return [line for region in _regions(_rows(spans), depth=0) for line in _lines(region, rules)]


def _rows(spans: Sequence[Span]) -> list[list[Span]]:
    """Spans whose heights overlap by half, as rows from top to bottom."""
    rows: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: -span.middle):
        if rows:
            first = max(rows[-1], key=lambda other: other.size)
            overlap = min(first.top, span.top) - max(first.bottom, span.bottom)
            if overlap >= 0.5 * min(first.top - first.bottom, span.top - span.bottom):
                rows[-1].append(span)
                continue
        rows.append([span])
    return [sorted(row, key=lambda span: span.left) for row in rows]


def _regions(rows: list[list[Span]], depth: int) -> list[list[list[Span]]]:
    """Parts of the page that are read one after the other: where prose stands in columns, each column."""
    found: list[list[list[Span]]] = []
    plain: list[list[Span]] = []
    at = 0
    while at < len(rows):
        end, gutter = _columns(rows, at) if depth < 3 else (at, 0.0)
        if end > at:
            found += [plain] if plain else []
            plain = []
            for side in (False, True):
                column = [span for row in rows[at:end] for span in row if (span.left >= gutter) is side]
                found += _regions(_rows(column), depth + 1)
            at = end
        else:
            plain.append(rows[at])
            at += 1
    return [*found, plain] if plain else found


def _columns(rows: list[list[Span]], start: int) -> tuple[int, float]:
    """How far from `start` on a white gutter parts two columns of prose, and where it is; `start` where none does."""
    gaps: list[tuple[float, float]] = []
    best = (start, 0.0)
    for end in range(start, len(rows)):
        row = rows[end]
        open_gaps = _gaps(row)
        least = _GUTTER * max(span.size for span in row)
        if end == start:
            gaps = [gap for gap in open_gaps[1:-1] if gap[1] - gap[0] >= least]
        else:
            met = [(max(a, c), min(b, d)) for a, b in gaps for c, d in open_gaps]
            gaps = [gap for gap in met if gap[1] - gap[0] >= least]
        if not gaps:
            break
        for gap in gaps:
            middle = sum(gap) / 2
            if end + 1 - start >= _PROSE_LINES and _prose(rows[start : end + 1], middle):
                best = (end + 1, middle)
    return best


def _gaps(row: list[Span]) -> list[tuple[float, float]]:
    """The white of a row, from its left to its right."""
    gaps, edge = [], float("-inf")
    for span in row:
        if span.left > edge:
            gaps.append((edge, span.left))
        edge = max(edge, span.right)
    return [*gaps, (edge, float("inf"))]


def _prose(rows: list[list[Span]], gutter: float) -> bool:
    """Whether both sides of a gutter are lines of text that fill their column, as cells of a table do not."""
    for side in (False, True):
        spans = [span for row in rows for span in row if (span.left >= gutter) is side]
        lines = _rows(spans)
        if len(lines) < _PROSE_LINES:
            return False
        width = max(span.right for span in spans) - min(span.left for span in spans)
        filled = sum(len(line) == 1 and line[0].right - line[0].left > 0.75 * width for line in lines)
        letters = sum(len(span.text) for span in spans) / len(lines)
        if filled < 0.6 * len(lines) or letters < _PROSE_LETTERS:
            return False
    return True


def _lines(rows: list[list[Span]], rules: Rules) -> list[Line]:
    left = min(span.left for row in rows for span in row)
    right = max(span.right for row in rows for span in row)
    return [Line(tuple(row), left, right, rules.band(row[0].middle, left, right)) for row in rows]
