"""Writes a report's files: whole or not at all, so that a reader never meets half a page."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from inhouse.core.errors import UsageError


def write_whole(path: Path, content: str | bytes) -> Path:
    """Puts the content (text as UTF-8) at `path` in one step, with its folders; returns the path.

    Raises:
        UsageError: where the place cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
            temporary.chmod(0o644)  # mkstemp lets only the owner read
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written", why=error.strerror or str(error), do="Give another path"
        ) from None
    return path
