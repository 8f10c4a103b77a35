"""Keeps a collection in step with its folders: what is new, changed, moved and gone, and nothing else, is done.

Each document is one transaction, and what a sync knows is in the store or can be found again: killed at any moment
it leaves a whole index, and the next one goes on where it was.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from inhouse.docs.embed import Embedder
from inhouse.docs.ingest import ingest_of, replacement
from inhouse.docs.load import LoadFailure, LoadLimits, load_safely
from inhouse.docs.records import Document
from inhouse.docs.sources import Found, Source, scan, sha256_of
from inhouse.docs.stores.base import Change, Delete, Move, VectorStore
from inhouse.docs.sync_lock import only_sync

_SETTLED_NS = 2_000_000_000
"""A file changed less than this before it was looked at may change again within the same tick of its clock."""

Seen = list[object]
"""What is remembered of a file to skip it: size, time, time of looking, hash, and why it failed if it did."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that could not be read, why, and what its owner can do."""

    path: str
    reason: str
    do: str


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync of one source did, as paths within it."""

    source: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    moved: tuple[tuple[str, str], ...]
    deleted: tuple[str, ...]
    retagged: tuple[str, ...]
    unchanged: int
    failed: tuple[Failed, ...]
    warnings: tuple[tuple[str, str], ...]
    seconds: float

    @property
    def any_change(self) -> bool:
        """Whether the collection was changed."""
        return bool(self.added or self.changed or self.moved or self.deleted or self.retagged)


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How far it is: `done` of `total` documents, now at `path`, whose chunks are embedded to `part` (0 to 1)."""

    done: int
    total: int
    path: str
    part: float


def sync(
    source: Source,
    store: VectorStore,
    embedder: Embedder,
    *,
    lock: Path,
    wait_s: float = 0.0,
    limits: LoadLimits | None = None,
    now: Callable[[], float] = time.time,
    on_progress: Callable[[SyncProgress], None] | None = None,
) -> SyncReport:
    """Brings the source's documents in the collection to what the source holds now.

    Args:
        source: The folder or file.
        store: The collection.
        embedder: The one that the collection was made with.
        lock: The file that keeps a second sync of this collection out on this machine.
        wait_s: How long to wait for another sync to end.
        limits: What one file may cost to load.
        now: The time in seconds since the epoch.
        on_progress: Called as documents are done.
    """
    with only_sync(lock, wait_s=wait_s), store.only_sync(wait_s=wait_s):
        return _Sync(source, store, embedder, limits, now, on_progress).run()


def watch(
    run: Callable[[], SyncReport], place: Path, stop: threading.Event, *, poll_s: float = 5.0
) -> Iterator[SyncReport]:
    """Syncs now, and again whenever something under `place` changes, until `stop` is set; a report for each change.

    Told by the system where watchfiles is installed, and by looking every `poll_s` seconds otherwise.
    """
    yield run()
    for _ in _alarms(place, stop, poll_s):
        report = run()
        if report.any_change or report.failed:
            yield report


def _alarms(place: Path, stop: threading.Event, poll_s: float) -> Iterator[None]:
    try:
        from watchfiles import watch as watch_files
    except ImportError:
        while not stop.wait(poll_s):
            yield
    else:
        # A network folder tells nobody of changes: look once a minute besides.
        for _ in watch_files(place, stop_event=stop, rust_timeout=60_000, yield_on_timeout=True):
            yield


class _Sync:
    """One sync: what it found, and what it has done so far."""

    def __init__(
        self,
        source: Source,
        store: VectorStore,
        embedder: Embedder,
        limits: LoadLimits | None,
        now: Callable[[], float],
        on_progress: Callable[[SyncProgress], None] | None,
    ) -> None:
        self.source, self.store, self.embedder, self.limits, self.now = source, store, embedder, limits, now
        self.on_progress = on_progress or (lambda _: None)
        self.started = now()
        self.ingest = ingest_of(store, embedder)
        settings = store.settings()
        self.all_seen: Mapping[str, dict[str, Seen]] = settings.get("seen", {})
        self.seen: dict[str, Seen] = {}
        self.to_cut = set(settings.get("to_cut", ()))
        self.moved: list[tuple[str, str]] = []
        self.retagged: list[str] = []
        self.failed: list[Failed] = []

    def run(self) -> SyncReport:
        """See `sync`."""
        found = {file.path: file for file in scan(self.source)}
        place = str(self.source.place)
        held = {document.path: document for document in self.store.documents() if document.source == place}
        hashes = self._hashes(found)
        found = {path: file for path, file in found.items() if path in hashes}
        changes, deleted = self._moves_and_deletions(found, held, hashes)
        if changes:
            self.store.apply(changes)  # before anything is embedded: what is gone must not be found meanwhile
        todo = [
            path for path, file in found.items()
            if (path not in held or held[path].sha256 != hashes[path] or held[path].id in self.to_cut)
            and not self._failed_before(path, file, hashes[path])
        ]  # fmt: skip
        done = self._take_in(todo, found, held, hashes)
        remaining = self.to_cut - {held[path].id for path in found if path in held}
        if self.to_cut:
            self.store.set_settings({"to_cut": sorted(remaining)})
        self._remember()
        self.store.drop_cache()
        touched = {*todo, *self.retagged, *(new for _, new in self.moved), *(failure.path for failure in self.failed)}
        return SyncReport(
            source=place,
            added=tuple(path for path in done if path not in held),
            changed=tuple(path for path in done if path in held),
            moved=tuple(self.moved),
            deleted=tuple(deleted),
            retagged=tuple(self.retagged),
            unchanged=len(found.keys() - touched),
            failed=tuple(self.failed),
            warnings=tuple((path, warning) for path, document in done.items() for warning in document.warnings),
            seconds=self.now() - self.started,
        )

    def _hashes(self, found: Mapping[str, Found]) -> dict[str, str]:
        """The content hash of each file; that of one with the size and time of last time is taken from then."""
        before = self.all_seen.get(str(self.source.place), {})
        hashes: dict[str, str] = {}
        for path, file in found.items():
            known = before.get(path)
            if known and known[:2] == [file.size_bytes, file.changed_ns] and self._settled(known):
                self.seen[path] = known
            else:
                looked_ns = time.time_ns()
                try:
                    digest = sha256_of(file.file)
                except OSError as error:
                    self.failed.append(Failed(path, error.strerror or "cannot be read", "Check the file's rights"))
                    continue
                self.seen[path] = [file.size_bytes, file.changed_ns, looked_ns, digest]
                if known and known[3] == digest:
                    self.seen[path] += known[4:]
            hashes[path] = str(self.seen[path][3])
        return hashes

    @staticmethod
    def _settled(known: Seen) -> bool:
        return int(str(known[2])) - int(str(known[1])) > _SETTLED_NS

    def _moves_and_deletions(
        self, found: Mapping[str, Found], held: dict[str, Document], hashes: Mapping[str, str]
    ) -> tuple[list[Change], list[str]]:
        """What needs no embedding; `held` is brought up to date."""
        changes: list[Change] = []
        gone: dict[str, list[Document]] = {}
        unreadable = {failure.path for failure in self.failed}
        for path, document in list(held.items()):
            if path not in found and path not in unreadable:
                gone.setdefault(document.sha256, []).append(held.pop(path))
        for path in found:
            if path not in held and gone.get(hashes[path]):
                document = gone[hashes[path]].pop(0)
                self.moved.append((document.path, path))
                held[path] = replace(document, path=path, tags=self.source.tags_of(path))
                changes.append(Move(held[path]))
            elif path in held and held[path].tags != self.source.tags_of(path):
                self.retagged.append(path)
                held[path] = replace(held[path], tags=self.source.tags_of(path))
                changes.append(Move(held[path]))
        removed = [document for documents in gone.values() for document in documents]
        return [Delete(document.id) for document in removed] + changes, sorted(document.path for document in removed)

    def _failed_before(self, path: str, file: Found, digest: str) -> bool:
        """A file that could not be read is tried again when it has changed, and reported every time."""
        known = self.seen[path]
        if len(known) < 6 or known[3] != digest:
            return False
        self.failed.append(Failed(path, str(known[4]), str(known[5])))
        return True

    def _take_in(
        self, todo: list[str], found: Mapping[str, Found], held: Mapping[str, Document], hashes: Mapping[str, str]
    ) -> dict[str, Document]:
        """Loads, cuts, embeds and stores; the documents that made it, by path."""
        done: dict[str, Document] = {}
        path_of = {found[path].file: path for path in todo}
        for count, (file, loaded) in enumerate(load_safely(path_of, self.limits, root=self.source.root)):
            path = path_of[file]
            if isinstance(loaded, LoadFailure):
                self.failed.append(Failed(path, loaded.reason, loaded.do))
                self.seen[path] += [loaded.reason, loaded.do]
                if path in held:  # what it said before is no longer so
                    self.store.apply([Delete(held[path].id)])
                continue
            document = Document(
                id=held[path].id if path in held else uuid.uuid4().hex,
                source=str(self.source.place), path=path, title=loaded.title, sha256=hashes[path],
                media_type=loaded.media_type, size_bytes=found[path].size_bytes, pages=loaded.pages,
                tags=self.source.tags_of(path), added_at=self.now(), warnings=loaded.warnings,
            )  # fmt: skip
            self.on_progress(SyncProgress(count, len(todo), path, 0.0))

            def embedded(part: int, of: int, at: int = count, name: str = path) -> None:
                self.on_progress(SyncProgress(at, len(todo), name, part / of))

            change = replacement(document, loaded, self.ingest, self.embedder, self.store, on_progress=embedded)
            self.store.apply([change])
            done[path] = document
            self.on_progress(SyncProgress(count + 1, len(todo), path, 0.0))
        return done

    def _remember(self) -> None:
        """Keeps what lets the next sync skip files; written only where it differs."""
        place = str(self.source.place)
        if self.all_seen.get(place) != self.seen:
            self.store.set_settings({"seen": {**self.all_seen, place: self.seen}})
