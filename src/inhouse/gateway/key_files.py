"""Secret keys of the gateway itself, from the environment or from files that only their owner can read."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from inhouse.core.errors import StoreError, UsageError

_BYTES = 32


def load_key(folder: Path, name: str, environment: Mapping[str, str], *, make: bool = True) -> bytes | None:
    """The key called `name` (32 bytes): INHOUSE_<NAME>_KEY in hex, else the file <name>.key in the folder.

    A file that is missing is made, unless `make` is False: then None.

    Raises:
        UsageError: the variable is no key, or others may read the file.
        StoreError: the file cannot be read or made.
    """
    variable = f"INHOUSE_{name.upper()}_KEY"
    text = environment.get(variable, "")
    path = folder / f"{name}.key"
    if text:
        return _decode(text, variable)
    try:
        if make:
            _make(path)
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise UsageError(f"Others can read the key in {path}", do=f"Run: chmod 600 {path}")
            return _decode(file.read().decode("ascii", "replace"), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"The key in {path} cannot be used", why=error.strerror or str(error)) from None


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written whole before it gets its name: another process sees all of it or nothing, and the first one wins.
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if path.exists():
        return
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)


def _decode(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != _BYTES:
        raise UsageError(
            f"{where} holds no key", why=f"a key is {_BYTES} bytes in hex", do="Make one: openssl rand -hex 32"
        )
    return key
