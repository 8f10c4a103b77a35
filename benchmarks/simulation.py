"""A million requests simulated on one core: seconds, on one machine and on eight behind one queue.

    python benchmarks/simulation.py [--full]

Without --full a tenth of them, whose time is multiplied by ten (each request costs the same).
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from inhouse.plan.demand import Lengths, workload_at
from inhouse.plan.queueing import capacity
from inhouse.plan.service import ServiceModel
from inhouse.plan.simulate import Outage, simulate

BAR_S = 60.0
REQUESTS = 1_000_000
LOAD = 0.85
MODEL = ServiceModel(
    slots=32, decode_s=((1, 0.02), (8, 0.025), (32, 0.04)), cache_s=1e-7, prompt_fixed_s=0.002, prompt_s=1e-4,
    prompt_square_s=1e-9, request_s=0.001,
)  # fmt: skip


def seconds(count: int, machines: int) -> float:
    """How long so many requests take, with one machine failing in their midst."""
    lengths = Lengths.varied(1155, 211)
    rate = LOAD * capacity(MODEL, lengths, machines)
    work = workload_at(rate, lengths, count, burst=1.5)
    away = [Outage(0, count / rate / 2, count / rate / 2 + 600)] if machines > 1 else []
    begun = time.perf_counter()
    result = simulate(MODEL, work, machines=machines, outages=away)
    took = time.perf_counter() - begun
    assert result.answered.sum() + result.broken == count
    print(f"{machines} machine(s): {count:,} requests in {took:.2f} s, {took / count * 1e6:.1f} µs each")
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the whole million")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    count = REQUESTS if options.full else REQUESTS // 10
    worst = max(seconds(count, machines) for machines in (1, 8)) * REQUESTS / count
    print(f"simulation: {worst:.1f} s for {REQUESTS:,} requests on one core (bar: {BAR_S:g} s)")
    return 0 if worst <= BAR_S else 1


if __name__ == "__main__":
    sys.exit(main())
