"""An advisory lock of PostgreSQL: one sync of a collection at a time, over all machines.

Belongs to a connection of its own, so that the server takes it back from a process or machine that is gone.
"""

from __future__ import annotations

import time
from typing import Any

from inhouse.core.errors import DocumentError

_PAUSE_S = 0.5


def take_lock(db: Any, name: str, *, wait_s: float) -> None:
    """Takes the lock for as long as the connection lives; DocumentError where another has it after `wait_s` seconds."""
    until = time.monotonic() + wait_s
    while not db.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetchone()[0]:
        left = until - time.monotonic()
        if left <= 0:
            raise DocumentError(
                "The collection is being synced", why="by a process on another machine", do="Wait for it to end"
            )
        time.sleep(min(_PAUSE_S, left))
