"""What a machine uses: shares between 0 and 1, this process and its engines, and only what is there."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from inhouse.gateway.traffic.machine import Machine

WORKS = "import sys; held = bytearray(60_000_000); print('ready', flush=True)\nwhile True: pass"


def test_an_engines_process_is_measured_while_it_lives(tmp_path):
    machine = Machine(tmp_path, gpus=[])
    engine = subprocess.Popen([sys.executable, "-c", WORKS], stdout=subprocess.PIPE)
    try:
        engine.stdout.readline()
        machine.read([engine.pid])
        while (read := machine.read([engine.pid]))["engine_cores"] == 0:
            pass
        assert read["engine_bytes"] > 60_000_000
    finally:
        engine.kill()
        engine.wait()
        engine.stdout.close()
    assert "engine_bytes" not in machine.read([engine.pid])
    assert "engine_bytes" not in machine.read()


def test_shares_are_of_what_the_machine_has(tmp_path):
    read = Machine(tmp_path / "not" / "there" / "yet", gpus=[]).read()
    for name in ("cpu", "memory", "disk"):
        assert 0 <= read[name] <= 1, name
    assert read["memory_of"] == psutil.virtual_memory().total
    assert 0 < read["own_bytes"] <= psutil.Process(os.getpid()).memory_info().rss * 2
    assert read["disk_free"] > 0


def test_several_gpus_are_one_figure_and_none_is_no_figure(tmp_path):
    one = [("gpu_percent", {"gpu": 0}, 80.0), ("gpu_memory_bytes", {"gpu": 0}, 3e9), ("energy_j", {"gpu": 0}, 1.0)]
    two = [("gpu_percent", {"gpu": 1}, 40.0), ("gpu_memory_bytes", {"gpu": 1}, 2e9)]
    read = Machine(tmp_path, gpus=[lambda: one, lambda: two]).read()
    assert (read["gpu"], read["gpu_bytes"]) == (0.6, 5e9)
    assert not {"gpu", "gpu_bytes"} & Machine(tmp_path, gpus=[]).read().keys()
