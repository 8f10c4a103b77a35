"""The seam of file formats: what a loader is given, what it is, and where loaders are found.

A company adds a format by an entry point of the group `inhouse.loaders` whose object is a Loader; it goes
before a built-in one of the same suffix. Knows none of the formats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import PurePath
from typing import BinaryIO

from inhouse.core.errors import UnreadableDocument
from inhouse.docs.records import Loaded


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What one file may cost. Times are seconds, sizes bytes.

    `memory_bytes` bounds the worker's address space (kept by the kernel on Linux; macOS does not),
    `unpacked_bytes` what a zip's parts may come to, `text_bytes` the text that a file may yield.
    """

    file_bytes: int = 256 << 20
    unpacked_bytes: int = 512 << 20
    entries: int = 20_000
    text_bytes: int = 32 << 20
    memory_bytes: int = 1536 << 20
    cpu_s: int = 120
    wall_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Source:
    """An open file to load, at its beginning. `name` is its file name, for the title and for messages."""

    file: BinaryIO
    name: str
    size_bytes: int
    limits: LoadLimits

    @property
    def stem(self) -> str:
        """The name without its suffix: the title of a document that has none."""
        return PurePath(self.name).stem

    def head(self, count: int = 8) -> bytes:
        """The first bytes, without moving on."""
        self.file.seek(0)
        head = self.file.read(count)
        self.file.seek(0)
        return head

    def read(self) -> bytes:
        """All bytes."""
        self.file.seek(0)
        return self.file.read()


@dataclass(frozen=True, slots=True)
class Loader:
    """Reads one format. `load` raises UnreadableDocument with a reason and what to do; any other exception
    is reported as a broken file. `suffixes` are in lower case with their dot.
    """

    media_type: str
    suffixes: tuple[str, ...]
    load: Callable[[Source], Loaded]


GROUP = "inhouse.loaders"

_MODULES = {
    ".pdf": "pdf",
    ".docx": "docx",
    ".docm": "docx",
    ".pptx": "pptx",
    ".pptm": "pptx",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".html": "hypertext",
    ".htm": "hypertext",
    ".xhtml": "hypertext",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".rst": "text",
    ".csv": "delimited",
    ".tsv": "delimited",
    ".eml": "mail",
    ".hwpx": "hwpx",
    ".hwp": "hwp",
}
"""Suffix → module of this folder. A module is imported when its format is first met."""

_OLDER = {
    ".doc": ".docx",
    ".xls": ".xlsx",
    ".ppt": ".pptx",
    ".rtf": ".docx",
    ".odt": ".docx",
    ".ods": ".xlsx",
    ".odp": ".pptx",
    ".msg": ".eml",
    ".mht": ".html",
    ".epub": ".html",
    ".hml": ".hwpx",
}
"""Formats that are not read, and the one to save them as."""


def find_loader(name: str) -> Loader:
    """The loader for a file's name; UnreadableDocument names what to save it as where there is none."""
    suffix = PurePath(name).suffix.lower()
    for entry in entry_points(group=GROUP):
        loader = entry.load()
        if isinstance(loader, Loader) and suffix in loader.suffixes:
            return loader
    if suffix in _MODULES:
        found = import_module(f"inhouse.docs.loaders.{_MODULES[suffix]}").LOADER
        assert isinstance(found, Loader)
        return found
    newer = _OLDER.get(suffix)
    raise UnreadableDocument(
        f"The format {suffix} is not read" if suffix else "The file has no suffix that names its format",
        do=f"Save it as {newer} and add that" if newer else f"Known are {', '.join(sorted(known_suffixes()))}",
    )


def known_suffixes() -> frozenset[str]:
    """The suffixes that can be loaded, those of other packages included."""
    others = (entry.load() for entry in entry_points(group=GROUP))
    return frozenset(_MODULES).union(*(other.suffixes for other in others if isinstance(other, Loader)))
