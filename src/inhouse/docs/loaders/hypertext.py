"""HTML: headings, paragraphs, lists, tables and code; scripts, styles and navigation are left out."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree, html

from inhouse.core.errors import UnreadableDocument
from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.delimited import table_text
from inhouse.docs.loaders.encoding import decode, named_encoding
from inhouse.docs.records import Block, BlockKind, Loaded

_NAME = re.compile(r"\w+")
_SKIPPED = frozenset(
    _NAME.findall(
        "script style template noscript head nav svg iframe object embed canvas audio video button select option input"
    )
)
_BLOCKS = frozenset(
    _NAME.findall(
        "address article aside blockquote body center dd details dialog div dl dt fieldset figure footer form header "
        "hgroup hr html legend main p section summary tbody td th tr tfoot thead caption figcaption li"
    )
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_LINES = re.compile(r" *\n *")


def load_html(source: Source) -> Loaded:
    """A web page."""
    data = source.read()
    decoded = decode(data, named=named_encoding(data))
    tree = _parse(decoded.text)
    title = "" if tree is None else _SPACE.sub(" ", tree.findtext(".//title") or "").strip()
    blocks = [] if tree is None else _Walk().blocks(tree)
    first = next((block.text for block in blocks if block.kind == "heading"), source.stem)
    return Loaded(title or first, tuple(blocks), "text/html", warnings=decoded.warnings)


def html_blocks(text: str) -> list[Block]:
    """The blocks of some HTML within another document (a mail, a Markdown file)."""
    tree = _parse(text)
    return [] if tree is None else _Walk().blocks(tree)


def _parse(text: str) -> Any:
    # The parser would believe an encoding that the text names; it is decoded already.
    parser = html.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, encoding="utf-8")
    try:
        tree = etree.fromstring(text.replace("\0", "").encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError as error:
        if not text.strip() or "empty" in str(error).lower():
            return None
        raise UnreadableDocument("The HTML is broken", why=str(error)) from None
    return tree


class _Walk:
    """Gathers blocks in reading order; text outside any paragraph becomes one."""

    def __init__(self) -> None:
        self._found: list[Block] = []
        self._text: list[str] = []
        self._kind: BlockKind = "paragraph"
        self._level = 0

    def blocks(self, tree: Any) -> list[Block]:
        self._visit(tree)
        self._flush()
        return self._found

    def _flush(self) -> None:
        text = _LINES.sub("\n", "".join(self._text)).strip()
        if text:
            self._found.append(Block(text, self._kind, self._level))
        self._text.clear()

    def _within(self, element: Any, kind: BlockKind, level: int = 0) -> None:
        self._flush()
        before = self._kind, self._level
        self._kind, self._level = kind, level
        self._inside(element)
        self._flush()
        self._kind, self._level = before

    def _inside(self, element: Any) -> None:
        self._add(element.text)
        for child in element:
            self._visit(child)
            self._add(child.tail)

    def _add(self, text: str | None) -> None:
        if text:
            self._text.append(_SPACE.sub(" ", text))

    def _visit(self, element: Any) -> None:
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag in _SKIPPED or "hidden" in element.attrib or _HIDDEN.search(element.get("style") or ""):
            return
        if tag in _HEADINGS:
            self._within(element, "heading", _HEADINGS[tag])
        elif tag in {"ul", "ol"}:
            self._flush()
            if text := "\n".join(_items(element, 0)):
                self._found.append(Block(text, "list"))
        elif tag == "table" and not element.findall(".//table"):  # one with tables inside lays a page out
            self._flush()
            if text := table_text(_rows(element)):
                self._found.append(Block(text, "table"))
        elif tag in {"pre", "listing"}:
            self._flush()
            if text := "".join(element.itertext()).strip("\n").rstrip():
                self._found.append(Block(text, "code"))
        elif tag in {"caption", "figcaption"}:
            self._within(element, "caption")
        elif tag == "br":
            self._text.append("\n")
        elif tag == "img":
            self._add(element.get("alt"))
        elif tag in _BLOCKS:
            self._within(element, self._kind, self._level)
        else:
            self._inside(element)


def _rows(table: Any) -> list[list[str]]:
    """The cells of a table; one that spans columns is followed by empty ones."""
    rows: list[list[str]] = []
    if (caption := table.find("caption")) is not None:
        rows.append([_text(caption)])
    for row in table.iter("tr"):
        cells: list[str] = []
        for cell in row:
            if cell.tag in {"td", "th"}:
                span = cell.get("colspan", "1")
                cells += [_text(cell)] + [""] * (min(int(span), 100) - 1 if span.isdecimal() else 0)
        rows.append(cells)
    return rows


def _items(element: Any, depth: int) -> list[str]:
    lines: list[str] = []
    for number, item in enumerate((child for child in element if child.tag == "li"), start=1):
        mark = f"{number}." if element.tag == "ol" else "-"
        nested = [child for child in item.iter("ul", "ol") if next(child.iterancestors("li"), None) is item]
        if text := _text(item, without=frozenset(nested)):
            lines.append(f"{'  ' * depth}{mark} {text}")
        for child in nested:
            lines += _items(child, depth + 1)
    return lines


def _text(element: Any, without: frozenset[Any] = frozenset()) -> str:
    """An element's text on one line, without scripts and without the given elements."""
    parts: list[str] = []

    def gather(inner: Any) -> None:
        if inner in without or inner.tag in _SKIPPED:
            return
        parts.append(inner.text or "")
        if inner.tag == "img":
            parts.append(inner.get("alt") or "")
        for child in inner:
            gather(child)
            parts.append(child.tail or "")
        if inner.tag in _BLOCKS or inner.tag == "br":
            parts.append(" ")

    gather(element)
    return " ".join("".join(parts).split())


LOADER = Loader("text/html", (".html", ".htm", ".xhtml"), load_html)
