"""Word documents, from their XML: headings by style, lists, tables, notes, text boxes and content controls.

Deleted text of tracked changes is left out. Pages are those of Word's last layout, where it left its marks.
"""

from __future__ import annotations

import re
from typing import Any

from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.delimited import table_text
from inhouse.docs.loaders.package import Package, parse_xml
from inhouse.docs.records import Block, BlockKind, Loaded

_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = b"http://purl.oclc.org/ooxml/wordprocessingml/main"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING = re.compile(r"(?:heading|제목|개요)\s*([1-9])$", re.IGNORECASE)
_SKIPPED = frozenset({_W + "del", _W + "moveFrom", _W + "instrText", _W + "delText", _W + "pPr", _W + "rPr", _FALLBACK})


def load_docx(source: Source) -> Loaded:
    """A Word document."""
    package = Package(source)
    main = package.main_part()
    relations = package.relations(main)
    parts = {kind: target for kind, target in relations.values() if target in package.names}
    walk = _Walk(_styles(_root(package, parts["styles"])) if "styles" in parts else {})
    root = _root(package, main)
    walk.paged = next(root.iter(_W + "lastRenderedPageBreak"), None) is not None
    walk.body(root)
    pages = walk.page if walk.paged else None
    for kind in ("footnotes", "endnotes", "comments"):
        if kind in parts:
            walk.notes(_root(package, parts[kind]))
    blocks = walk.blocks if walk.paged else [_unpaged(block) for block in walk.blocks]
    named = next((block.text for block in blocks if block.kind == "heading" and block.level == 1), "")
    return Loaded(package.core_title() or named or source.stem, tuple(blocks), _MEDIA_TYPE, pages)


def _root(package: Package, name: str) -> Any:
    """A part's root; the ISO-strict names of elements are read as the usual ones."""
    return parse_xml(package.read(name).replace(_STRICT, _W[1:-1].encode()))


def _unpaged(block: Block) -> Block:
    return Block(block.text, block.kind, block.level)


def _styles(root: Any) -> dict[str, int]:
    """Style id → heading level, by the style's outline level or name, or those of the style it is based on."""
    levels: dict[str, int] = {}
    bases: dict[str, str] = {}
    for style in root.iter(_W + "style"):
        identity = style.get(_W + "styleId", "")
        name = style.find(_W + "name")
        outline = style.find(f"{_W}pPr/{_W}outlineLvl")
        base = style.find(_W + "basedOn")
        if base is not None:
            bases[identity] = base.get(_W + "val", "")
        named = (name.get(_W + "val") or "") if name is not None else ""
        if match := _HEADING.search(named):
            levels[identity] = int(match[1])
        elif named.lower() == "title":
            levels[identity] = 1
        elif outline is not None and outline.get(_W + "val", "").isdecimal():
            levels[identity] = int(outline.get(_W + "val")) + 1
    for identity in bases:
        seen, at = {identity}, identity
        while at not in levels and bases.get(at) and bases[at] not in seen:
            at = bases[at]
            seen.add(at)
        if at in levels:
            levels.setdefault(identity, levels[at])
    return {identity: level for identity, level in levels.items() if level <= 9}


class _Walk:
    """Goes through a body once, counting pages."""

    def __init__(self, styles: dict[str, int]) -> None:
        self.blocks: list[Block] = []
        self.page: int | None = 1
        self.paged = False
        self._styles = styles

    def body(self, element: Any) -> None:
        for child in element:
            if child.tag == _W + "p":
                self._paragraph(child)
            elif child.tag == _W + "tbl":
                self._table(child)
            elif child.tag not in _SKIPPED:  # content controls, custom XML, insertions
                self.body(child)

    def notes(self, root: Any) -> None:
        """Footnotes, endnotes and comments, without the lines that separate them from the page."""
        for note in root:
            if note.get(_W + "type") not in {"separator", "continuationSeparator", "continuationNotice"}:
                self.body(note)

    def _paragraph(self, paragraph: Any) -> None:
        page = self.page
        parts: list[str] = []
        boxes: list[Any] = []
        self._gather(paragraph, parts, boxes)
        text = "".join(parts).strip()
        if not parts or not parts[0].strip():
            page = self.page  # a page break leads the paragraph
        if text:
            kind, level = self._kind(paragraph)
            if kind == "list" and self.blocks and self.blocks[-1].kind == "list" and self.blocks[-1].page == page:
                text = f"{self.blocks.pop().text}\n{'  ' * level}- {text}"
            elif kind == "list":
                text = f"{'  ' * level}- {text}"
            self.blocks.append(Block(text, kind, level if kind == "heading" else 0, page))
        for box in boxes:
            self.body(box)

    def _kind(self, paragraph: Any) -> tuple[BlockKind, int]:
        properties = paragraph.find(_W + "pPr")
        if properties is None:
            return "paragraph", 0
        style = properties.find(_W + "pStyle")
        named = style.get(_W + "val", "") if style is not None else ""
        outline = properties.find(_W + "outlineLvl")
        if outline is not None and outline.get(_W + "val", "9") in "012345678":
            return "heading", int(outline.get(_W + "val")) + 1
        if named in self._styles:
            return "heading", self._styles[named]
        if properties.find(_W + "numPr") is not None or named.lower().startswith("list"):
            level = properties.find(f"{_W}numPr/{_W}ilvl")
            return "list", min(int(level.get(_W + "val", "0")), 8) if level is not None else 0
        return ("caption" if named.lower() == "caption" else "paragraph"), 0

    def _gather(self, element: Any, parts: list[str], boxes: list[Any]) -> None:
        for child in element:
            tag = child.tag
            if tag in {_W + "t", _M + "t"}:
                parts.append(child.text or "")
            elif tag in {_W + "tab", _W + "ptab"}:
                parts.append("\t")
            elif tag == _W + "cr" or (tag == _W + "br" and child.get(_W + "type") != "page"):
                parts.append("\n")
            elif tag == _W + "noBreakHyphen":
                parts.append("-")
            elif tag == _W + "lastRenderedPageBreak":
                self.page = (self.page or 0) + 1
            elif tag == _W + "txbxContent":
                boxes.append(child)
            elif tag not in _SKIPPED:
                self._gather(child, parts, boxes)

    def _table(self, table: Any) -> None:
        page, rows = self.page, []
        inner = _Walk(self._styles)
        for row in table.iter(_W + "tr"):
            if next(row.iterancestors(_W + "tbl")) is not table:
                continue  # a table in a cell is read with its cell
            cells: list[str] = []
            for cell in row.iter(_W + "tc"):
                if next(cell.iterancestors(_W + "tr")) is not row:
                    continue
                inner.blocks, inner.page = [], self.page
                inner.body(cell)
                self.page = inner.page
                cells.append(" ".join(block.text for block in inner.blocks))
                span = cell.find(f"{_W}tcPr/{_W}gridSpan")
                if span is not None and span.get(_W + "val", "").isdecimal():
                    cells += [""] * (min(int(span.get(_W + "val")), 64) - 1)
            rows.append(cells)
        if text := table_text(rows):
            # A table of one cell is a frame around text.
            self.blocks.append(Block(text, "table" if "|" in text or "\n" in text else "paragraph", page=page))


LOADER = Loader(_MEDIA_TYPE, (".docx", ".docm"), load_docx)
