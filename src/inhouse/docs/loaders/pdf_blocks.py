"""From the lines of a PDF's pages to blocks: paragraphs, tables, headings by letter size; running heads go.

Knows lines and their places only.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from inhouse.docs.loaders.delimited import table_text
from inhouse.docs.loaders.pdf_layout import Line, Span
from inhouse.docs.records import Block

_LARGER = 1.12
"""A heading's letters are larger than the text's by so much, or bold where the text is not."""
_LONGEST_HEADING = 160
_EDGE = 0.08
"""Running heads and feet stand within this share of the height that text takes, at its top and bottom."""
_BULLET = re.compile(r"\s*(?:[•●○◦▪■□◆◇▶▷‣※☞①-⑳∙·–*-]|\(?\d{1,2}[.)]|\(?[가-하][.)]|[①-⑳])\s")
_SENTENCE_END = re.compile(r"[.!?。:;][\"'”’)\]]*\s*$")
_DIGITS = re.compile(r"\d+")
_HANGUL_END = re.compile(r"[가-힣]$")
_HANGUL_START = re.compile(r"[가-힣]")


def page_blocks(pages: Sequence[Sequence[Line]]) -> list[Block]:
    """All pages' blocks; pages count from 1."""
    repeated = _repeated(pages)
    kept = [[line for line in page if _mark(line) not in repeated] for page in pages]
    body = _body(kept)
    sizes = _heading_sizes(kept, body)
    # Where lines keep the space at their end, a Korean line without one breaks within a word.
    spaced = any(line.spans[-1].text.endswith(" ") for page in kept for line in page)
    maker = _Maker(body, sizes, spaced)
    return [block for number, lines in enumerate(kept, start=1) for block in maker.page(lines, number)]


def _mark(line: Line) -> tuple[str, int]:
    return _DIGITS.sub("#", line.text), round(line.bottom / 4)


def _repeated(pages: Sequence[Sequence[Line]]) -> set[tuple[str, int]]:
    """Lines at the upper and lower edge that stand at the same height on most pages, whatever numbers they hold."""
    filled = [page for page in pages if page]
    if len(filled) < 3:
        return set()
    low = min(line.bottom for page in filled for line in page)
    high = max(line.top for page in filled for line in page)
    edge = _EDGE * (high - low)
    seen = Counter(
        mark
        for page in filled
        for mark in {_mark(line) for line in page if line.bottom < low + edge or line.top > high - edge}
    )
    return {mark for mark, count in seen.items() if count >= max(3, 0.5 * len(filled))}


def _body(pages: Sequence[Sequence[Line]]) -> tuple[float, bool]:
    """The letter size that most of the text has, and whether it is bold."""
    weights: Counter[tuple[float, bool]] = Counter()
    for page in pages:
        for line in page:
            for span in line.spans:
                weights[(_rounded(span.size), span.bold)] += len(span.text)
    return weights.most_common(1)[0][0] if weights else (0.0, False)


def _rounded(size: float) -> float:
    return round(size * 2) / 2


def _heading_sizes(pages: Sequence[Sequence[Line]], body: tuple[float, bool]) -> list[float]:
    """The letter sizes of headings, largest first; bold text of the body's size is the last."""
    larger = {_rounded(line.size) for page in pages for line in page if line.size >= _LARGER * body[0]}
    return sorted(larger, reverse=True)


class _Maker:
    def __init__(self, body: tuple[float, bool], sizes: list[float], spaced: bool) -> None:
        self._body, self._sizes, self._spaced = body, sizes, spaced

    def page(self, lines: Sequence[Line], number: int) -> list[Block]:
        blocks: list[Block] = []
        at = 0
        while at < len(lines):
            end = _table_end(lines, at)
            if end > at:
                if text := table_text(_cells(lines[at:end])):
                    blocks.append(Block(text, "table", page=number))
            else:
                end = self._paragraph_end(lines, at)
                blocks += self._paragraph(lines[at:end], number)
            at = end
        return blocks

    def _paragraph(self, lines: Sequence[Line], number: int) -> list[Block]:
        text = self._joined(lines)
        if not text:
            return []
        if level := self._level(lines, text):
            return [Block(text, "heading", level, number)]
        return [Block(text, "list" if _BULLET.match(text) else "paragraph", page=number)]

    def _level(self, lines: Sequence[Line], text: str) -> int:
        if len(text) > _LONGEST_HEADING or not any(letter.isalpha() for letter in text):
            return 0
        size = _rounded(max(line.size for line in lines))
        if size in self._sizes:
            return min(self._sizes.index(size) + 1, 6)
        bold = all(line.bold for line in lines) and not self._body[1]
        same = size >= self._body[0]
        if bold and same and len(lines) <= 2 and len(text) <= 100 and not text.endswith((".", "。", "!", ";", ",")):
            return min(len(self._sizes) + 1, 6)
        return 0

    def _paragraph_end(self, lines: Sequence[Line], start: int) -> int:
        """Where the paragraph that begins at `start` ends."""
        leading = 0.0
        end = start + 1
        while end < len(lines) and _table_end(lines, end) == end:
            before, line = lines[end - 1], lines[end]
            step = before.bottom - line.bottom
            if step <= 0 or line.bold != before.bold or abs(line.size - before.size) > 0.1 * before.size:
                break
            if step > 1.35 * leading if leading else step > 2.0 * before.size:
                break
            if _BULLET.match(line.text):
                break
            short = before.spans[-1].right < before.right - 0.12 * (before.right - before.left)
            indented = line.spans[0].left > before.spans[0].left + 0.8 * line.size
            if _SENTENCE_END.search(before.text) and (short or indented):
                break
            leading = step if not leading else min(leading, step)
            end += 1
        return end

    def _joined(self, lines: Sequence[Line]) -> str:
        text = ""
        for line in lines:
            piece = "  ".join(span.text.strip() for span in line.spans)
            open_end = text and not text.endswith(" ")
            if text.endswith("\u00ad"):
                text = text[:-1] + piece
            elif open_end and self._spaced and _HANGUL_END.search(text) and _HANGUL_START.match(piece):
                text += piece
            else:
                text = f"{text.rstrip()} {piece}" if text else piece
            if line.spans[-1].text.endswith(" "):
                text += " "
        return " ".join(text.replace("\u00ad", "-").split())


def _table_end(lines: Sequence[Line], start: int) -> int:
    """Where a table that begins at `start` ends: lines whose cells leave a common white column; else `start`."""
    if len(lines[start].spans) < 2:
        return start
    end, last = start + 1, start + 1
    edges = _covered(lines[start].spans, [])
    while end < len(lines):
        line, before = lines[end], lines[end - 1]
        step = before.bottom - line.bottom
        if step <= 0 or step > 3.5 * max(line.size, before.size):
            break
        merged = _covered(line.spans, edges)
        if len(merged) < 2 or len(merged) < min(len(edges), len(line.spans)):
            break
        if (
            len(line.spans) == 1
            and end + 1 < len(lines)
            and line.spans[0].right - line.spans[0].left > 0.6 * (merged[-1][1] - merged[0][0])
        ):
            break
        edges = merged
        end += 1
        if len(line.spans) > 1:
            last = end
        elif end - last > 2:
            break
    return last if last - start >= 2 else start


def _covered(spans: Sequence[Span], edges: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The stretches across that text covers, from left to right: the columns of a table."""
    merged: list[tuple[float, float]] = []
    for left, right in sorted([*edges, *((span.left, span.right) for span in spans)]):
        if merged and left < merged[-1][1] + 1.0:
            merged[-1] = (merged[-1][0], max(merged[-1][1], right))
        else:
            merged.append((left, right))
    return merged


def _cells(lines: Sequence[Line]) -> list[list[str]]:
    """The rows of a table. A line that goes on with a cell above joins its row: within one pair of ruled lines,
    or closely below with nothing in the first column.
    """
    columns = _covered([span for line in lines for span in line.spans], [])
    ruled = len({line.band for line in lines}) > 2
    steps = [before.bottom - line.bottom for before, line in pairwise(lines)]
    close = 0.8 * statistics.median(steps) if steps else 0.0
    rows: list[list[str]] = []
    before: Line | None = None
    for line in lines:
        row = [""] * len(columns)
        for span in line.spans:
            place = next(at for at, (left, right) in enumerate(columns) if left - 1 <= span.left <= right + 1)
            row[place] = f"{row[place]} {span.text.strip()}".strip()
        joins = before is not None and (
            line.band == before.band if ruled else not row[0] and before.bottom - line.bottom < close
        )
        if joins and rows:
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], row, strict=True)]
        else:
            rows.append(row)
        before = line
    return rows
