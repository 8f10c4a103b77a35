"""Measures how fast this machine reads memory, over all the cores that the process may use.

Every core's thread runs over its own buffer, so large that no cache holds it, and folds it with bitwise-or:
one cheap operation for each eight bytes, vectorised by numpy, which lets the other threads run meanwhile. The
fastest of many passes counts: other load can only slow one down. Kept by machine fingerprint.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import psutil

from inhouse.core.environment import Environment, read_environment, usable_cores
from inhouse.core.settings import Settings

# All buffers together against the last-level cache, and each one's bounds in bytes.
_CACHE_MULTIPLE = 8
_SMALLEST, _LARGEST = 32 << 20, 256 << 20


@dataclass(frozen=True, slots=True)
class BandwidthNote:
    """A measured bandwidth in bytes/s, when it was measured, and on which machine (`fingerprint`)."""

    bytes_s: float
    measured_at: str
    fingerprint: str
    cores: int


def measure_bandwidth(seconds: float = 1.0, *, cores: int | None = None) -> float:
    """Bytes/s that all usable cores read together; takes about `seconds`, and some 0.3 s to fill the buffers."""
    cores = cores or usable_cores()
    size = min(_LARGEST, max(_SMALLEST, _CACHE_MULTIPLE * last_level_cache_bytes() // cores))
    size = min(size, psutil.virtual_memory().available // (4 * cores))
    passes: list[list[tuple[float, float]]] = [[] for _ in range(cores)]
    barrier = threading.Barrier(cores)
    deadline = 0.0

    def read(index: int) -> None:
        nonlocal deadline
        buffer = np.ones(size // 8, dtype=np.uint64)  # written by the thread that reads it, so it lies near it
        if barrier.wait() == 0:
            deadline = time.perf_counter() + seconds
        barrier.wait()
        while (started := time.perf_counter()) < deadline or not passes[index]:
            np.bitwise_or.reduce(buffer)
            passes[index].append((started, time.perf_counter()))

    threads = [threading.Thread(target=read, args=(index,)) for index in range(cores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _best_together(passes, size)


def _best_together(passes: list[list[tuple[float, float]]], size: int) -> float:
    """The highest rate of all threads at one moment: each thread's rate in the pass that it was then in."""
    best = 0.0
    for started, ended in passes[0]:
        middle = (started + ended) / 2
        total = 0.0
        for thread in passes:
            running = [size / (b - a) for a, b in thread if a <= middle <= b]
            total += running[0] if running else 0.0
        best = max(best, total)
    return best


def last_level_cache_bytes() -> int:
    """The largest cache of the first core, as Linux lists it; 32 MiB where it does not say."""
    sizes = []
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KM") or 0) * unit)
    return max(sizes, default=32 << 20)


def bandwidth(settings: Settings, *, fresh: bool = False, seconds: float = 1.0) -> BandwidthNote:
    """The bandwidth measured on this machine before, else (or if `fresh`) measured now and kept."""
    kept = None if fresh else kept_bandwidth(settings)
    if kept is not None:
        return kept
    environment = read_environment()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    note = BandwidthNote(measure_bandwidth(seconds), now, fingerprint(environment), environment.cores)
    path = _path(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_bytes(orjson.dumps(asdict(note)))
        partial.replace(path)
    except OSError:
        pass  # it is measured again next time
    return note


def kept_bandwidth(settings: Settings) -> BandwidthNote | None:
    """What was measured on this very machine before; None where nothing was."""
    try:
        note = BandwidthNote(**orjson.loads(_path(settings).read_bytes()))
    except (OSError, orjson.JSONDecodeError, TypeError):
        return None
    return note if note.fingerprint == fingerprint(read_environment()) else None


def fingerprint(environment: Environment) -> str:
    """What identifies the machine for this purpose: CPU, cores, memory."""
    text = f"{environment.cpu}|{environment.cores}|{environment.threads}|{environment.ram_bytes}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _path(settings: Settings) -> Path:
    return settings.data_dir / "bandwidth.json"
