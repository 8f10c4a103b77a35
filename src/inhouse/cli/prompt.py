"""Text that people give a command: from the command line, from stdin, checked before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path

from inhouse.core.errors import UsageError

MAX_BYTES = 64 * 2**20


def read_prompt(text: str) -> str:
    """The prompt: `text` itself, or all of stdin for `-`.

    Raises:
        UsageError: it is empty, is not UTF-8, or is larger than 64 MiB.
    """
    if text == "-":
        text = _decode(sys.stdin.buffer.read(MAX_BYTES + 1), "stdin")
    elif any("\udc80" <= char <= "\udcff" for char in text):  # how Python passes on bytes that are not UTF-8
        raise UsageError("The prompt is not UTF-8", do="Pass it on stdin as UTF-8: iconv -t utf-8 FILE | inhouse ask -")
    if not text.strip():
        raise UsageError("The prompt is empty", do='Ask something: inhouse ask "Why is the sky blue?"')
    return text


def read_text_file(path: Path) -> str:
    """A UTF-8 text file.

    Raises:
        UsageError: it cannot be read, is not UTF-8, or is larger than 64 MiB.
    """
    try:
        with path.open("rb") as file:
            return _decode(file.read(MAX_BYTES + 1), str(path))
    except OSError as error:
        raise UsageError(f"Cannot read {path}", why=error.strerror or str(error)) from None


def _decode(data: bytes, name: str) -> str:
    if len(data) > MAX_BYTES:
        raise UsageError(f"{name} is larger than 64 MiB", do="Shorten it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name} is not UTF-8",
            why=f"byte {data[error.start]:#04x} at position {error.start}",
            do="Convert it first, for example: iconv -f cp949 -t utf-8",
        ) from None
