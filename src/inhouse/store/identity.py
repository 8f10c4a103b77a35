"""Run ids that sort by time, and the process that owns a run; knows nothing of the database."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
_TIME_LENGTH = 10
_RANDOM_LENGTH = 16


def new_run_id(at: datetime, *, after: str | None = None) -> str:
    """A 26-character id like a ULID: 10 for the millisecond, 16 at random.

    With `after`, the newest id so far, the new one's time part is greater even within a millisecond or
    after the clock went back: ids stay in order and their first 10 characters tell runs apart.
    """
    milliseconds = int(at.timestamp() * 1000)
    if after is not None:
        milliseconds = max(milliseconds, _decode(after[:_TIME_LENGTH]) + 1)
    return _encode(milliseconds, _TIME_LENGTH) + _encode(secrets.randbits(5 * _RANDOM_LENGTH), _RANDOM_LENGTH)


def is_run_id(text: str) -> bool:
    """Whether the text has the form of `new_run_id`."""
    return len(text) == _TIME_LENGTH + _RANDOM_LENGTH and set(text) <= set(_ALPHABET)


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: machine, process id, and when it started, so that a reused id is not taken for it."""

    host: str
    pid: int
    started: str

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; only to be asked of a process of this machine."""
        return process_started(self.pid) == self.started


def this_process() -> Owner:
    """The running process as an owner."""
    return Owner(socket.gethostname(), os.getpid(), process_started(os.getpid()) or "")


def process_started(pid: int) -> str | None:
    """A mark of when a process started, the same for all its life; None where none runs by that id.

    On Linux it is the boot's id and the clock ticks since: a wall-clock time would move when the clock is set.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        # The name in parentheses may hold spaces and parentheses; the fields follow the last one.
        fields = stat.rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        state, ticks = fields[0], fields[19]
        return None if state in "ZX" else f"{boot}/{ticks}"
    except OSError:
        pass
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.1f}"
    except psutil.Error:
        return None


def _encode(number: int, length: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))


def _decode(text: str) -> int:
    number = 0
    for character in text:
        number = number << 5 | _ALPHABET.index(character)
    return number
