"""The process that loads files: limits itself, then reads paths on its input and answers blocks or a reason.

Started by inhouse.docs.load. It writes no file, and what it reads is what it was told to.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import stat
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from inhouse.core.errors import UnreadableDocument
from inhouse.core.units import format_bytes
from inhouse.docs.loaders.base import LoadLimits, Source, find_loader
from inhouse.docs.loaders.package import SAVE_AGAIN
from inhouse.docs.records import Loaded

_SCANNED = re.compile(r"is a scanned image|is a picture without")
_SURROGATES = re.compile("[\ud800-\udfff\0]")
_OPEN_FILES = 256


def main() -> None:
    """Answers until the input ends."""
    settings = orjson.loads(sys.argv[1])
    limits = LoadLimits(**settings["limits"])
    root = Path(settings["root"]) if settings["root"] else None
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not break the answers
    _limit(limits)
    for line in sys.stdin.buffer:
        _allow_cpu(limits.cpu_s)
        path = Path(os.fsdecode(bytes.fromhex(orjson.loads(line)["path"])))
        answer = _answer(path, root, limits)
        data = orjson.dumps(answer)
        output.write(len(data).to_bytes(4, "big") + data)
        output.flush()
        if answer.get("last"):
            return


def _limit(limits: LoadLimits) -> None:
    """The kernel's limits on this process: memory, core files, files written, open files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for kind, value in ((resource.RLIMIT_AS, limits.memory_bytes), (resource.RLIMIT_NOFILE, _OPEN_FILES)):
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):  # not kept on macOS, or lower already
            continue


def _allow_cpu(seconds: int) -> None:
    """Lets this process compute for so long from now on; then the kernel ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


def _answer(path: Path, root: Path | None, limits: LoadLimits) -> dict[str, Any]:
    """The file's blocks, or why there are none. `last` says that this process ends with it."""
    try:
        with _open(path, root, limits) as file:
            size = os.fstat(file.fileno()).st_size
            loaded = find_loader(path.name).load(Source(file, path.name, size, limits))
        return _checked(loaded, limits)
    except UnreadableDocument as error:
        reason = f"{error.what}: {error.why}" if error.why else error.what
        return _failure(reason, error.do)
    except MemoryError:
        # What a library holds after it ran out is not known: the next file gets a new process.
        return _failure(
            f"Loading took more memory than {format_bytes(limits.memory_bytes)}",
            "Split the file, or raise the limit if you trust it",
            last=True,
        )
    except RecursionError:
        return _failure("The file nests its parts deeper than any document does", SAVE_AGAIN)
    except OSError as error:
        return _failure(f"The file cannot be read: {error.strerror or error}", "Look at its permissions")
    except Exception as error:  # noqa: BLE001 - whatever a library raises on a broken file is that file's fault
        detail = " ".join(str(error).split())[:200]
        return _failure(f"The file is broken: {detail or type(error).__name__}", SAVE_AGAIN)


def _failure(reason: str, do: str, *, last: bool = False) -> dict[str, Any]:
    return {"reason": _clean(reason), "do": do, "last": last}


def _open(path: Path, root: Path | None, limits: LoadLimits) -> BinaryIO:
    """Opens a regular file within the root and the limit of size. A link is followed only to within the root."""
    real = path.resolve(strict=True)
    if root is not None and not real.is_relative_to(root):
        raise UnreadableDocument("The link leads out of the folder", do="Put the file itself into the folder")
    # Not blocking: a named pipe would wait for its writer.
    handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(handle, "rb")
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise UnreadableDocument("This is no regular file")
    if status.st_size > limits.file_bytes:
        file.close()
        raise UnreadableDocument(
            f"The file has {format_bytes(status.st_size)}",
            why=f"more than {format_bytes(limits.file_bytes)}",
            do="Split it, or raise the limit",
        )
    return file


def _checked(loaded: Loaded, limits: LoadLimits) -> dict[str, Any]:
    """What was loaded as it is sent, if it has text and not too much of it."""
    size = sum(len(block.text) for block in loaded.blocks)
    if size > limits.text_bytes:
        raise UnreadableDocument(
            f"The file holds {size:,} letters",
            why=f"more than {limits.text_bytes:,}",
            do="Split it, or raise the limit",
        )
    if not any(block.text.strip() for block in loaded.blocks):
        scanned = [warning for warning in loaded.warnings if _SCANNED.search(warning)]
        if scanned:
            raise UnreadableDocument(
                "The file has no text", why=_several(scanned), do="Run text recognition (OCR) over it and add it again"
            )
        raise UnreadableDocument("The file has no text", why=_several(list(loaded.warnings)))
    return {
        "title": _clean(loaded.title),
        "media_type": loaded.media_type,
        "pages": loaded.pages,
        "warnings": [_clean(warning) for warning in loaded.warnings[:100]],
        "blocks": [
            [_clean(part) if isinstance(part, str) else part for part in astuple(block)] for block in loaded.blocks
        ],
    }


def _several(warnings: list[str]) -> str:
    more = f" and {len(warnings) - 3} more" if len(warnings) > 3 else ""
    return "; ".join(warnings[:3]) + more


def _clean(text: str) -> str:
    """Text without what is no text: halves of surrogate pairs, NULs."""
    return _SURROGATES.sub("", text)


if __name__ == "__main__":
    main()
