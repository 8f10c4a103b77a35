"""What the machine and the engine's processes use while a bench runs, read every 100 ms on a thread.

What this machine does not offer (a GPU, an energy counter, the engine's process) is absent, never zero.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from inhouse.core.records import Metric, Scalar, Series

EVERY_S = 0.1

_UNITS = {
    "cpu_percent": "%",
    "rss_bytes": "bytes",
    "system_memory_bytes": "bytes",
    "gpu_percent": "%",
    "gpu_memory_bytes": "bytes",
    "energy_j": "J",
}

Key = tuple[str, tuple[tuple[str, Scalar], ...]]
Reading = Iterable[tuple[str, Mapping[str, Scalar], float]]
Source = Callable[[], Reading]


class ResourceSampler:
    """Reads until it is left. `watch` tells it the engine's processes; 100 % of CPU is one core.

    Args:
        zero: the run's start on time.perf_counter(); the series' times count from it.
    """

    def __init__(self, zero: float) -> None:
        self._zero = zero
        self._processes: dict[int, psutil.Process] = {}
        self._points: defaultdict[Key, list[tuple[float, float]]] = defaultdict(list)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resources", daemon=True)

    def __enter__(self) -> ResourceSampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def watch(self, pids: Iterable[int]) -> None:
        """Sets which processes are the engine's."""
        known = self._processes
        found = {}
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                # A process's CPU share is counted between two reads of the same object.
                found[pid] = known.get(pid) or _started(pid)
        self._processes = found

    def take(self, labels: Mapping[str, Scalar]) -> list[Series]:
        """What was read since the last time, labelled so."""
        with self._lock:
            taken, self._points = self._points, defaultdict(list)
        found = []
        for (name, own), points in taken.items():
            times, values = zip(*points, strict=True)
            found.append(Series(name, _UNITS[name], times, values, {**dict(own), **labels}))
        return found

    def _run(self) -> None:
        psutil.cpu_percent(None)
        sources: list[Source] = [_system, self._engine, *gpu_sources(), *energy_sources()]
        due = time.perf_counter()
        while not self._stop.wait(max(0.0, due - time.perf_counter())):
            at = time.perf_counter() - self._zero
            read = [reading for source in sources for reading in source()]
            with self._lock:
                for name, labels, value in read:
                    self._points[name, tuple(labels.items())].append((at, value))
            due = max(due + EVERY_S, time.perf_counter())

    def _engine(self) -> Reading:
        percent, rss, seen = 0.0, 0, False
        for process in self._processes.values():
            with contextlib.suppress(psutil.Error):
                percent += process.cpu_percent(None)
                rss += process.memory_info().rss
                seen = True
        if seen:
            yield "cpu_percent", {"of": "engine"}, percent
            yield "rss_bytes", {}, float(rss)


def resource_metrics(
    series: Sequence[Series], stages: Iterable[tuple[Mapping[str, Scalar], float, float]]
) -> list[Metric]:
    """Mean and maximum of every series in each stage, given as its labels, start and end (seconds in the run).

    Energy is a counter: its figure is what the stage took, and without a stat.
    """
    found = []
    for labels, start, end in stages:
        for one in series:
            inside = [value for at, value in zip(one.times_s, one.values, strict=True) if start <= at <= end]
            if not inside:
                continue
            own = {**labels, **one.labels}
            if one.name == "energy_j":
                if len(inside) > 1:
                    found.append(Metric(one.name, inside[-1] - inside[0], one.unit, own, n=len(inside)))
                continue
            for stat, value in (("mean", sum(inside) / len(inside)), ("max", max(inside))):
                found.append(Metric(one.name, value, one.unit, {**own, "stat": stat}, n=len(inside)))
    return found


def _started(pid: int) -> psutil.Process:
    process = psutil.Process(pid)
    process.cpu_percent(None)
    return process


def _system() -> Reading:
    memory = psutil.virtual_memory()
    # The system's percentage is of all cores together; in per cent of one core it compares with the engine's.
    yield "cpu_percent", {"of": "system"}, psutil.cpu_percent(None) * (psutil.cpu_count() or 1)
    yield "system_memory_bytes", {}, float(memory.total - memory.available)


def gpu_sources() -> list[Source]:
    """One reader a GPU that NVML sees."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return [
            _gpu_source(pynvml, index, pynvml.nvmlDeviceGetHandleByIndex(index))
            for index in range(pynvml.nvmlDeviceGetCount())
        ]
    except Exception:  # noqa: BLE001  (no library, no driver, no permission: no GPU figures)
        return []


def _gpu_source(nvml: Any, index: int, handle: Any) -> Source:
    def energy() -> float:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000

    readers = {
        "gpu_percent": lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        "gpu_memory_bytes": lambda: float(nvml.nvmlDeviceGetMemoryInfo(handle).used),
        "energy_j": energy,
    }

    def read() -> Reading:
        for name, reader in readers.items():
            with contextlib.suppress(nvml.NVMLError):
                yield name, {"gpu": index}, reader()

    return read


def energy_sources(root: Path = Path("/sys/class/powercap")) -> list[Source]:
    """One reader a CPU package whose RAPL counter may be read (often by root only)."""
    sources: list[Source] = []
    for zone in sorted(root.glob("intel-rapl:[0-9]")) if root.is_dir() else []:
        with contextlib.suppress(OSError, ValueError):
            int((zone / "energy_uj").read_text())
            wrap = int((zone / "max_energy_range_uj").read_text())
            sources.append(_rapl_source(zone / "energy_uj", wrap, zone.name))
    return sources


def _rapl_source(path: Path, wrap: int, name: str) -> Source:
    last: int | None = None
    total = 0

    def read() -> Reading:
        nonlocal last, total
        with contextlib.suppress(OSError, ValueError):
            now = int(path.read_text())
            if last is not None:
                total += (now - last) % wrap  # the counter starts again from zero
            last = now
            yield "energy_j", {"package": name}, total / 1e6

    return read
