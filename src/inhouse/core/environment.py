"""The machine a run was made on, read from the system; knows nothing of engines or models.

What can only be measured (memory bandwidth) is filled in by whoever measured it.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

# The instruction sets that llama.cpp's CPU kernels are chosen by; others do not matter here.
_LLAMA_FLAGS = (
    *("avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve"),
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as its driver reports it."""

    name: str
    memory_bytes: int
    driver: str = ""
    memory_bandwidth_bytes_s: float | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """Fingerprint of where a run was made. Two runs compare only as far as these agree.

    `cores` are those this process may use (cgroup and affinity limits included), `ram_bytes` the memory
    it may use. `memory_bandwidth_bytes_s` is measured (read bandwidth over all cores), None if it was not.
    """

    cpu: str
    cores: int
    threads: int
    instruction_sets: tuple[str, ...]
    ram_bytes: int
    os: str
    python: str
    gpus: tuple[Gpu, ...] = ()
    memory_bandwidth_bytes_s: float | None = None
    engine: str | None = None
    engine_version: str | None = None
    model_sha256: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Environment:
        """The inverse of `to_dict`; unknown keys of a newer version are dropped."""
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        known["gpus"] = tuple(Gpu(**gpu) for gpu in known.get("gpus", ()))
        known["instruction_sets"] = tuple(known.get("instruction_sets", ()))
        return cls(**known)


@lru_cache(maxsize=1)
def read_environment() -> Environment:
    """Reads this machine's fingerprint (a few milliseconds, once a process)."""
    cpu, flags = _cpu()
    return Environment(
        cpu=cpu,
        cores=usable_cores(),
        threads=psutil.cpu_count(logical=True) or 1,
        instruction_sets=tuple(flag for flag in _LLAMA_FLAGS if flag in flags),
        ram_bytes=usable_ram_bytes(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        gpus=read_gpus(),
    )


def usable_cores() -> int:
    """Physical cores that this process may run on: affinity and cgroup quota respected; at least 1."""
    logical = psutil.cpu_count(logical=True) or 1
    physical = psutil.cpu_count(logical=False) or logical
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    cores = allowed if allowed <= physical else max(1, allowed * physical // logical)
    quota = _cgroup_cpu_quota()
    return max(1, min(cores, int(quota) if quota and quota >= 1 else cores))


def usable_ram_bytes() -> int:
    """Memory that this process may use in all: the machine's, or its cgroup's limit if that is lower."""
    total = psutil.virtual_memory().total
    limit = _read_text("/sys/fs/cgroup/memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def available_ram_bytes() -> int:
    """Memory that could be taken now without swapping."""
    return min(psutil.virtual_memory().available, usable_ram_bytes())


def read_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that NVML sees; empty without a driver."""
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            found.append(
                Gpu(
                    name=_text(pynvml.nvmlDeviceGetName(handle)),
                    memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
                    driver=driver,
                    memory_bandwidth_bytes_s=_gpu_bandwidth(pynvml, handle),
                )
            )
        return tuple(found)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _gpu_bandwidth(nvml: Any, handle: Any) -> float | None:
    """Peak memory bandwidth from clock and bus width: two transfers a clock (double data rate)."""
    try:
        clock_hz = nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM) * 1e6
        width_bits = nvml.nvmlDeviceGetMemoryBusWidth(handle)
    except nvml.NVMLError:
        return None
    return float(2 * clock_hz * width_bits / 8) or None


def _cpu() -> tuple[str, frozenset[str]]:
    """The CPU's name and its feature flags."""
    if sys.platform == "darwin":
        import subprocess

        done = subprocess.run(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        return done.stdout.strip() or platform.processor() or "unknown", frozenset({"asimd"})
    name = platform.processor() or platform.machine()
    flags: frozenset[str] = frozenset()
    for line in _read_text("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            flags = frozenset(value.split())
            if name:
                break
    return name, flags


def _cgroup_cpu_quota() -> float | None:
    """CPUs' worth of time that the cgroup (v2) allows, None where it sets no limit."""
    quota, _, period = _read_text("/sys/fs/cgroup/cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
