"""The SQLite file of a collection: documents, chunks, terms, settings, embedding cache, transaction number.

Holds the vectors too where the store is SQLite; for a vector service it holds all but the vectors. Ranks nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inhouse.core.errors import StoreError
from inhouse.docs.records import Document
from inhouse.docs.stores.base import (
    Change,
    Counts,
    Delete,
    Filter,
    Move,
    Replace,
    StoredChunk,
    Vectors,
    check_replace,
    content_key,
)
from inhouse.docs.stores.file import CollectionFile
from inhouse.docs.stores.rows import (
    CHUNK_COLUMNS,
    DOCUMENT_COLUMNS,
    decode,
    dump,
    filter_sql,
    next_id,
    read_document,
    storable,
    stored_chunk,
    write_document,
)
from inhouse.docs.stores.terms import Bag, bag_from, bag_of
from inhouse.docs.stores.windows import Windows, windows_from

KEPT_REMOVALS = 100_000
"""Transactions whose deleted chunk ids are remembered for mirrors; one further behind is built anew."""


class Catalogue(CollectionFile):
    """What a collection's file is asked and told; `keep_vectors` where the vectors are in it as well."""

    def __init__(self, path: Path, *, keep_vectors: bool) -> None:
        self._keep_vectors = keep_vectors
        super().__init__(path)

    # --- changes ---------------------------------------------------------------------------------------------

    def reserve(self, count: int) -> int:
        """Takes ids for chunks out of use and lists them as garbage until a change claims them; the first id."""
        with self.writing() as db:
            first = next_id(db)
            db.execute("INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq) VALUES ((SELECT rowid FROM "
                       "sqlite_sequence WHERE name = 'chunks'), 'chunks', ?)", (first + count - 1,))  # fmt: skip
            db.executemany("INSERT INTO garbage VALUES (?)", ((first + n,) for n in range(count)))
        return first

    def apply(self, changes: Sequence[Change], first_id: int | None = None) -> None:
        """Makes the changes in one transaction; `first_id` is what `reserve` gave, for a vector service."""
        with self.writing() as db:
            version = db.execute("UPDATE meta SET value = value + 1 WHERE name = 'version' RETURNING value").fetchone()[
                0
            ]
            at = first_id if first_id is not None else next_id(db)
            for change in changes:
                if isinstance(change, Delete):
                    self._remove_chunks(db, change.document_id, version)
                    db.execute("DELETE FROM documents WHERE id = ?", (change.document_id,))
                elif isinstance(change, Move):
                    if not write_document(db, change.document, update_only=True):
                        raise StoreError(f"There is no document {change.document.id} to move")
                else:
                    self._remove_chunks(db, change.document.id, version)
                    number = write_document(db, change.document)
                    at = self._insert_chunks(db, change, number, at)
            db.execute("DELETE FROM removed WHERE version < ?", (version - KEPT_REMOVALS,))
            if first_id is not None:
                db.execute("DELETE FROM garbage WHERE id IN (SELECT id FROM embedded WHERE id >= ?)", (first_id,))

    def _remove_chunks(self, db: sqlite3.Connection, document_id: str, version: int) -> None:
        row = db.execute("SELECT number FROM documents WHERE id = ?", (document_id,)).fetchone()
        if row is None:
            return
        first, last = db.execute("SELECT min(id), max(id) FROM chunks WHERE document = ?", row).fetchone()
        if first is None:
            return
        inside = "id IN (SELECT id FROM chunks WHERE document = ?)"
        if not self._keep_vectors:
            db.execute(f"INSERT INTO garbage SELECT id FROM embedded WHERE {inside}", row)  # noqa: S608
        for table in ("windows", "embedded"):
            db.execute(f"DELETE FROM {table} WHERE {inside}", row)  # noqa: S608
        db.execute("DELETE FROM chunks WHERE document = ?", row)
        # A document's chunks were put in together, so their ids have no other document's between them.
        db.execute("INSERT INTO removed VALUES (?, ?, ?)", (version, first, last))

    def _insert_chunks(self, db: sqlite3.Connection, change: Replace, number: int, at: int) -> int:
        vectors = check_replace(change, self._dimensions(db, change))
        halves = iter(vectors.astype(np.float16))
        terms, keys, windows = iter(change.terms), iter(change.keys), iter(change.windows)
        used: list[tuple[bytes]] = []
        for chunk in change.chunks:
            db.execute(
                "INSERT INTO chunks VALUES (?,?,?,?,?,?,?,?,?)",
                (at, number, chunk.order, storable(chunk.text), dump(chunk.headings), chunk.page, chunk.sheet,
                 chunk.tokens, chunk.parent),
            )  # fmt: skip
            if chunk.embed:
                key = next(keys) if change.keys else content_key(chunk.text)
                half = next(halves)
                vector = half.tobytes() if self._keep_vectors else None
                db.execute(
                    "INSERT INTO embedded VALUES (?,?,?,?,?)", (at, number, key, bag_of(next(terms)).to_bytes(), vector)
                )
                used.append((key,))
                if change.windows and (mine := next(windows)):
                    db.execute("INSERT INTO windows VALUES (?, ?)", (at, mine.to_bytes()))
            at += 1
        if self._keep_vectors:
            db.executemany("DELETE FROM cache WHERE key = ?", used)
        return at

    def _dimensions(self, db: sqlite3.Connection, change: Replace) -> int | None:
        """The collection's dimensions, fixed by its first vectors."""
        row = db.execute("SELECT value FROM settings WHERE name = 'dimensions'").fetchone()
        if row is not None:
            return int(json.loads(row[0]))
        if len(change.vectors):
            db.execute("INSERT INTO settings VALUES ('dimensions', ?)", (str(np.shape(change.vectors)[-1]),))
        return None

    # --- questions -------------------------------------------------------------------------------------------

    def version(self) -> int:
        """The number of the last transaction."""
        return int(self.connection.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()[0])

    def chunks(self, ids: Iterable[int]) -> list[StoredChunk]:
        """Those of the chunks that are there, in the order asked for."""
        wanted = list(ids)
        rows = self.connection.execute(
            f"{CHUNK_COLUMNS} WHERE c.id IN (SELECT value FROM json_each(?))",  # noqa: S608
            (json.dumps(wanted),),
        )
        found = {row[0]: stored_chunk(row) for row in rows}
        return [found[number] for number in wanted if number in found]

    def chunks_of(self, document_id: str, orders: Iterable[int] | None) -> list[StoredChunk]:
        """A document's chunks in its own order."""
        only = "" if orders is None else " AND c.ord IN (SELECT value FROM json_each(?))"
        given = (document_id,) if orders is None else (document_id, json.dumps(list(orders)))
        rows = self.connection.execute(f"{CHUNK_COLUMNS} WHERE d.id = ?{only} ORDER BY c.ord", given)
        return [stored_chunk(row) for row in rows]

    def of_embedded(self, column: str, ids: Sequence[int]) -> list[Any]:
        """One column (`key`, `terms`, `vector`) of embedded chunks, in the order asked for."""
        rows = self.connection.execute(
            f"SELECT id, {column} FROM embedded WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608
            (json.dumps(list(map(int, ids))),),
        )
        found = dict(rows.fetchall())
        missing = [number for number in ids if number not in found]
        if missing:
            raise StoreError(f"Chunk {missing[0]} is not in the collection or not embedded")
        return [found[number] for number in ids]

    def vectors_among(self, ids: Sequence[int]) -> dict[int, bytes]:
        """The stored vectors of those of the ids that are embedded chunks."""
        rows = self.connection.execute(
            "SELECT id, vector FROM embedded WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
        )
        return dict(rows.fetchall())

    def all_embedded(self) -> list[int]:
        """The ids of all embedded chunks, ascending."""
        return [row[0] for row in self.connection.execute("SELECT id FROM embedded ORDER BY id")]

    def embedded_among(self, ids: Sequence[int]) -> set[int]:
        """Those of the ids that are embedded chunks."""
        rows = self.connection.execute(
            "SELECT id FROM embedded WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(map(int, ids))),)
        )
        return {row[0] for row in rows}

    def bags(self, ids: Sequence[int]) -> list[Bag]:
        """The terms of embedded chunks."""
        return [bag_from(data) for data in self.of_embedded("terms", ids)]

    def windows(self, ids: Sequence[int]) -> list[Windows]:
        """The windows of chunks; none where none are kept."""
        rows = self.connection.execute(
            "SELECT id, data FROM windows WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(map(int, ids))),),
        )
        found = dict(rows.fetchall())
        return [windows_from(found.get(number)) for number in ids]

    def documents(self, where: Filter | None) -> list[Document]:
        """The documents, by path."""
        condition, given = filter_sql(where)
        rows = self.connection.execute(f"{DOCUMENT_COLUMNS} WHERE {condition} ORDER BY path, id", given)
        return [read_document(row) for row in rows]

    def document(self, document_id: str) -> Document | None:
        """One document, if it is there."""
        row = self.connection.execute(f"{DOCUMENT_COLUMNS} WHERE id = ?", (document_id,)).fetchone()
        return None if row is None else read_document(row)

    def matching(self, where: Filter, column: str) -> list[Any]:
        """The `number` or `id` of each document that the filter lets through."""
        condition, given = filter_sql(where)
        rows = self.connection.execute(f"SELECT {column} FROM documents WHERE {condition}", given)  # noqa: S608
        return [row[0] for row in rows]

    def count(self) -> Counts:
        """How much there is."""
        row = self.connection.execute(
            "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks), (SELECT count(*) FROM embedded)"
        ).fetchone()
        return Counts(*row)

    def settings(self) -> dict[str, Any]:
        """Everything that was set."""
        return {name: json.loads(value) for name, value in self.connection.execute("SELECT name, value FROM settings")}

    def set_settings(self, values: Mapping[str, Any]) -> None:
        """Sets some."""
        with self.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)",
                [(name, dump(value)) for name, value in values.items()],
            )

    # --- what a vector service still has to forget --------------------------------------------------------------

    def garbage(self) -> list[int]:
        """Ids that were reserved and not used, or whose chunks are gone."""
        return [row[0] for row in self.connection.execute("SELECT id FROM garbage ORDER BY id")]

    def swept(self, ids: Sequence[int]) -> None:
        """Notes that the service forgot them."""
        with self.writing() as db:
            db.executemany("DELETE FROM garbage WHERE id = ?", ((number,) for number in ids))

    def ids_by_key(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """For each key that a chunk was embedded under, one such chunk."""
        found: dict[bytes, int] = {}
        for key in keys:
            row = self.connection.execute("SELECT id FROM embedded WHERE key = ? LIMIT 1", (key,)).fetchone()
            if row is not None:
                found[key] = row[0]
        return found

    # --- the embedding cache ---------------------------------------------------------------------------------

    def cached(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors that this file has for the keys."""
        found: dict[bytes, Vectors] = {}
        for table in ("cache", "embedded"):
            for start in range(0, len(keys), 500):
                some = list(keys[start : start + 500])
                marks = ",".join("?" * len(some))
                rows = self.connection.execute(
                    f"SELECT key, vector FROM {table} WHERE vector IS NOT NULL AND key IN ({marks})",  # noqa: S608
                    some,
                )
                found.update((key, decode(vector)) for key, vector in rows)
        return found

    def cached_windows(self, keys: Sequence[bytes]) -> dict[bytes, Windows]:
        """The windows of chunks embedded under the keys."""
        ids = self.ids_by_key(keys)
        found = zip(ids, self.windows(list(ids.values())), strict=True)
        return {key: windows for key, windows in found if windows}

    def cache(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Keeps vectors for a document to come."""
        with self.writing() as db:
            rows = [(key, vector.tobytes()) for key, vector in zip(keys, vectors.astype(np.float16), strict=True)]
            db.executemany("INSERT OR REPLACE INTO cache VALUES (?, ?)", rows)

    def drop_cache(self) -> None:
        """Forgets vectors that no document used."""
        with self.writing() as db:
            db.execute("DELETE FROM cache")
