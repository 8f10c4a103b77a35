"""The searchable mirror of a catalogue: segments in files beside it, shared by all processes, rebuilt at will.

Kept in step by the transaction's number: new chunks become a segment, small segments are built again as one larger,
deleted chunks are masked at once. The catalogue is the truth; nothing is in here that is not in there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from inhouse.core.errors import StoreError
from inhouse.docs.stores.base import Filter, Scored, Vectors
from inhouse.docs.stores.catalogue import KEPT_REMOVALS, Catalogue
from inhouse.docs.stores.rows import decode
from inhouse.docs.stores.segment import DamagedSegment, Mask, Row, Segment, best_of, build, quantise, read, write
from inhouse.docs.stores.terms import bag_from, term_number

LARGEST = 1 << 17
"""Rows of a segment at most; bounds the memory that building one takes (about 0.6 GB)."""
_DEAD_SHARE = 0.3
"""A segment with more deleted rows than this is built again."""
_KEPT_MASKS = 64
_SAMPLED = 8
"""Rows of a segment that are compared with the catalogue when it is opened."""


@dataclass(slots=True)
class _Part:
    """A segment and which of its rows are still there (None: all)."""

    name: str
    first: int
    last: int
    version: int
    segment: Segment
    alive: Mask | None = None

    def bury(self, spans: Sequence[tuple[int, int]]) -> None:
        """Marks chunk ids as deleted."""
        for first, last in spans:
            start, end = np.searchsorted(self.segment.ids, [first, last + 1])
            if start < end:
                # A search may be using the old mask.
                alive = np.ones(len(self.segment), bool) if self.alive is None else self.alive.copy()
                alive[start:end] = False
                self.alive = alive

    @property
    def living(self) -> int:
        return len(self.segment) if self.alive is None else int(self.alive.sum())


class Mirror:
    """Searches a catalogue's vectors and terms. Safe to use from several threads and processes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.folder = catalogue.path.with_name(catalogue.path.name + "-mirror")
        self._lock = threading.Lock()
        self._parts: tuple[_Part, ...] = ()
        self._version = -1
        self._masks: dict[Filter, list[Mask | None]] = {}

    # --- search ----------------------------------------------------------------------------------------------

    def nearest(self, vector: Vectors, k: int, where: Filter | None) -> NDArray[np.int64]:
        """Ids of the k nearest by 8-bit product, best first."""
        code, _ = quantise(np.asarray(vector, np.float32)[None])
        parts, masks = self._current(where)
        found = [part.segment.nearest(code[0], k, mask) for part, mask in zip(parts, masks, strict=True)]
        ids, _ = _merge(found, k)
        return ids

    def bm25(self, terms: Sequence[str], k: int, where: Filter | None) -> list[Scored]:
        """The k best by BM25 (Lucene's inverse document frequency), best first."""
        numbers = np.array(sorted({term_number(term) for term in terms}), np.uint32)
        parts, masks = self._current(where)
        total = sum(len(part.segment) for part in parts)
        if not len(numbers) or not total:
            return []
        frequencies = sum((part.segment.frequencies(numbers) for part in parts), np.zeros(len(numbers), np.int64))
        idf = np.log1p((total - frequencies + 0.5) / (frequencies + 0.5))
        found = [part.segment.bm25(numbers, idf, k, mask) for part, mask in zip(parts, masks, strict=True)]
        ids, scores = _merge(found, k)
        return [Scored(int(number), float(score)) for number, score in zip(ids, scores, strict=True)]

    def holds(self, ids: Sequence[int], terms: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each chunk has each of the terms; StoreError where one of them is not there (any more)."""
        numbers = np.array([term_number(term) for term in terms], np.uint32)
        wanted = np.array(ids, np.int64)
        held, there = np.zeros((len(wanted), len(numbers)), bool), np.zeros(len(wanted), bool)
        parts, masks = self._current(None)
        for part, alive in zip(parts, masks, strict=True):
            rows = np.searchsorted(part.segment.ids, wanted)
            mine = rows < len(part.segment)
            mine[mine] = part.segment.ids[rows[mine]] == wanted[mine]
            if alive is not None:
                mine[mine] = alive[rows[mine]]
            held[mine] = part.segment.holds(rows[mine], numbers)
            there |= mine
        if not there.all():
            raise StoreError(f"Chunk {wanted[~there][0]} is not in the collection or not embedded")
        return held

    def _current(self, where: Filter | None) -> tuple[tuple[_Part, ...], list[Mask | None]]:
        self.catch_up()
        with self._lock:
            parts = self._parts
            if where is None or where == Filter():
                return parts, [part.alive for part in parts]
            masks = self._masks.get(where)
            if masks is None:
                numbers = np.array(self._catalogue.matching(where, "number"), np.int64)
                allowed = np.zeros(max((int(p.segment.documents.max(initial=0)) for p in parts), default=0) + 1, bool)
                allowed[numbers[numbers < len(allowed)]] = True
                masks = [
                    allowed[part.segment.documents] & (True if part.alive is None else part.alive) for part in parts
                ]
                if len(self._masks) >= _KEPT_MASKS:
                    self._masks.clear()
                self._masks[where] = masks
            return parts, masks

    # --- keeping in step -------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Brings the mirror to the catalogue's last transaction."""
        with self._lock:
            if self._catalogue.version() == self._version:
                return
            try:
                self.folder.mkdir(exist_ok=True)
                folder: Path | None = self.folder if os.access(self.folder, os.W_OK) else None
            except OSError:
                folder = None
            with self._only_one(folder), self._catalogue.reading() as db:
                self._renew(db, folder)

    @contextmanager
    def _only_one(self, folder: Path | None) -> Iterator[None]:
        """Lets one process at a time build; without a folder to write to, each builds its own in memory."""
        if folder is None:
            yield
            return
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _renew(self, db: sqlite3.Connection, folder: Path | None) -> None:
        version = self._catalogue.version()
        listed = self._read_manifest(folder) if folder else None
        parts = list(self._parts) if listed is None else self._load(db, folder, listed)
        for part in parts:
            part.bury(
                db.execute(
                    "SELECT first, last FROM removed WHERE version > ? AND version <= ?", (part.version, version)
                ).fetchall()
            )
            part.version = max(part.version, version)
        kept = _good_prefix(parts)
        changed = len(kept) != len(parts)
        start = kept[-1].last if kept else 0
        pending: int = db.execute("SELECT count(*) FROM embedded WHERE id > ?", (start,)).fetchone()[0]
        if pending:
            while kept and len(kept[-1].segment) < 2 * pending and len(kept[-1].segment) + pending <= LARGEST:
                pending += kept.pop().living
            start = kept[-1].last if kept else 0
            kept += self._build(db, folder, start, kept, version)
            changed = True
        if folder and (changed or listed is None):
            self._write_manifest(folder, kept)
        self._parts, self._version = tuple(kept), version
        self._masks = {}

    def _build(
        self, db: sqlite3.Connection, folder: Path | None, after: int, before: Sequence[_Part], version: int
    ) -> list[_Part]:
        """Segments of all embedded chunks with ids over `after`."""
        built: list[_Part] = []
        cursor = db.execute("SELECT id, document, vector, terms FROM embedded WHERE id > ? ORDER BY id", (after,))
        while rows := [
            Row(number, document, decode(vector or b""), bag_from(terms))
            for number, document, vector, terms in cursor.fetchmany(LARGEST)
        ]:
            others = [part.segment.lengths for part in [*before, *built]]
            terms = sum(int(lengths.sum()) for lengths in others) + sum(row.bag.length for row in rows)
            arrays = build(rows, terms / (sum(map(len, others)) + len(rows)))
            name = f"{version}-{rows[0].id}-{rows[-1].id}.seg"
            segment = Segment(arrays)
            if folder is not None:
                write(folder / name, arrays)
                segment = read(folder / name)
            built.append(_Part(name, rows[0].id, rows[-1].id, version, segment))
        return built

    def _load(self, db: sqlite3.Connection, folder: Path | None, listed: Sequence[dict[str, Any]]) -> list[_Part]:
        """The listed segments, from memory where they are there; up to the first that cannot be used."""
        assert folder is not None
        have = {part.name: part for part in self._parts}
        parts: list[_Part] = []
        newest = self._catalogue.version()
        for entry in listed:
            part = have.get(entry["name"])
            if part is None or newest - part.version > KEPT_REMOVALS:
                if newest - entry["version"] > KEPT_REMOVALS:
                    break
                try:
                    segment = _open(folder / entry["name"])
                    _check_sample(db, segment)
                except (OSError, DamagedSegment, ValueError, KeyError, TypeError):
                    break
                part = _Part(entry["name"], entry["first"], entry["last"], entry["version"], segment)
            parts.append(part)
        return parts

    def _read_manifest(self, folder: Path) -> list[dict[str, Any]] | None:
        try:
            manifest = json.loads((folder / "manifest.json").read_bytes())
            return list(manifest["segments"]) if manifest["collection"] == self._catalogue.uuid else []
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _write_manifest(self, folder: Path, parts: Sequence[_Part]) -> None:
        entries = [
            {"name": p.name, "first": p.first, "last": p.last, "version": int(p.name.partition("-")[0])} for p in parts
        ]
        new = folder / "manifest.new"
        new.write_text(json.dumps({"collection": self._catalogue.uuid, "segments": entries}))
        new.replace(folder / "manifest.json")
        names = {part.name for part in parts}
        for file in folder.iterdir():
            if file.name not in names and file.name not in ("manifest.json", "lock"):
                file.unlink(missing_ok=True)  # whoever has it mapped keeps it

    def verify(self) -> bool:
        """Checks every byte of the files, and that they hold what the catalogue holds; False: was built anew."""
        self.catch_up()
        with self._lock:
            try:
                for part in self._parts:
                    if (self.folder / part.name).exists():
                        read(self.folder / part.name, whole=True)
                living = np.concatenate(
                    [p.segment.ids if p.alive is None else p.segment.ids[p.alive] for p in self._parts]
                    or [np.zeros(0, np.int64)]
                )
                there = np.array(self._catalogue.all_embedded(), np.int64)
                whole = np.array_equal(living, there)
            except (OSError, DamagedSegment):
                whole = False
            if not whole:
                shutil.rmtree(self.folder, ignore_errors=True)
                self._parts, self._version = (), -1
        self.catch_up()
        return whole

    def close(self) -> None:
        """Gives the maps back."""
        with self._lock:
            self._parts, self._version, self._masks = (), -1, {}


def _good_prefix(parts: list[_Part]) -> list[_Part]:
    """The segments before the first with too many deleted rows; what follows is built again."""
    for index, part in enumerate(parts):
        if part.living < (1 - _DEAD_SHARE) * len(part.segment):
            return parts[:index]
    return parts


def _open(path: Path) -> Segment:
    """Maps a segment; checks every byte the first time after the machine was started, as its power may have failed."""
    unchecked = path.stat().st_mtime < psutil.boot_time()
    segment = read(path, whole=unchecked)
    if unchecked:
        os.utime(path)
    return segment


def _check_sample(db: sqlite3.Connection, segment: Segment) -> None:
    """Compares some rows with the catalogue; deleted ones are skipped."""
    for place in np.linspace(0, len(segment) - 1, _SAMPLED).astype(int):
        row = db.execute("SELECT document, vector FROM embedded WHERE id = ?", (int(segment.ids[place]),)).fetchone()
        if row is None:
            continue
        codes, _ = quantise(decode(row[1] or b"")[None])
        if row[0] != segment.documents[place] or not np.array_equal(codes[0], segment.codes[place]):
            raise DamagedSegment(f"row {place} is not what the catalogue holds")


def _merge(found: Sequence[tuple[NDArray[Any], NDArray[Any]]], k: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The k best of several segments, best first; of equals the older chunk first."""
    if not found:
        return np.zeros(0, np.int64), np.zeros(0)
    ids = np.concatenate([ids for ids, _ in found])
    scores = np.concatenate([scores for _, scores in found])
    best = best_of(scores, k)
    best = best[np.lexsort((ids[best], -scores[best]))]
    return ids[best], scores[best]
