"""What the machine and the gateway's processes on it use, read now and then. What is not there is left out.

Knows the operating system and NVML; nothing of requests.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import psutil

from inhouse.bench.resources import Source, gpu_sources


class Machine:
    """This machine. `folder` lies on the disk that is watched: the store's. Not safe for several threads at once.

    `gpus` read one GPU each; without them those that NVML finds.
    """

    def __init__(self, folder: Path, gpus: Sequence[Source] | None = None) -> None:
        self._given_gpus = gpus
        self.name = socket.gethostname() or "localhost"
        self._folder = folder
        self._processes: dict[int, psutil.Process] = {}
        psutil.cpu_percent(None)  # the next reading is of the time since this one

    def read(self, engine_pids: Iterable[int] = ()) -> dict[str, float]:
        """Shares of 0 to 1, bytes, cores. Blocks for a moment.

        `cpu` and `memory` of the machine, `disk` the used share; of this process `own_cores` and `own_bytes`, of
        the engines' `engine_cores` and `engine_bytes`; `gpu` (the mean of all GPUs), `gpu_bytes` (their sum).
        """
        memory = psutil.virtual_memory()
        read = {
            "cpu": psutil.cpu_percent(None) / 100,
            "memory": (memory.total - memory.available) / memory.total,
            "memory_bytes": float(memory.total - memory.available),
            "memory_of": float(memory.total),
        }
        with suppress(OSError):
            disk = shutil.disk_usage(_there(self._folder))
            read |= {"disk": 1 - disk.free / disk.total, "disk_free": float(disk.free)}
        read |= self._used_by("own", [os.getpid()])
        read |= self._used_by("engine", engine_pids)
        gpu = defaultdict(list)
        for source in self._gpus:
            for name, _, value in source():
                gpu[name].append(value)
        if gpu["gpu_percent"]:
            read["gpu"] = sum(gpu["gpu_percent"]) / len(gpu["gpu_percent"]) / 100
        if gpu["gpu_memory_bytes"]:
            read["gpu_bytes"] = sum(gpu["gpu_memory_bytes"])
        return read

    @cached_property
    def _gpus(self) -> Sequence[Source]:
        return gpu_sources() if self._given_gpus is None else self._given_gpus

    def _used_by(self, name: str, pids: Iterable[int]) -> dict[str, float]:
        cores, rss, seen = 0.0, 0, False
        for pid in pids:
            with suppress(psutil.Error):
                process = self._processes.get(pid)
                if process is None or not process.is_running():
                    process = self._processes[pid] = psutil.Process(pid)
                    process.cpu_percent(None)
                cores += process.cpu_percent(None) / 100
                rss += process.memory_info().rss
                seen = True
        return {f"{name}_cores": cores, f"{name}_bytes": float(rss)} if seen else {}


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
