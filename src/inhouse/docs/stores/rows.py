"""How records stand in a catalogue's tables: the tables, and records to rows and back. Opens nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np

from inhouse.docs.records import Chunk, Document
from inhouse.docs.stores.base import Filter, StoredChunk, Vectors

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, source TEXT NOT NULL, path TEXT NOT NULL,
  title TEXT NOT NULL, sha256 TEXT NOT NULL, media_type TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  pages INTEGER, tags TEXT NOT NULL, added_at REAL NOT NULL, warnings TEXT NOT NULL);
CREATE INDEX documents_path ON documents (path);
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents, ord INTEGER NOT NULL,
  text TEXT NOT NULL, headings TEXT NOT NULL, page INTEGER, sheet TEXT, tokens INTEGER NOT NULL, parent INTEGER);
CREATE UNIQUE INDEX chunks_document ON chunks (document, ord);
CREATE TABLE embedded (id INTEGER PRIMARY KEY, document INTEGER NOT NULL, key BLOB NOT NULL, terms BLOB NOT NULL,
  vector BLOB);
CREATE INDEX embedded_key ON embedded (key);
CREATE TABLE removed (version INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE INDEX removed_version ON removed (version);
CREATE TABLE cache (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE garbage (id INTEGER PRIMARY KEY);
CREATE TABLE windows (id INTEGER PRIMARY KEY, data BLOB NOT NULL)
"""
WINDOWS = TABLES.rpartition(";")[2]
"""The table that collections of schema 1 lack."""

CHUNK_COLUMNS = """SELECT c.id, d.id, c.text, c.headings, c.page, c.sheet, c.ord, c.tokens, c.parent, e.id IS NOT NULL,
  d.title, d.path, d.tags FROM chunks c JOIN documents d ON d.number = c.document LEFT JOIN embedded e ON e.id = c.id"""
DOCUMENT_COLUMNS = """SELECT id, source, path, title, sha256, media_type, size_bytes, pages, tags, added_at, warnings
  FROM documents"""


def decode(vector: bytes) -> Vectors:
    """A stored vector (half precision) as float32."""
    return np.frombuffer(vector, np.float16).astype(np.float32)


def decode_all(vectors: Sequence[bytes]) -> Vectors:
    """Stored vectors as float32, a row each."""
    if not vectors:
        return np.zeros((0, 0), np.float32)
    return np.frombuffer(b"".join(vectors), np.float16).reshape(len(vectors), -1).astype(np.float32)


def filter_sql(where: Filter | None) -> tuple[str, list[Any]]:
    """A condition on `documents` and its parameters."""
    conditions = ["1"]
    given: list[Any] = []
    if where is not None and where.tags_any is not None:
        conditions.append(
            "(tags = '[]' OR EXISTS (SELECT 1 FROM json_each(tags) t JOIN json_each(?) a ON a.value = t.value))"
        )
        given.append(dump(sorted(where.tags_any)))
    if where is not None and where.document_ids is not None:
        conditions.append("id IN (SELECT value FROM json_each(?))")
        given.append(dump(sorted(where.document_ids)))
    if where is not None and where.path_prefix:
        conditions.append("substr(path, 1, ?) = ?")
        given += [len(where.path_prefix), where.path_prefix]
    if where is not None and where.media_type is not None:
        conditions.append("media_type = ?")
        given.append(where.media_type)
    return " AND ".join(conditions), given


def next_id(db: sqlite3.Connection) -> int:
    """The id that the next chunk gets."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
    return 1 if row is None else int(row[0]) + 1


def write_document(db: sqlite3.Connection, document: Document, *, update_only: bool = False) -> int:
    """Writes a document's row and returns its number; 0 where there is none to update."""
    values = (
        document.source, document.path, document.title, document.sha256, document.media_type, document.size_bytes,
        document.pages, dump(sorted(document.tags)), document.added_at, dump(document.warnings), document.id,
    )  # fmt: skip
    row = db.execute(
        "UPDATE documents SET source=?, path=?, title=?, sha256=?, media_type=?, size_bytes=?, pages=?, tags=?,"
        " added_at=?, warnings=? WHERE id=? RETURNING number",
        values,
    ).fetchone()
    if row is None and not update_only:
        row = db.execute(
            "INSERT INTO documents (source, path, title, sha256, media_type, size_bytes, pages, tags, added_at,"
            " warnings, id) VALUES (?,?,?,?,?,?,?,?,?,?,?) RETURNING number",
            values,
        ).fetchone()
    return 0 if row is None else int(row[0])


def storable(text: str) -> str:
    """The text without lone surrogates, which no database takes."""
    return text.encode("utf-8", "replace").decode()


def dump(value: Any) -> str:
    """A value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def stored_chunk(row: Sequence[Any]) -> StoredChunk:
    """The chunk in a row of CHUNK_COLUMNS."""
    chunk = Chunk(row[2], tuple(json.loads(row[3])), row[4], row[5], row[6], row[7], row[8], bool(row[9]))
    return StoredChunk(row[0], row[1], chunk, row[10], row[11], frozenset(json.loads(row[12])))


def read_document(row: Sequence[Any]) -> Document:
    """The document in a row of DOCUMENT_COLUMNS."""
    document_id, source, path, title, sha256, media, size, pages, tags, added_at, warnings = row
    return Document(
        document_id, source, path, title, sha256, media, size, pages,
        frozenset(json.loads(tags)), added_at, tuple(json.loads(warnings)),
    )  # fmt: skip
