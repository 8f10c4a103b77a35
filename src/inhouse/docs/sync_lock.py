"""One sync of a collection at a time: a file lock, which the system takes back from a process that ends.

So a killed sync leaves no lock behind. Other machines are the store's matter (`VectorStore.only_sync`).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inhouse.core.errors import DocumentError


@contextmanager
def only_sync(path: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Holds the lock at `path`; DocumentError where another process still has it after `wait_s` seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    owner = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
                    raise DocumentError(
                        "The collection is being synced", why=f"process {owner} is at it", do="Wait for it, or end it"
                    ) from None
                time.sleep(0.1)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
