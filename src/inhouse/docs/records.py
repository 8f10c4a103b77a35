"""What the parts of document QA hand to each other: Block, Loaded, Chunk, Document.

Pure data: nothing here knows a file format, an embedding model or a store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "paragraph", "list", "table", "code", "caption"]


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a document's text, in reading order.

    A table's text has one row a line, cells joined by ` | `, its first line the header. `level` is a
    heading's depth from 1 (0 for all else), `page` counts from 1, `sheet` names a workbook's sheet.
    """

    text: str
    kind: BlockKind
    level: int = 0
    page: int | None = None
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a loader read out of one file. `warnings` name what it could not read ("page 3 is a scanned …")."""

    title: str
    blocks: tuple[Block, ...]
    media_type: str
    pages: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document that is searched and cited as one.

    `order` counts a document's chunks from 0, `tokens` is the length of `text` in the embedding model's
    tokens. `headings` is the path of headings above it, outermost first. `parent` is the order of the
    chunk that holds it whole; such a parent is kept for reading, but not embedded (`embed` is false).
    """

    text: str
    headings: tuple[str, ...]
    page: int | None
    sheet: str | None
    order: int
    tokens: int
    parent: int | None = None
    embed: bool = True


@dataclass(frozen=True, slots=True)
class Document:
    """A file that a collection holds.

    `id` stays while the file is changed or moved, `source` names the folder or upload that it came from,
    `path` its place in there. `tags` are the access tags a caller needs one of; none: open to all.
    `added_at` is in seconds since the epoch.
    """

    id: str
    source: str
    path: str
    title: str
    sha256: str
    media_type: str
    size_bytes: int
    pages: int | None
    tags: frozenset[str]
    added_at: float
    warnings: tuple[str, ...]
