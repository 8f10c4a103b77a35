"""`inhouse --help` answers in under 150 ms, and costs how much more than Python's own start."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

BAR_S = 0.150
ROUNDS = 15


def main() -> int:
    """Runs both in turn and prints the medians; 1 if the bar is missed."""
    inhouse = Path(sys.executable).with_name("inhouse")
    commands = {"python -c pass": [sys.executable, "-c", "pass"], "inhouse --help": [str(inhouse), "--help"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name}: median {median * 1000:.0f} ms, fastest {min(seconds[name]) * 1000:.0f} ms, n={ROUNDS}")
    bare, ours = medians.values()
    print(f"inhouse --help {ours * 1000:.0f} ms (bar {BAR_S * 1000:.0f} ms), {ours / bare:.1f} x bare Python")
    return int(ours > BAR_S)


if __name__ == "__main__":
    sys.exit(main())
