"""The system's page cache: how much of a file is in it, and how to put a file out of it. Linux only; no root."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import psutil

_MODEL_BYTES = 10_000_000  # mapped files smaller than this are libraries, not models


def drop(path: Path) -> bool:
    """Asks the system to forget the file's cached pages; False where it cannot be asked.

    Pages that a process maps stay, so `resident_share` must tell what came of it.
    """
    if not hasattr(os, "posix_fadvise"):
        return False
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())  # pages not yet written cannot be dropped
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError:
        return False
    return True


def resident_share(path: Path) -> float | None:
    """The share of the file's pages that are in memory (mincore); None where the system does not say."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # A private mapping may be written, which ctypes wants of a buffer; nothing is, and nothing is read.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        libc = ctypes.CDLL(None, use_errno=True)
        pages = -(-size // mmap.PAGESIZE)
        states = (ctypes.c_ubyte * pages)()
        start = ctypes.c_char.from_buffer(mapped)
        try:
            failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), states)
        finally:
            del start  # the mapping cannot be closed while something points into it
            mapped.close()
        return None if failed else sum(state & 1 for state in states) / pages
    except (OSError, ValueError, AttributeError):
        return None


def mapped_models(pids: Iterable[int]) -> tuple[Path, ...]:
    """The large files that the processes map: the model files of an engine on this machine."""
    found: set[Path] = set()
    for pid in pids:
        try:
            maps = psutil.Process(pid).memory_maps(grouped=True)
        except (psutil.Error, AttributeError):
            continue
        found |= {
            path
            for region in maps
            if (path := Path(region.path)).is_file() and ".so" not in path.name and path.stat().st_size >= _MODEL_BYTES
        }
    return tuple(sorted(found))
