"""A collection in PostgreSQL with the pgvector extension: documents, vectors and terms in a schema of its own.

All in one database and one transaction; dense search is exact, BM25 is reckoned in SQL over arrays of terms.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from inhouse.core.errors import MissingExtra, StoreError
from inhouse.docs.records import Document
from inhouse.docs.stores import pgvector_sql as pg
from inhouse.docs.stores.base import (
    Capabilities,
    Change,
    Counts,
    Delete,
    Filter,
    Move,
    Replace,
    Scored,
    StoredChunk,
    Vectors,
    VectorStore,
    check_dimensions,
    check_replace,
    content_key,
)
from inhouse.docs.stores.pgvector_lock import take_lock
from inhouse.docs.stores.terms import Bag, bag_of, term_number
from inhouse.docs.stores.windows import Windows, windows_from


class PgVectorStore(VectorStore):
    """The collection in the database at `url`, made if it is not there. A connection a thread."""

    name = "pgvector"
    capabilities = Capabilities(sparse=True, exact=True)

    def __init__(self, url: str, collection: str) -> None:
        try:
            import psycopg
            from pgvector.psycopg import register_vector
        except ImportError:
            raise MissingExtra(
                "PostgreSQL's client or pgvector's is not installed", do="Run: pip install 'inhouse[pgvector]'"
            ) from None
        self._psycopg: Any = psycopg
        self._register = register_vector
        self._url = url
        self._schema = f"inhouse_docs_{collection}"
        self._local = threading.local()
        self._all: list[Any] = []
        self._create()

    # --- connections -----------------------------------------------------------------------------------------

    def _connect(self) -> Any:
        try:
            return self._psycopg.connect(self._url, autocommit=True, connect_timeout=10)
        except self._psycopg.Error as error:
            why = str(error).strip().splitlines()[0]
            raise StoreError("PostgreSQL cannot be reached", why=why, do="Check the URL and the server") from None

    def _create(self) -> None:
        sql = self._psycopg.sql
        with self._connect() as db, self._errors(), db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(hashtext('inhouse_docs'))")
            if db.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone() is None:
                if db.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").fetchone() is None:
                    raise StoreError(
                        "PostgreSQL has no pgvector",
                        why="the server does not have the extension installed",
                        do="Install it on the server (Debian: postgresql-17-pgvector), or use another store",
                    )
                db.execute("CREATE EXTENSION vector")
            db.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self._schema)))
            self._enter(db)
            db.execute(pg.TABLES)

    def _enter(self, db: Any) -> None:
        sql = self._psycopg.sql
        db.execute(sql.SQL("SET search_path TO {}, public").format(sql.Identifier(self._schema)))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            raise StoreError("PostgreSQL refused", why=str(error).strip().splitlines()[0]) from None

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """This thread's connection; a lost one is opened again the next time."""
        db = getattr(self._local, "db", None)
        with self._errors():
            if db is None or db.closed:
                db = self._connect()
                self._enter(db)
                self._register(db)
                self._local.db = db
                self._all.append(db)
            yield db

    def _rows(self, query: str, given: Any = ()) -> list[Any]:
        with self._open() as db:
            return list(db.execute(query, given).fetchall())

    # --- changes ---------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change]) -> None:
        """Makes the changes in one transaction; writers wait for each other at its number."""
        with self._open() as db, db.transaction():
            db.execute("UPDATE version SET number = number + 1")
            for change in changes:
                if isinstance(change, Delete):
                    db.execute("DELETE FROM documents WHERE id = %s", (change.document_id,))
                elif isinstance(change, Move):
                    self._write_document(db, change.document, must_be_there=True)
                else:
                    self._replace(db, change)

    def _write_document(self, db: Any, document: Document, *, must_be_there: bool = False) -> int:
        if must_be_there and not db.execute("SELECT 1 FROM documents WHERE id = %s", (document.id,)).fetchone():
            raise StoreError(f"There is no document {document.id} to move")
        values = (
            document.id, document.source, pg.clean(document.path), pg.clean(document.title), document.sha256,
            document.media_type, document.size_bytes, document.pages, sorted(document.tags), document.added_at,
            [pg.clean(warning) for warning in document.warnings],
        )  # fmt: skip
        return int(db.execute(pg.INSERT_DOCUMENT, values).fetchone()[0])

    def _replace(self, db: Any, change: Replace) -> None:
        row = db.execute("SELECT value FROM settings WHERE name = 'dimensions'").fetchone()
        vectors = check_replace(change, None if row is None else int(row[0]))
        if row is None and len(vectors):
            json = self._psycopg.types.json.Jsonb(vectors.shape[1])
            db.execute("INSERT INTO settings VALUES ('dimensions', %s)", (json,))
        number = self._write_document(db, change.document)
        db.execute("DELETE FROM chunks WHERE document = %s", (number,))
        rows = iter(zip(vectors, change.terms, change.keys or [b""] * len(vectors), strict=True))
        windows = iter(change.windows)
        used: list[bytes] = []
        with db.cursor().copy(pg.COPY_CHUNKS) as out:
            out.set_types(pg.COPIED_TYPES)
            for chunk in change.chunks:
                sheet = None if chunk.sheet is None else pg.clean(chunk.sheet)
                start = (number, chunk.order, pg.clean(chunk.text), [pg.clean(h) for h in chunk.headings], chunk.page,
                         sheet, chunk.tokens, chunk.parent)  # fmt: skip
                if not chunk.embed:
                    out.write_row((*start, None, None, None, None, None, None))
                    continue
                vector, terms, key = next(rows)
                bag = bag_of(terms)
                used.append(key or content_key(chunk.text))
                numbers = bag.numbers.view(np.int32).tolist()
                mine = next(windows).to_bytes() or None if change.windows else None
                out.write_row((*start, used[-1], vector, bag.length, numbers, bag.counts.tolist(), mine))
        db.execute("DELETE FROM cache WHERE key = ANY(%s)", (used,))

    # --- search ----------------------------------------------------------------------------------------------

    def dense(self, vector: Vectors, k: int, where: Filter | None = None) -> list[Scored]:
        """The k nearest by cosine, all compared."""
        wanted = np.ascontiguousarray(vector, np.float32).ravel()
        check_dimensions(len(wanted), self.settings().get("dimensions"))
        if k <= 0:
            return []
        only, given = pg.condition(where)
        rows = self._rows(
            f"SELECT id, -(vector <#> %(wanted)s) AS score FROM chunks WHERE vector IS NOT NULL AND {only}"  # noqa: S608
            " ORDER BY vector <#> %(wanted)s, id LIMIT %(k)s",
            {**given, "wanted": wanted, "k": k},
        )
        return [Scored(number, float(score)) for number, score in rows]

    def sparse(self, terms: Sequence[str], k: int, where: Filter | None = None) -> list[Scored]:
        """The k best by BM25."""
        if k <= 0 or not terms:
            return []
        numbers = np.array(sorted({term_number(term) for term in terms}), np.uint32).view(np.int32).tolist()
        only, given = pg.condition(where)
        rows = self._rows(pg.BM25.replace("/* only */", only), {**given, "terms": numbers, "k": k})
        return [Scored(number, float(score)) for number, score in rows]

    # --- questions -------------------------------------------------------------------------------------------

    def chunks(self, ids: Iterable[int]) -> list[StoredChunk]:
        """Those of the chunks that are still there."""
        wanted = list(ids)
        found = {row[0]: pg.read_chunk(row) for row in self._rows(f"{pg.CHUNKS} WHERE c.id = ANY(%s)", (wanted,))}
        return [found[number] for number in wanted if number in found]

    def chunks_of(self, document_id: str, orders: Iterable[int] | None = None) -> list[StoredChunk]:
        """A document's chunks in its own order."""
        given = None if orders is None else list(orders)
        query = f"{pg.CHUNKS} WHERE d.id = %s AND (%s::int[] IS NULL OR c.ord = ANY(%s)) ORDER BY c.ord"
        return [pg.read_chunk(row) for row in self._rows(query, (document_id, given, given))]

    def _of_embedded(self, columns: str, ids: Sequence[int]) -> list[Any]:
        query = f"SELECT id, {columns} FROM chunks WHERE vector IS NOT NULL AND id = ANY(%s)"  # noqa: S608
        found = {row[0]: row[1:] for row in self._rows(query, (list(map(int, ids)),))}
        missing = [number for number in ids if number not in found]
        if missing:
            raise StoreError(f"Chunk {missing[0]} is not in the collection or not embedded")
        return [found[number] for number in ids]

    def vectors(self, ids: Sequence[int]) -> Vectors:
        """The stored vectors, a row each."""
        rows = [pg.array_of(row[0]) for row in self._of_embedded("vector", ids)]
        return np.stack(rows) if rows else np.zeros((0, 0), np.float32)

    def terms(self, ids: Sequence[int]) -> list[Bag]:
        """What the chunks are found by."""
        rows = self._of_embedded("terms, counts", ids)
        return [Bag(np.array(terms, np.int32).view(np.uint32), np.array(counts, np.uint8)) for terms, counts in rows]

    def windows(self, ids: Sequence[int]) -> list[Windows]:
        """The chunks' windows."""
        return [windows_from(row[0]) for row in self._of_embedded("windows", ids)]

    def keys(self, ids: Sequence[int]) -> list[bytes]:
        """What the embedding cache knows the chunks by."""
        return [bytes(row[0]) for row in self._of_embedded("key", ids)]

    def documents(self, where: Filter | None = None) -> list[Document]:
        """The documents, by path."""
        only, given = pg.condition(where)
        only = only.replace("document IN", "number IN")
        query = f'{pg.DOCUMENTS} WHERE {only} ORDER BY path COLLATE "C", id'
        return [pg.read_document(row) for row in self._rows(query, given)]

    def document(self, document_id: str) -> Document | None:
        """One document, if it is there."""
        rows = self._rows(f"{pg.DOCUMENTS} WHERE id = %s", (document_id,))
        return pg.read_document(rows[0]) if rows else None

    def count(self) -> Counts:
        """How much the collection holds."""
        query = "SELECT (SELECT count(*) FROM documents), count(*), count(vector) FROM chunks"
        return Counts(*self._rows(query)[0])

    def settings(self) -> dict[str, Any]:
        """What was kept with `set_settings`."""
        return dict(self._rows("SELECT name, value FROM settings"))

    def set_settings(self, values: Mapping[str, Any]) -> None:
        """Keeps settings beside the documents."""
        write = "INSERT INTO settings VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        with self._open() as db, db.transaction():
            for name, value in values.items():
                db.execute(write, (name, self._psycopg.types.json.Jsonb(value)))

    def cached(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors that the store has for these keys."""
        query = (
            "SELECT key, vector FROM cache WHERE key = ANY(%(keys)s) UNION ALL "
            "SELECT key, vector FROM chunks WHERE key = ANY(%(keys)s)"
        )
        return {bytes(key): pg.array_of(vector) for key, vector in self._rows(query, {"keys": list(keys)})}

    def cached_windows(self, keys: Sequence[bytes]) -> dict[bytes, Windows]:
        """The windows of chunks embedded under these keys."""
        query = "SELECT key, windows FROM chunks WHERE windows IS NOT NULL AND key = ANY(%s)"
        found = {bytes(key): windows_from(data) for key, data in self._rows(query, (list(keys),))}
        return {key: windows for key, windows in found.items() if windows}

    def cache(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Keeps vectors before their document is ready."""
        write = "INSERT INTO cache VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET vector = excluded.vector"
        rows = list(zip(keys, np.asarray(vectors, np.float32), strict=True))
        with self._open() as db, db.transaction():
            db.cursor().executemany(write, rows)

    def drop_cache(self) -> None:
        """Forgets what no document used."""
        with self._open() as db:
            db.execute("DELETE FROM cache")

    def version(self) -> int:
        """The number of the last transaction."""
        return int(self._rows("SELECT number FROM version")[0][0])

    @contextmanager
    def only_sync(self, *, wait_s: float = 0.0) -> Iterator[None]:
        """Holds an advisory lock, which the server takes back from a machine that is gone."""
        with self._errors(), self._connect() as db:
            take_lock(db, self._schema, wait_s=wait_s)
            yield

    def size_bytes(self) -> int | None:
        """Bytes of the schema's tables, with their indexes."""
        return int(self._rows(pg.SIZE, (self._schema,))[0][0])

    def drop(self) -> None:
        """Drops the schema and closes every connection."""
        sql = self._psycopg.sql
        with self._open() as db:
            db.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(self._schema)))
        self.close()

    def close(self) -> None:
        """Closes every thread's connection."""
        for db in self._all:
            db.close()
