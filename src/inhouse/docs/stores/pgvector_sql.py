"""The SQL of the pgvector store: tables, BM25, filters, and rows to records. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inhouse.docs.records import Chunk, Document
from inhouse.docs.stores.base import Filter, StoredChunk, Vectors

SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'm')
"""
TABLES = """
CREATE TABLE IF NOT EXISTS version (number bigint NOT NULL);
INSERT INTO version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM version);
CREATE TABLE IF NOT EXISTS settings (name text PRIMARY KEY, value jsonb NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
  number bigserial PRIMARY KEY, id text NOT NULL UNIQUE, source text NOT NULL, path text NOT NULL, title text NOT NULL,
  sha256 text NOT NULL, media_type text NOT NULL, size_bytes bigint NOT NULL, pages int, tags text[] NOT NULL,
  added_at double precision NOT NULL, warnings text[] NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (
  id bigserial PRIMARY KEY, document bigint NOT NULL REFERENCES documents ON DELETE CASCADE, ord int NOT NULL,
  text text NOT NULL, headings text[] NOT NULL, page int, sheet text, tokens int NOT NULL, parent int,
  key bytea, vector vector, length int, terms int[], counts smallint[], UNIQUE (document, ord));
ALTER TABLE chunks ADD COLUMN IF NOT EXISTS windows bytea;
ALTER TABLE chunks ALTER COLUMN vector SET STORAGE PLAIN;
CREATE INDEX IF NOT EXISTS chunks_key ON chunks (key);
CREATE INDEX IF NOT EXISTS chunks_terms ON chunks USING gin (terms);
CREATE TABLE IF NOT EXISTS cache (key bytea PRIMARY KEY, vector vector NOT NULL);
"""

INSERT_DOCUMENT = """
INSERT INTO documents (id, source, path, title, sha256, media_type, size_bytes, pages, tags, added_at, warnings)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET source = excluded.source, path = excluded.path, title = excluded.title,
  sha256 = excluded.sha256, media_type = excluded.media_type, size_bytes = excluded.size_bytes, pages = excluded.pages,
  tags = excluded.tags, added_at = excluded.added_at, warnings = excluded.warnings
RETURNING number"""

DOCUMENTS = """SELECT id, source, path, title, sha256, media_type, size_bytes, pages, tags, added_at, warnings
  FROM documents"""

CHUNKS = """SELECT c.id, d.id, c.text, c.headings, c.page, c.sheet, c.ord, c.tokens, c.parent, c.vector IS NOT NULL,
  d.title, d.path, d.tags FROM chunks c JOIN documents d ON d.number = c.document"""

COPY_CHUNKS = """
COPY chunks (document, ord, text, headings, page, sheet, tokens, parent, key, vector, length, terms, counts,
  windows)
FROM STDIN (FORMAT BINARY)"""
COPIED_TYPES = (
    "int8", "int4", "text", "text[]", "int4", "text", "int4", "int4", "bytea", "vector", "int4", "int4[]", "int2[]",
    "bytea",
)  # fmt: skip

BM25 = """
WITH asked AS (SELECT unnest(%(terms)s::int[]) AS term),
total AS (SELECT count(length)::float8 AS n, avg(length)::float8 AS average FROM chunks),
hit AS (
  SELECT c.id, c.document, c.length, a.term, c.counts[array_position(c.terms, a.term)]::float8 AS tf
  FROM asked a JOIN chunks c ON c.terms @> ARRAY[a.term]),
frequency AS (SELECT term, count(*)::float8 AS n FROM hit GROUP BY term)
SELECT id, sum(ln(1 + (total.n - frequency.n + 0.5) / (frequency.n + 0.5))
               * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / average))) AS score
FROM hit JOIN frequency USING (term) CROSS JOIN total WHERE /* only */
GROUP BY id ORDER BY score DESC, id LIMIT %(k)s"""


def condition(where: Filter | None) -> tuple[str, dict[str, Any]]:
    """A condition on `document` and its parameters."""
    parts: list[str] = []
    given: dict[str, Any] = {}
    if where is not None and where.tags_any is not None:
        parts.append("(tags = '{}' OR tags && %(tags)s::text[])")
        given["tags"] = sorted(where.tags_any)
    if where is not None and where.document_ids is not None:
        parts.append("id = ANY(%(ids)s)")
        given["ids"] = sorted(where.document_ids)
    if where is not None and where.path_prefix:
        parts.append("starts_with(path, %(prefix)s)")
        given["prefix"] = where.path_prefix
    if where is not None and where.media_type is not None:
        parts.append("media_type = %(media_type)s")
        given["media_type"] = where.media_type
    if not parts:
        return "TRUE", {}
    return f"document IN (SELECT number FROM documents WHERE {' AND '.join(parts)})", given  # noqa: S608


def read_chunk(row: Sequence[Any]) -> StoredChunk:
    """The chunk in a row of CHUNKS."""
    chunk = Chunk(row[2], tuple(row[3]), row[4], row[5], row[6], row[7], row[8], bool(row[9]))
    return StoredChunk(row[0], row[1], chunk, row[10], row[11], frozenset(row[12]))


def read_document(row: Sequence[Any]) -> Document:
    """The document in a row of DOCUMENTS."""
    document_id, source, path, title, sha256, media, size, pages, tags, added_at, warnings = row
    return Document(
        document_id, source, path, title, sha256, media, size, pages, frozenset(tags), added_at, tuple(warnings)
    )


def clean(text: str) -> str:
    """The text as PostgreSQL takes it: no NUL, no lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def array_of(vector: Any) -> Vectors:
    """The vector that the server gave, as an array."""
    return np.asarray(vector.to_numpy() if hasattr(vector, "to_numpy") else vector, np.float32)
