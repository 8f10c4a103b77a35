"""Blocks as Markdown that shows every text as it is; knows nothing of what the blocks say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from inhouse.report.blocks import Block, Code, Grid, Heading, Paragraph, Picture, Span


def render_markdown(blocks: Iterable[Block]) -> str:
    """The blocks as one text. Charts are left out: their figures stand in the tables."""
    lines: list[str] = []
    for block in blocks:
        lines += [*_lines(block), ""]
    return "\n".join(lines)


def _lines(block: Block) -> list[str]:
    match block:
        case Heading():
            anchor = f'<a id="{block.anchor}"></a>' if block.anchor else ""
            return [*([anchor, ""] if anchor else []), f"{'#' * block.level} {escape(block.text)}"]
        case Paragraph():
            text = "".join(map(_span, block.spans))
            return [f"- {text}" if block.small else text]
        case Grid():
            title = [f"**{escape(block.title)}**", ""] if block.title else []
            return [*title, *grid_lines(block.head, block.rows)]
        case Code():
            return code_lines(block.lines)
        case Picture():
            return []


def _span(span: Span) -> str:
    text = f"`{plain(_one_line(span.text))}`" if span.code else escape(span.text)
    if span.strong and text.strip():
        # Stars close nothing between a sign and a Korean ending (14.7%입니다); tags do.
        inner = text.strip()
        stars = inner[0].isalnum() and inner[-1].isalnum()
        text = (f"**{inner}**" if stars else f"<b>{inner}</b>") + (" " if text.endswith(" ") else "")
    return f"[{text}](#{span.link})" if span.link else text


def grid_lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(escape(cell) for cell in cells) + " |"

    return [line(head), "|" + " --- |" * len(head), *(line(row) for row in rows)]


def code_lines(commands: Iterable[str], language: str = "") -> list[str]:
    """Lines of code that cannot close the block they stand in."""
    lines = (re.sub(r"[\x00-\x1f\x7f]+", " ", line).replace("```", "'''") for line in commands)
    return [f"```{language}", *lines, "```"]


def plain(figure: str) -> str:
    """A filled-in figure without what would open or close a code span."""
    return figure.replace("`", "'")


def escape(text: str) -> str:
    """Text as Markdown that shows it as it is, on one line; what stands in backticks stays code."""
    pieces = re.split(r"(`[^`]*`)", _one_line(text))
    return "".join(piece if piece.startswith("`") and len(piece) > 1 else _escape_plain(piece) for piece in pieces)


def _one_line(text: str) -> str:
    """The text without line breaks and control characters; a space at its ends may stand between two spans."""
    return re.sub(r"[\x00-\x1f\x7f]", "", re.sub(r"[^\S\u00a0]+", " ", text))


def _escape_plain(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", text)
