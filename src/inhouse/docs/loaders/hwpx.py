"""HWPX (OWPML, KS X 6101): text, outline headings, tables, notes and text boxes from the zip's sections."""

from __future__ import annotations

import re
from typing import Any

from inhouse.core.errors import UnreadableDocument
from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.delimited import table_text
from inhouse.docs.loaders.package import REMOVE_PASSWORD, SAVE_AGAIN, Package
from inhouse.docs.records import Block, BlockKind, Loaded

_MEDIA_TYPE = "application/hwp+zip"
_SECTION = re.compile(r"Contents/section(\d+)\.xml$", re.IGNORECASE)
_OUTLINE_STYLE = re.compile(r"(?:개요|outline)\s*(\d+)", re.IGNORECASE)
_SKIPPED = frozenset(
    {"secPr", "colPr", "header", "footer", "pageNum", "autoNum", "newNum", "shapeComment", "linesegarray"}
)
_SPACES = {"tab": "\t", "lineBreak": "\n", "nbSpace": " ", "fwSpace": " ", "hyphen": "-"}


def load_hwpx(source: Source) -> Loaded:
    """An HWPX document. The names of its elements are read without their namespace, which differs by year."""
    package = Package(source)
    manifest = "META-INF/manifest.xml"
    if manifest in package.names and b"encryption-data" in package.read(manifest):
        raise UnreadableDocument("The document is encrypted", do=REMOVE_PASSWORD)
    sections = sorted((int(match[1]), name) for name in package.names if (match := _SECTION.search(name)))
    if not sections:
        raise UnreadableDocument("The file is no HWPX document", why="it holds no section", do=SAVE_AGAIN)
    walk = _Walk(*_levels(package))
    blocks: list[Block] = []
    for _, name in sections:
        walk.paragraphs(package.xml(name), blocks)
    first = next((block.text for block in blocks if block.kind == "heading"), source.stem)
    return Loaded(_title(package) or first, tuple(blocks), _MEDIA_TYPE)


def _title(package: Package) -> str:
    if "Contents/content.hpf" not in package.names:
        return ""
    for element in package.xml("Contents/content.hpf").iter():
        if _name(element) == "title" and (element.text or "").strip():
            return str(element.text.strip())
    return ""


def _levels(package: Package) -> tuple[dict[str, int], dict[str, int], frozenset[str]]:
    """Outline depth by style id and by paragraph shape id, and the shapes that are bulleted or numbered."""
    styles: dict[str, int] = {}
    shapes: dict[str, int] = {}
    lists = set()
    if "Contents/header.xml" in package.names:
        for element in package.xml("Contents/header.xml").iter():
            identity = element.get("id", "")
            if _name(element) == "style" and (
                match := _OUTLINE_STYLE.match(element.get("name") or "")
                or _OUTLINE_STYLE.match(element.get("engName") or "")
            ):
                styles[identity] = min(int(match[1]), 9)
            elif _name(element) == "paraPr":
                heading = next((child for child in element.iter() if _name(child) == "heading"), None)
                kind = "" if heading is None else heading.get("type", "")
                if heading is not None and kind == "OUTLINE" and heading.get("level", "").isdecimal():
                    shapes[identity] = int(heading.get("level")) + 1
                elif kind in {"NUMBER", "BULLET"}:
                    lists.add(identity)
    return styles, shapes, frozenset(lists)


class _Walk:
    def __init__(self, styles: dict[str, int], shapes: dict[str, int], lists: frozenset[str]) -> None:
        self._styles, self._shapes, self._lists = styles, shapes, lists

    def paragraphs(self, element: Any, into: list[Block]) -> None:
        for child in element:
            if _name(child) == "p":
                self._paragraph(child, into)
            elif _name(child) not in _SKIPPED:
                self.paragraphs(child, into)

    def _paragraph(self, paragraph: Any, into: list[Block]) -> None:
        parts: list[str] = []
        below: list[Block] = []
        self._gather(paragraph, parts, below)
        if text := "".join(parts).strip():
            into.append(Block(text, *self._kind(paragraph)))
        into += below

    def _kind(self, paragraph: Any) -> tuple[BlockKind, int]:
        shape = paragraph.get("paraPrIDRef", "")
        level = self._styles.get(paragraph.get("styleIDRef", "")) or self._shapes.get(shape)
        if level:
            return "heading", level
        return ("list" if shape in self._lists else "paragraph"), 0

    def _gather(self, element: Any, parts: list[str], below: list[Block]) -> None:
        for child in element:
            name = _name(child)
            if name == "t":
                parts.append(_run(child))
            elif name == "tbl":
                self._table(child, below)
            elif name == "equation":
                parts += [f" {script.text} " for script in child if _name(script) == "script" and script.text]
            elif name == "p":  # within a text box, a note or a comment
                self._paragraph(child, below)
            elif name not in _SKIPPED:
                self._gather(child, parts, below)

    def _table(self, table: Any, into: list[Block]) -> None:
        rows: list[list[str]] = []
        for row in table:
            if _name(row) == "caption":
                self.paragraphs(row, into)
            if _name(row) != "tr":
                continue
            cells: dict[int, str] = {}
            for place, cell in enumerate(child for child in row if _name(child) == "tc"):
                address = next((child for child in cell if _name(child) == "cellAddr"), None)
                column = address.get("colAddr", "") if address is not None else ""
                blocks: list[Block] = []
                self.paragraphs(cell, blocks)
                cells[min(int(column), 1000) if column.isdecimal() else place] = " ".join(part.text for part in blocks)
            rows.append([cells.get(column, "") for column in range(max(cells, default=-1) + 1)])
        if text := table_text(rows):
            into.append(Block(text, "table" if sum(map(len, rows)) > 1 else "paragraph"))


def _run(element: Any) -> str:
    """A run's text; tabs and line ends stand in it as elements, marks of changes and highlights too."""
    parts = [element.text or ""]
    for child in element:
        parts.append(_SPACES.get(_name(child), ""))
        parts.append(child.tail or "")
    return "".join(parts)


def _name(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


LOADER = Loader(_MEDIA_TYPE, (".hwpx",), load_hwpx)
