"""What the machine and the engine use: read as it is, absent where it cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inhouse.bench.resources import ResourceSampler, energy_sources, resource_metrics
from inhouse.core.records import Scalar, Series

MEGABYTES = 80


def test_the_engines_processes_and_the_system_are_read_ten_times_a_second() -> None:
    busy = f"data = bytearray(b'x' * {MEGABYTES}_000_000)\nprint('ready', flush=True)\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        origin = time.perf_counter()
        with ResourceSampler(origin) as sampler:
            sampler.watch([process.pid])
            time.sleep(1.5)
            series = {(s.name, s.labels.get("of")): s for s in sampler.take({"stage": "s"})}
    finally:
        process.kill()
        process.wait()
    rss, cpu = series["rss_bytes", None], series["cpu_percent", "engine"]
    assert min(rss.values) > MEGABYTES * 1e6
    assert 5 <= len(rss.values) <= 16
    assert rss.times_s == tuple(sorted(rss.times_s))
    assert 0 <= rss.times_s[0] < 1
    assert max(cpu.values) > 20  # of one core, on a machine that may be busy
    assert series["system_memory_bytes", None].labels == {"stage": "s"}
    assert ("cpu_percent", "system") in series


def test_what_cannot_be_read_is_absent_not_zero() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with ResourceSampler(time.perf_counter()) as sampler:
        sampler.watch([process.pid])
        time.sleep(0.25)
        names = {s.name for s in sampler.take({})}
    assert "rss_bytes" not in names
    assert "system_memory_bytes" in names
    if not Path("/dev/nvidiactl").exists():
        assert not {"gpu_percent", "gpu_memory_bytes"} & names


def test_a_process_that_ends_half_way_is_no_failure() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with ResourceSampler(time.perf_counter()) as sampler:
        sampler.watch([process.pid, os.getpid()])
        time.sleep(0.25)
        process.kill()
        process.wait()
        time.sleep(0.25)
        readings = next(s for s in sampler.take({}) if s.name == "rss_bytes").values
    assert len(readings) >= 3


def test_what_was_taken_is_not_given_twice() -> None:
    with ResourceSampler(time.perf_counter()) as sampler:
        time.sleep(0.25)
        assert sampler.take({})
        assert not [s for s in sampler.take({}) if len(s.values) > 1]


def rapl(root: Path, joules: float) -> None:
    zone = root / "intel-rapl:0"
    zone.mkdir(exist_ok=True)
    (zone / "energy_uj").write_text(f"{int(joules * 1e6) % 100_000_000}\n")
    (zone / "max_energy_range_uj").write_text("100000000\n")


def test_energy_is_counted_past_the_counters_end(tmp_path: Path) -> None:
    rapl(tmp_path, 95.0)
    (read,) = energy_sources(tmp_path)
    totals = []
    for joules in (95.0, 98.0, 103.0):
        rapl(tmp_path, joules)
        totals += [value for _, _, value in read()]
    assert totals == pytest.approx([0.0, 3.0, 8.0])


def test_an_energy_counter_that_may_not_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").mkdir()
    assert energy_sources(tmp_path) == []
    assert energy_sources(tmp_path / "none") == []


def test_figures_are_those_of_the_stages_own_time() -> None:
    labels: dict[str, Scalar] = {"stage": "s", "streams": 2}
    series = [
        Series("rss_bytes", "bytes", (0.0, 1.0, 2.0, 3.0), (10.0, 20.0, 40.0, 99.0), {"stage": "s"}),
        Series("energy_j", "J", (0.0, 1.0, 2.0, 3.0), (100.0, 110.0, 130.0, 200.0), {"package": "intel-rapl:0"}),
    ]
    found = {(m.name, m.labels.get("stat")): m for m in resource_metrics(series, [(labels, 1.0, 2.0)])}
    assert found["rss_bytes", "mean"].value == 30.0
    assert found["rss_bytes", "max"].value == 40.0
    assert found["rss_bytes", "max"].labels["streams"] == 2
    assert found["energy_j", None].value == 20.0
    assert resource_metrics(series, [(labels, 50.0, 60.0)]) == []
