"""Loading files in a process of their own, so that a broken or hostile one costs no more than itself.

Starts the worker, hands it one path after the other and takes in blocks or a reason; knows no format. The
worker works ahead by one file while the caller uses the last one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from inhouse.core.units import format_bytes
from inhouse.docs.loaders.base import LoadLimits
from inhouse.docs.records import Block, Loaded

__all__ = ["LoadFailure", "LoadLimits", "load_safely"]

_FILES_A_WORKER = 500
"""After so many files a worker is replaced, whatever its memory has come to."""
_KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "SYSTEMROOT")
"""The environment that a worker gets: no keys, no settings."""
_HEAD = 4
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """Why a file could not be loaded, and what its owner can do about it (may be empty)."""

    reason: str
    do: str = ""


def load_safely(
    paths: Iterable[Path], limits: LoadLimits | None = None, *, root: Path | None = None
) -> Iterator[tuple[Path, Loaded | LoadFailure]]:
    """Loads files one after the other, in order.

    Args:
        paths: The files.
        limits: What one file may cost.
        root: Where given, a file that lies outside once links are followed is refused.

    Yields:
        Each path with what was read of it, or why it could not be read.
    """
    limits = limits or LoadLimits()
    worker = _Worker(limits, root)
    try:
        waiting: list[Path] = []
        for path in paths:
            if waiting:
                outcome = worker.outcome()
                worker.begin(path)  # works on while the caller uses the outcome
                yield waiting.pop(), outcome
            else:
                worker.begin(path)
            waiting.append(path)
        for path in waiting:
            yield path, worker.outcome()
    finally:
        worker.close()


class _Worker:
    """One worker process at a time; a new one where the last is gone."""

    def __init__(self, limits: LoadLimits, root: Path | None) -> None:
        self._limits, self._root = limits, root
        self._process: subprocess.Popen[bytes] | None = None
        self._files = 0
        self._deadline = 0.0

    def begin(self, path: Path) -> None:
        """Hands a file to the worker."""
        request = {"path": os.fsencode(path.absolute()).hex()}
        for _ in range(2):  # one that died between two files is replaced
            process = self._process or self._start()
            assert process.stdin is not None
            try:
                process.stdin.write(orjson.dumps(request) + b"\n")
                process.stdin.flush()
                break
            except (BrokenPipeError, OSError):
                self.close()
        self._files += 1
        self._deadline = time.monotonic() + self._limits.wall_s

    def outcome(self) -> Loaded | LoadFailure:
        """Waits for what became of the file handed over last."""
        process = self._process
        if process is None:
            return LoadFailure("The loading process could not be started", "Look whether the machine has memory left")
        try:
            size = int.from_bytes(self._read(process, _HEAD), "big")
            answer = orjson.loads(self._read(process, size))
        except TimeoutError:
            self.close()
            return LoadFailure(
                f"Loading took more than {self._limits.wall_s:g} s",
                "Split the file, or raise the limit if you trust it",
            )
        except (EOFError, ValueError):
            self._process = None
            return self._death(process)
        if self._files >= _FILES_A_WORKER or answer.get("last"):
            self.close()
        return _outcome(answer)

    def close(self) -> None:
        """Ends the worker."""
        process, self._process, self._files = self._process, None, 0
        if process is not None:
            process.kill()
            process.wait()
            _close_pipes(process)

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {"limits": asdict(self._limits), "root": str(self._root.resolve()) if self._root else None}
        self._files = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "inhouse.docs.load_worker", orjson.dumps(settings).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            start_new_session=True,
        )
        return self._process

    def _read(self, process: subprocess.Popen[bytes], count: int) -> bytes:
        """So many bytes of the worker's answer, by the deadline. What is there already is taken even after it."""
        assert process.stdout is not None
        handle = process.stdout.fileno()
        parts: list[bytes] = []
        while count:
            left = max(self._deadline - time.monotonic(), 0.0)
            if not select.select([handle], [], [], left)[0]:
                raise TimeoutError
            part = os.read(handle, min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _death(self, process: subprocess.Popen[bytes]) -> LoadFailure:
        """What killed the worker, from how it ended."""
        try:
            status = process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        _close_pipes(process)
        if status in {-signal.SIGXCPU, -signal.SIGKILL}:
            return LoadFailure(
                f"Loading took more than {self._limits.cpu_s} s of computing, or more memory than the machine has",
                "Split the file, or raise the limit if you trust it",
            )
        return LoadFailure(
            "The file broke the loading process, or took more memory than "
            f"{format_bytes(self._limits.memory_bytes)} (status {status})",
            "Open it in its program, save it anew and add it again",
        )


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


_FIELDS = tuple(field.name for field in fields(Block))


def _outcome(answer: dict[str, Any]) -> Loaded | LoadFailure:
    if "reason" in answer:
        return LoadFailure(answer["reason"], answer["do"])
    blocks = tuple(Block(**dict(zip(_FIELDS, values, strict=True))) for values in answer["blocks"])
    return Loaded(answer["title"], blocks, answer["media_type"], answer["pages"], tuple(answer["warnings"]))
