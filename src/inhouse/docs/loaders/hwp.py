"""HWP 5 (Hangul's binary format): text, outline headings, tables, notes and text boxes from its OLE streams.

Source of the format: Hancom, "한글 문서 파일 형식 5.0" revision 1.3. The older HWP 3 is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import olefile

from inhouse.core.errors import UnreadableDocument
from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.delimited import table_text
from inhouse.docs.loaders.hwp_records import Record, decipher, inflate, read_tree
from inhouse.docs.loaders.package import OLE_MAGIC, REMOVE_PASSWORD, SAVE_AGAIN
from inhouse.docs.records import Block, BlockKind, Loaded

_MEDIA_TYPE = "application/x-hwp"
_PARA_SHAPE, _STYLE = 25, 26
_PARA_HEADER, _PARA_TEXT, _CTRL_HEADER, _LIST_HEADER, _TABLE, _EQUATION = 66, 67, 71, 72, 77, 88
_COMPRESSED, _ENCRYPTED, _DISTRIBUTION, _DRM = 1, 2, 4, 16
_LONG_CONTROLS = frozenset((*range(1, 10), *range(11, 13), *range(14, 24)))
"""Control characters that take eight places of two bytes; the rest of those under 32 take one."""
_TEXT_OF_CONTROL = {9: "\t", 10: "\n", 24: "-", 30: " ", 31: " "}
_OUTLINE_STYLE = re.compile(r"(?:개요|outline)\s*(\d+)", re.IGNORECASE)
_NOT_TEXT = frozenset({"head", "foot", "secd", "cold", "pgnp", "atno", "nwno", "pghd", "pgct", "bokm", "tcps", "tdut"})
"""Controls without text of the document's own: page furniture, sections, columns, numbers, bookmarks."""


def load_hwp(source: Source) -> Loaded:
    """An HWP 5 document; one protected by a password or DRM is refused."""
    head = source.head(32)
    if head.startswith(b"PK"):  # HWPX under the old suffix
        from inhouse.docs.loaders.hwpx import load_hwpx

        return load_hwpx(source)
    if head.startswith(b"HWP Document File V3"):
        raise UnreadableDocument("The file is of HWP 3", do="Save it as HWPX and add that")
    if head[:8] != OLE_MAGIC:
        raise UnreadableDocument("The file is no HWP document", why="it lacks the format's mark", do=SAVE_AGAIN)
    try:
        return _load_ole(source)
    except olefile.OleFileError as error:
        raise UnreadableDocument("The document is broken", why=str(error), do=SAVE_AGAIN) from None


def _load_ole(source: Source) -> Loaded:
    with olefile.OleFileIO(source.file, raise_defects=olefile.DEFECT_FATAL) as ole:
        header = _stream(ole, "FileHeader", source)
        if not header.startswith(b"HWP Document File") or len(header) < 40:
            raise UnreadableDocument("The file is no HWP document", why="its header is missing", do=SAVE_AGAIN)
        flags = int.from_bytes(header[36:40], "little")
        if flags & (_ENCRYPTED | _DRM):
            raise UnreadableDocument("The document is encrypted", do=REMOVE_PASSWORD)
        return _Reader(ole, source, flags).load()


def _stream(ole: olefile.OleFileIO, name: str, source: Source) -> bytes:
    if not ole.exists(name):
        raise UnreadableDocument(f"The document lacks its {name}", do=SAVE_AGAIN)
    if ole.get_size(name) > source.limits.unpacked_bytes:
        raise UnreadableDocument(f"The document's {name} is larger than is allowed")
    data = ole.openstream(name).read()
    assert isinstance(data, bytes)
    return data


@dataclass(frozen=True, slots=True)
class _Shapes:
    """What a paragraph's numbers mean: outline depth (or 0) by style and by paragraph shape, bulleted shapes."""

    style_levels: tuple[int, ...]
    shape_levels: tuple[int, ...]
    lists: frozenset[int]


class _Reader:
    def __init__(self, ole: olefile.OleFileIO, source: Source, flags: int) -> None:
        self._ole, self._source, self._flags = ole, source, flags
        self._left = source.limits.unpacked_bytes
        self._blocks: list[Block] = []
        self._shapes = _shapes(read_tree(self._unpacked(_stream(ole, "DocInfo", source))))

    def load(self) -> Loaded:
        folder = "ViewText" if self._flags & _DISTRIBUTION else "BodyText"
        sections = [entry[1] for entry in self._ole.listdir() if entry[0] == folder and len(entry) == 2]
        for name in sorted(sections, key=lambda name: (len(name), name)):
            data = _stream(self._ole, f"{folder}/{name}", self._source)
            if folder == "ViewText":
                data = decipher(data)
            self._paragraphs(read_tree(self._unpacked(data)), self._blocks)
        warnings = ("the document is for distribution: its author limited copying",) if folder == "ViewText" else ()
        title = self._title()
        return Loaded(title, tuple(self._blocks), _MEDIA_TYPE, warnings=warnings)

    def _unpacked(self, data: bytes) -> bytes:
        if not self._flags & _COMPRESSED:
            return data
        data = inflate(data, self._left)
        self._left -= len(data)
        return data

    def _title(self) -> str:
        """The first heading; else the title among the properties if the text has it (it is often a former one)."""
        for block in self._blocks:
            if block.kind == "heading":
                return block.text
        name = "\x05HwpSummaryInformation"
        title = self._ole.getproperties(name).get(2) if self._ole.exists(name) else None
        if isinstance(title, str):
            title = title.partition("\0")[0].strip()
            if title and any(title in block.text for block in self._blocks):
                return title
        return self._source.stem

    def _paragraphs(self, records: list[Record], into: list[Block]) -> None:
        for record in records:
            if record.tag == _PARA_HEADER:
                self._paragraph(record, into)

    def _paragraph(self, header: Record, into: list[Block]) -> None:
        text = "".join(_text(record.data) for record in header.children if record.tag == _PARA_TEXT).strip()
        below: list[Block] = []
        equations: list[str] = []
        for control in header.children:
            if control.tag == _CTRL_HEADER:
                self._control(control, below, equations)
        text = " ".join(part for part in (text, *equations) if part)
        if text:
            kind, level = self._kind(header)
            into.append(Block(text, kind, level))
        into += below

    def _kind(self, header: Record) -> tuple[BlockKind, int]:
        shape, style = header.u16(8), header.data[10] if len(header.data) > 10 else 0
        for number, levels in ((style, self._shapes.style_levels), (shape, self._shapes.shape_levels)):
            if number < len(levels) and levels[number]:
                return "heading", levels[number]
        return ("list" if shape in self._shapes.lists else "paragraph"), 0

    def _control(self, control: Record, into: list[Block], equations: list[str]) -> None:
        name = control.data[3::-1].decode("latin-1") if len(control.data) >= 4 else ""
        if name in _NOT_TEXT:
            return
        table = next((child for child in control.children if child.tag == _TABLE), None)
        if table is not None:
            self._table(control, into)
            return
        equations += [
            child.data[6 : 6 + 2 * child.u16(4)].decode("utf-16-le", "replace")
            for child in control.children
            if child.tag == _EQUATION
        ]
        self._below(control, into)

    def _below(self, record: Record, into: list[Block]) -> None:
        """Paragraphs anywhere under a control: notes, comments, text boxes within shapes."""
        for child in record.children:
            if child.tag == _PARA_HEADER:
                self._paragraph(child, into)
            elif child.tag != _PARA_TEXT:
                self._below(child, into)

    def _table(self, control: Record, into: list[Block]) -> None:
        """Cells come as a list header with their place, and then their paragraphs."""
        cells: dict[tuple[int, int], list[Block]] = {}
        current: list[Block] | None = None
        for child in control.children:
            if child.tag == _TABLE:
                current = None
            elif child.tag == _LIST_HEADER and len(child.data) >= 16 and child is not control.children[0]:
                current = cells.setdefault((child.u16(10), child.u16(8)), [])
                self._below(child, current)
            elif child.tag == _LIST_HEADER:  # the caption comes before the table record
                self._below(child, into)
            elif child.tag == _PARA_HEADER:
                self._paragraph(child, into if current is None else current)
        rows: dict[int, dict[int, str]] = {}
        for (row, column), blocks in cells.items():
            rows.setdefault(row, {})[column] = " ".join(block.text for block in blocks)
        lines = [[cells.get(column, "") for column in range(max(cells) + 1)] for _, cells in sorted(rows.items())]
        if text := table_text(lines):
            into.append(Block(text, "table" if len(cells) > 1 else "paragraph"))


def _shapes(records: list[Record]) -> _Shapes:
    """Reads DocInfo: a paragraph shape says whether it is outlined and how deep, a style has a name."""
    flat = [child for record in records for child in (record, *record.children)]
    shapes = [record for record in flat if record.tag == _PARA_SHAPE]
    levels, lists = [], set()
    for number, record in enumerate(shapes):
        kind = record.u32(0) >> 23 & 3
        levels.append((record.u32(0) >> 25 & 7) + 1 if kind == 1 else 0)
        if kind in {2, 3}:
            lists.add(number)
    styles = []
    for record in flat:
        if record.tag == _STYLE:
            name = record.data[2 : 2 + 2 * record.u16(0)].decode("utf-16-le", "replace")
            match = _OUTLINE_STYLE.match(name.strip())
            styles.append(min(int(match[1]), 9) if match else 0)
    return _Shapes(tuple(styles), tuple(levels), frozenset(lists))


def _text(data: bytes) -> str:
    """A paragraph's text without its control characters."""
    parts: list[str] = []
    at, start = 0, 0
    count = len(data) // 2
    codes = memoryview(data[: count * 2]).cast("H")
    while at < count:
        code = codes[at]
        if code >= 32:
            at += 1
            continue
        parts.append(data[start * 2 : at * 2].decode("utf-16-le", "replace"))
        parts.append(_TEXT_OF_CONTROL.get(code, ""))
        at += 8 if code in _LONG_CONTROLS else 1
        start = at
    parts.append(data[start * 2 : at * 2].decode("utf-16-le", "replace"))
    return "".join(parts)


LOADER = Loader(_MEDIA_TYPE, (".hwp",), load_hwp)
