"""Where a collection's documents come from: folders and files, their access tags, and what lies in them now.

Reads names, sizes and times, and hashes files; loads and embeds nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inhouse.core.errors import DocumentError
from inhouse.docs.loaders.base import known_suffixes
from inhouse.docs.stores.base import VectorStore


@dataclass(frozen=True, slots=True)
class Source:
    """A folder (or one file) that a collection follows.

    `tags` are the access tags of all its documents, `rules` further ones for what lies under a folder in it: a
    document is open to callers with any of its tags, and to everybody if it has none.
    """

    place: Path
    tags: frozenset[str] = frozenset()
    rules: tuple[tuple[str, frozenset[str]], ...] = ()

    def tags_of(self, path: str) -> frozenset[str]:
        """The access tags of a document; the rule for the innermost folder goes before all others."""
        best = max((rule for rule in self.rules if _under(path, rule[0])), key=lambda rule: len(rule[0]), default=None)
        return best[1] if best else self.tags

    @property
    def root(self) -> Path:
        """The folder that documents' paths start from."""
        return self.place if self.place.is_dir() else self.place.parent


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a source: `path` within it, with / between folders; size in bytes, time in nanoseconds."""

    path: str
    file: Path
    size_bytes: int
    changed_ns: int


def scan(source: Source) -> Iterator[Found]:
    """The files that can be documents: known suffix, not hidden, no link that leads out of the source."""
    if not source.place.exists():
        raise DocumentError(
            f"{source.place} is not there",
            why="its documents are kept, for a disk that is not mounted looks the same",
            do=f"Mount it, or remove its documents: inhouse docs rm {source.place}",
        )
    suffixes = known_suffixes()
    root = source.root.resolve()
    for file in _walk(source.place):
        if file.suffix.lower() not in suffixes:
            continue
        try:
            if file.is_symlink() and not file.resolve().is_relative_to(root):
                continue
            state = file.stat()
        except OSError:  # gone since the folder was read, or not ours to look at
            continue
        yield Found(file.relative_to(source.root).as_posix(), file, state.st_size, state.st_mtime_ns)


def sha256_of(file: Path) -> str:
    """The file's content hash, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sources_of(store: VectorStore) -> list[Source]:
    """The sources that the collection follows."""
    return [
        Source(Path(place), frozenset(kept["tags"]), tuple((under, frozenset(tags)) for under, tags in kept["rules"]))
        for place, kept in store.settings().get("sources", {}).items()
    ]


def keep_source(store: VectorStore, source: Source) -> None:
    """Makes the collection follow the source, with these tags from now on."""
    kept: dict[str, Any] = dict(store.settings().get("sources", {}))
    value = {"tags": sorted(source.tags), "rules": [[under, sorted(tags)] for under, tags in source.rules]}
    if kept.get(str(source.place)) != value:
        store.set_settings({"sources": kept | {str(source.place): value}})


def forget_source(store: VectorStore, place: Path) -> None:
    """Makes the collection follow the source no longer; its documents stay until they are deleted."""
    settings = store.settings()
    for name in ("sources", "seen"):
        kept = dict(settings.get(name, {}))
        if kept.pop(str(place), None) is not None:
            store.set_settings({name: kept})


def _walk(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for folder, folders, files in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(files) if not name.startswith((".", "~$")))


def _under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
