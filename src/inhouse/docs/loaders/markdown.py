"""Markdown (CommonMark and tables), read by its syntax so that a # in code is no heading."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.delimited import table_text
from inhouse.docs.loaders.encoding import decode
from inhouse.docs.loaders.hypertext import html_blocks
from inhouse.docs.records import Block, Loaded

_FRONT_MATTER = re.compile(r"\A---[^\S\n]*\n(.*?)\n(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"""^title:[^\S\n]*["']?(.+?)["']?[^\S\n]*$""", re.MULTILINE)
_ANCHOR = re.compile(r"\s*\{\s*[#.][^{}]*\}\s*$")
_PARSER = MarkdownIt("commonmark", {"maxNesting": 50}).enable("table")


def load_markdown(source: Source) -> Loaded:
    """A Markdown file; the title is that of its front matter, or its first heading."""
    decoded = decode(source.read())
    text = decoded.text.replace("\r\n", "\n")
    title = ""
    if match := _FRONT_MATTER.match(text):
        named = _TITLE.search(match[1])
        title, text = named[1] if named else "", text[match.end() :]
    blocks = markdown_blocks(text)
    first = next((block.text for block in blocks if block.kind == "heading"), source.stem)
    return Loaded(title or first, tuple(blocks), "text/markdown", warnings=decoded.warnings)


def markdown_blocks(text: str) -> list[Block]:
    """The blocks of a Markdown text, lists as one block a list."""
    return [block for block in _walk(_PARSER.parse(text)) if block.text]


def _walk(tokens: Sequence[Token]) -> list[Block]:
    blocks: list[Block] = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        end = _closing(tokens, position)
        if token.type == "heading_open":
            heading = _ANCHOR.sub("", _plain(tokens[position + 1]))
            blocks.append(Block(heading, "heading", int(token.tag[1])))
        elif token.type == "paragraph_open":
            blocks.append(Block(_plain(tokens[position + 1]), "paragraph"))
        elif token.type in {"bullet_list_open", "ordered_list_open"}:
            blocks += _list(tokens[position : end + 1])
        elif token.type == "table_open":
            blocks.append(Block(_table(tokens[position:end]), "table"))
        elif token.type in {"fence", "code_block"}:
            blocks.append(Block(token.content.rstrip(), "code"))
        elif token.type == "html_block":
            blocks += html_blocks(token.content)
        elif token.type == "blockquote_open":
            blocks += _walk(tokens[position + 1 : end])
        position = end + 1
    return blocks


def _closing(tokens: Sequence[Token], start: int) -> int:
    """Where the block that opens at `start` closes; itself where it does not open."""
    if tokens[start].nesting != 1:
        return start
    depth = 0
    for position in range(start, len(tokens)):
        depth += tokens[position].nesting
        if depth == 0:
            return position
    return len(tokens) - 1


def _list(tokens: Sequence[Token]) -> list[Block]:
    """A list as one block, an item a line, indented by depth; code and tables in it stand on their own."""
    blocks: list[Block] = []
    lines: list[str] = []
    depth, mark, position = -1, "-", 0
    marks: list[str] = []

    def flush() -> None:
        if lines:
            blocks.append(Block("\n".join(lines), "list"))
            lines.clear()

    while position < len(tokens):
        token = tokens[position]
        if token.type in {"bullet_list_open", "ordered_list_open"}:
            depth += 1
        elif token.type in {"bullet_list_close", "ordered_list_close"}:
            depth -= 1
        elif token.type == "list_item_open":
            mark = f"{token.info}." if token.info else "-"
            marks.append(mark)
        elif token.type == "list_item_close":
            marks.pop()
        elif token.type == "inline":
            text = _plain(token).replace("\n", "\n" + "  " * (depth + 1))
            lines.append("  " * depth + (f"{mark} {text}" if mark else f"  {text}"))
            mark = ""
        elif token.type == "table_open" or token.type in {"fence", "code_block", "html_block"}:
            flush()
            end = _closing(tokens, position)
            blocks += _walk(tokens[position : end + 1])
            position = end
        position += 1
    flush()
    return blocks


def _table(tokens: Sequence[Token]) -> str:
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(_plain(token))
    return table_text(rows)


def _plain(inline: Token) -> str:
    """The text of a line of Markdown: marks go; words, code, a picture's description and bare tags' text stay."""
    parts = []
    for child in inline.children or ():
        if child.type in {"softbreak", "hardbreak"}:
            parts.append("\n")
        elif child.type == "html_inline":
            continue
        else:
            parts.append(child.content)
    return "".join(parts).strip()


LOADER = Loader("text/markdown", (".md", ".markdown"), load_markdown)
