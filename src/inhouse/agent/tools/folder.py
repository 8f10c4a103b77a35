"""A folder and all below it, and no way out: no `..`, no symbolic link, no file that is not a plain one.

Each part of a path is opened from the one before it without following links, so that nothing swapped in between the
check and the opening leads elsewhere. Knows no tool.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inhouse.core.errors import ToolError


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies in a folder. `path` is relative to the allowed folder; size in bytes."""

    path: str
    folder: bool
    size: int


class Folder:
    """The folder at `root`, which must exist."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str, most_bytes: int) -> tuple[bytes, int]:
        """The file's first bytes, and its size."""
        with self._parent(path) as (parent, name):
            handle = _open(name, os.O_RDONLY | os.O_NONBLOCK, parent, path)
            known = os.fstat(handle)
            if not stat.S_ISREG(known.st_mode):
                os.close(handle)
                raise ToolError(f"{path} is not a file", do="List the folder first")
            with os.fdopen(handle, "rb") as file:
                return file.read(most_bytes), known.st_size

    def write(self, path: str, content: bytes, *, new: bool = False) -> bool:
        """Writes the file whole or not at all; folders in between are made. With `new`, one that is there stays.

        Whether it was written.
        """
        with self._parent(path, make=True) as (parent, name):
            made = f".{name[:100]}.{os.urandom(6).hex()}"
            handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                if new:
                    try:
                        os.link(made, name, src_dir_fd=parent, dst_dir_fd=parent)
                    except FileExistsError:
                        return False
                    finally:
                        os.unlink(made, dir_fd=parent)
                else:
                    if _is_folder(name, parent):
                        raise ToolError(f"{path} is a folder")
                    os.replace(
                        made, name, src_dir_fd=parent, dst_dir_fd=parent
                    )  # a link there is replaced, not followed
                os.fsync(parent)
                return True
            except BaseException:
                if os.access(made, os.F_OK, dir_fd=parent, follow_symlinks=False):
                    os.unlink(made, dir_fd=parent)
                raise

    def list(self, path: str, most: int) -> list[Entry]:
        """What lies in the folder, by name; links are left out."""
        parts = _parts(path, empty=True)
        with self._descend(parts, path) as handle:
            found = []
            for name in sorted(os.listdir(handle)):  # noqa: PTH208 - of a handle
                known = os.stat(name, dir_fd=handle, follow_symlinks=False)
                if stat.S_ISREG(known.st_mode) or stat.S_ISDIR(known.st_mode):
                    folder = stat.S_ISDIR(known.st_mode)
                    found.append(Entry("/".join((*parts, name)), folder, 0 if folder else known.st_size))
                if len(found) >= most:
                    break
            return found

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        parts = _parts(path)
        with self._descend(parts[:-1], path, make=make) as handle:
            yield handle, parts[-1]

    @contextmanager
    def _descend(self, parts: Sequence[str], path: str, *, make: bool = False) -> Iterator[int]:
        """The innermost folder, opened."""
        try:
            handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ToolError("The allowed folder cannot be opened", why=error.strerror or "") from None
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=handle)
                inner = _open(part, os.O_RDONLY | os.O_DIRECTORY, handle, path)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)


def _parts(path: str, *, empty: bool = False) -> tuple[str, ...]:
    if "\0" in path or "\\" in path or len(path) > 1000:
        raise ToolError(f"{path[:100]!r} is no path here", do="Write it with /, relative to the allowed folder")
    pure = PurePosixPath(path.strip() or ".")
    if pure.is_absolute() or ".." in pure.parts:
        raise ToolError(f"{path!r} leads out of the allowed folder", do="Give a path below it, without ..")
    if not pure.parts and not empty:
        raise ToolError("The path is empty", do="Name a file")
    return pure.parts


def _open(name: str, flags: int, parent: int, path: str) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        raise ToolError(f"There is no {path!r}", do="List the folder to see what there is") from None
    except OSError as error:  # a symbolic link (ELOOP), a folder, no right
        try:
            link = stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
        except OSError:
            link = False
        why = "links are not followed" if link else error.strerror or ""
        raise ToolError(f"{path!r} cannot be opened", why=why) from None


def _is_folder(name: str, parent: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
