"""The pieces that chunks are packed from: each knows its tokens, its place in the document and what precedes it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from inhouse.docs.records import Block
from inhouse.docs.sentences import sentence_spans

Offsets = Callable[[str], list[tuple[int, int]]]
_WORD = re.compile(r"\S+")
_LINE = re.compile(r"[^\n]*\S[^\n]*")


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece that no chunk boundary parts.

    `gap` is what stands between it and the unit before, `section` counts the headings so far, `header` is the
    head of the table that a later `row` belongs to, which a chunk that begins with that row repeats.
    """

    text: str
    gap: str
    tokens: int
    place: int
    section: int
    headings: tuple[str, ...]
    page: int | None
    sheet: str | None
    heading: bool = False
    row: bool = False
    header: str = ""
    header_tokens: int = 0


def make_units(blocks: Sequence[Block], offsets: Offsets, limit: int, grain: str) -> list[Unit]:
    """The units of a document, none over `limit` tokens. `grain`: "words", "sentences", "blocks" (where they fit)."""
    units: list[Unit] = []
    path: list[tuple[int, str]] = []
    section = 0
    for block in blocks:
        if not block.text.strip():
            continue
        if block.kind == "heading":
            section += 1
            path = [(level, text) for level, text in path if level < block.level]
            path.append((block.level, " ".join(block.text.split())))
        headings = tuple(text for _, text in path)
        pieces = _Pieces(block.text, offsets, limit)
        header, header_tokens = pieces.header() if block.kind == "table" else ("", 0)
        last = 0
        for number, (start, end) in enumerate(pieces.spans(block, grain)):
            row = block.kind == "table" and number > 0
            tokens = pieces.tokens(start, end)
            repeats = row and header_tokens + tokens <= limit
            units.append(
                Unit(
                    block.text[start:end],
                    block.text[last:start] if number else "\n\n",
                    tokens,
                    len(units),
                    section,
                    headings,
                    block.page,
                    block.sheet,
                    heading=block.kind == "heading",
                    row=row,
                    header=header if repeats else "",
                    header_tokens=header_tokens if repeats else 0,
                )
            )
            last = end
    return units


class _Pieces:
    """Cuts one block's text, with its tokens looked up once."""

    def __init__(self, text: str, offsets: Offsets, limit: int) -> None:
        self._text, self._limit = text, limit
        self._starts = [start for start, _ in offsets(text)]

    def tokens(self, start: int, end: int) -> int:
        """Tokens that begin between two places."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def header(self) -> tuple[str, int]:
        """A table's first line, where it leaves room for rows."""
        match = _LINE.match(self._text)
        if match is None or (tokens := self.tokens(*match.span())) > self._limit // 2:
            return "", 0
        return match[0], tokens

    def spans(self, block: Block, grain: str) -> Iterator[tuple[int, int]]:
        """The pieces of a block: tables whole or by rows, lists and code by lines, text by the grain."""
        whole = _trimmed(self._text)
        if block.kind == "table":
            steps = [_lines, sentence_spans, _words]
            keep = True
        elif block.kind in {"list", "code"}:
            steps = [_lines, sentence_spans, _words]
            keep = grain == "blocks"
        else:
            steps = [sentence_spans, _words]
            keep = grain == "blocks" or block.kind == "heading"
        if grain == "words" and block.kind not in {"table", "heading"}:
            steps, keep = [_words], False
        yield from self._cut(whole, steps, keep=keep)

    def _cut(
        self, span: tuple[int, int], steps: Sequence[Callable[[str], list[tuple[int, int]]]], *, keep: bool
    ) -> Iterator[tuple[int, int]]:
        start, end = span
        if keep and self.tokens(start, end) <= self._limit:
            yield span
        elif steps:
            for first, last in steps[0](self._text[start:end]):
                yield from self._cut((start + first, start + last), steps[1:], keep=True)
        else:
            yield from self._hard(start, end)

    def _hard(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """A word longer than the limit, cut between tokens. One token is left for a cut's own mark."""
        step = max(self._limit - 2, 1)
        inside = self._starts[bisect_left(self._starts, start) : bisect_left(self._starts, end)]
        cuts = [start, *(place for place in inside[step::step] if place > start), end]
        for first, last in pairwise(cuts):
            if last > first:
                yield first, last


def _trimmed(text: str) -> tuple[int, int]:
    stripped = text.strip()
    start = text.index(stripped)
    return start, start + len(stripped)


def _lines(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _LINE.finditer(text)]


def _words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _WORD.finditer(text)]
