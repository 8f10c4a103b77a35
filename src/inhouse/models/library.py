"""The model files on this machine: where they are, what is known of them, checking and removing them.

Beside each pulled file stands a note (`FILE.json`): source, sha256, size, date and duration of the pull.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from inhouse.core.errors import CorruptModel, ModelError, ModelNotPulled, UnknownModel, UsageError
from inhouse.core.settings import Settings
from inhouse.models.catalogue import CatalogueEntry, find_entry, load_catalogue
from inhouse.models.gguf import read_gguf
from inhouse.models.transfer import hash_file


@dataclass(frozen=True, slots=True)
class PullNote:
    """What the pull left on record. `verified`: the digest was known beforehand, not taken from the source."""

    name: str
    source: str
    sha256: str
    size_bytes: int
    pulled_at: str
    seconds: float
    downloaded_bytes: int
    verified: bool


@dataclass(frozen=True, slots=True)
class PulledModel:
    """A model file that is here. `sha256`, `source` and `pulled_at` are None for one put there by hand."""

    name: str
    path: Path
    size_bytes: int
    sha256: str | None
    pulled_at: datetime | None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """A file's sha256 against the one it should have. `expected` None: nothing is known to compare it with."""

    name: str
    path: Path
    size_bytes: int
    sha256: str
    expected: str | None
    ok: bool


def pulled(settings: Settings) -> list[PulledModel]:
    """The models that are here, catalogue order first, then files that the catalogue does not know."""
    folder = settings.models_dir
    names = {entry.file_name: name for name, entry in load_catalogue(settings.data_dir).items()}
    order = list(names)
    files = sorted(folder.glob("*.gguf")) if folder.is_dir() else []
    found = []
    for path in sorted(files, key=lambda file: order.index(file.name) if file.name in names else len(order)):
        if path.name.startswith(".") or not path.is_file():
            continue
        note = read_note(path)
        found.append(
            PulledModel(
                name=names.get(path.name, path.stem),
                path=path,
                size_bytes=path.stat().st_size,
                sha256=note.sha256 if note else None,
                pulled_at=datetime.fromisoformat(note.pulled_at) if note else None,
                source=note.source if note else None,
            )
        )
    return found


def model_path(settings: Settings, name: str) -> Path:
    """The file of a model by its catalogue name, or of a .gguf file given by its path.

    Raises:
        UnknownModel: No such name, no such file.
        ModelNotPulled: The catalogue knows it, but it is not here.
        CorruptModel: It is not as long as it was when it was pulled.
    """
    if name.endswith(".gguf"):
        for path in (Path(name).expanduser(), settings.models_dir / name):
            if path.is_file():
                return path
        raise UnknownModel(f"There is no model file {name}")
    stored = settings.models_dir / f"{name}.gguf"
    if name and Path(name).name == name and stored.is_file():
        return stored
    entry = find_entry(name, settings.data_dir)
    path = settings.models_dir / entry.file_name
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise ModelNotPulled(
            f"The model {entry.name} is not on this machine", do=f"Run: inhouse models pull {entry.name}"
        ) from None
    note = read_note(path)
    if note is not None and note.size_bytes != size:
        raise CorruptModel(
            f"The file of {entry.name} has changed",
            why=f"it has {size:,} bytes, {note.size_bytes:,} were pulled",
            do=f"Run: inhouse models rm {entry.name}, then: inhouse models pull {entry.name}",
        )
    return path


def known_sha256(path: Path) -> str | None:
    """The digest on record for a pulled file, without reading the file; None where there is none."""
    note = read_note(path)
    return note.sha256 if note else None


def remove(settings: Settings, name: str) -> int:
    """Removes a model's file, its note and what broken pulls of it have left; returns the bytes freed.

    Only files in the models folder are ever removed, never one given by a path outside of it.
    """
    folder = settings.models_dir.resolve()
    try:
        path = model_path(settings, name).resolve()
    except CorruptModel:
        path = folder / find_entry(name, settings.data_dir).file_name
    except ModelNotPulled as error:
        path = folder / find_entry(name, settings.data_dir).file_name
        if not list(leftovers(path)):
            raise ModelNotPulled(f"There is nothing to remove: {error.what}") from None
    if path.parent != folder:
        raise UsageError(f"{path} is not in the models folder {folder}", do="Remove it yourself if you mean to")
    freed = 0
    for file in [path, note_path(path), *leftovers(path)]:
        if file.is_file():
            freed += file.stat().st_size
            try:
                file.unlink()
            except OSError as error:
                raise ModelError(f"{file} cannot be removed", why=error.strerror or str(error)) from None
    return freed


def verify(settings: Settings, name: str) -> VerifyResult:
    """Reads the whole file and compares its sha256 with the one on record, else with the catalogue's.

    Raises:
        CorruptModel: It is no readable GGUF file at all.
    """
    path = model_path(settings, name)
    sha256 = hash_file(path).hexdigest()
    note = read_note(path)
    expected = note.sha256 if note else None
    if expected is None:
        digests = [digest for entry in _entries_of(settings, path) for digest in entry_digests(entry)]
        expected = sha256 if sha256 in digests else next(iter(digests), None)
    if expected is None or expected == sha256:
        read_gguf(path)
    return VerifyResult(name, path, path.stat().st_size, sha256, expected, expected == sha256)


def entry_digests(entry: CatalogueEntry) -> list[str]:
    """Every sha256 that the catalogue accepts for a model: the entry's own and those of its sources."""
    return [digest for digest in dict.fromkeys([entry.sha256, *(s.sha256 for s in entry.sources)]) if digest]


def note_path(path: Path) -> Path:
    """Where the note on a model file stands."""
    return path.with_name(path.name + ".json")


def read_note(path: Path) -> PullNote | None:
    """The note on a model file; None where there is none, or none that can be read."""
    try:
        return PullNote(**orjson.loads(note_path(path).read_bytes()))
    except (OSError, orjson.JSONDecodeError, TypeError):
        return None


def write_note(path: Path, note: PullNote) -> None:
    """Writes the note on a model file, whole or not at all."""
    target = note_path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_bytes(orjson.dumps(asdict(note), option=orjson.OPT_INDENT_2))
    partial.replace(target)


def now_text() -> str:
    """The time now as notes keep it (UTC, ISO 8601)."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def leftovers(path: Path) -> list[Path]:
    """Files that broken pulls of a model have left beside it."""
    return sorted(path.parent.glob(f".{path.name}.*"))


def _entries_of(settings: Settings, path: Path) -> list[CatalogueEntry]:
    return [entry for entry in load_catalogue(settings.data_dir).values() if entry.file_name == path.name]
