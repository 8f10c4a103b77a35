"""What a report is made of where it flows from top to bottom: headings, paragraphs, tables, pictures.

Plain data; knows neither what is said nor the format that it is written in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from inhouse.report.charts import Chart
from inhouse.report.message import CLOSE, OPEN


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text; `link` is the anchor that it leads to."""

    text: str
    strong: bool = False
    code: bool = False
    link: str = ""


Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of level 1 (the title) to 4; `anchor` is what links lead to."""

    level: int
    text: str
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; a `small` one carries evidence or a source."""

    spans: Spans
    small: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text, with its title."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart, with what it shows."""

    chart: Chart
    title: str
    note: Spans


@dataclass(frozen=True, slots=True)
class Code:
    """Lines as they are typed."""

    lines: tuple[str, ...]


Block = Heading | Paragraph | Grid | Picture | Code


def spans(text: str) -> Spans:
    """A sentence as pieces: its marked figures strong, what stands in backticks code."""
    found = []
    for piece in re.split(f"({OPEN}[^{CLOSE}]*{CLOSE}|`[^`]+`)", text):
        if piece.startswith("`") and len(piece) > 1:
            found.append(Span(piece[1:-1].replace(OPEN, "").replace(CLOSE, ""), code=True))
        elif piece:
            found.append(Span(piece.strip(OPEN + CLOSE), strong=piece.startswith(OPEN)))
    return tuple(found)
