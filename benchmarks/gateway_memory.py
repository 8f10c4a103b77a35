"""Claim: after 100,000 requests the gateway holds at most 5 % more memory than after 10,000.

With a key, rates, a budget, prices, ledger, metrics and log; every other request streams. The short form compares
20,000 with 4,000, which a leak of 500 bytes a request does not pass.

    python benchmarks/gateway_memory.py [--full]
"""

from __future__ import annotations

import sys

from gateway_load import CLIENT_CORE, Target, fake_upstream, inhouse_gateway, pin, run_load

GROWTH = 0.05


def ask(target: Target, requests: int) -> None:
    """Sends so many requests, half of them as streams."""
    for stream in (False, True):
        load = run_load(target, target.body(stream=stream, tokens=16), streams=16, requests=requests // 2)
        if load.errors:
            raise SystemExit(f"{load.errors} requests were refused")


def main() -> int:
    """Measures resident memory after each tenth of the requests."""
    early, late, step = (10_000, 100_000, 10_000) if "--full" in sys.argv else (4_000, 20_000, 4_000)
    pin(CLIENT_CORE)
    held: dict[int, float] = {}
    with fake_upstream() as upstream, inhouse_gateway(upstream) as gateway:
        for done in range(step, late + 1, step):
            ask(gateway, step)
            held[done] = gateway.rss_bytes() / 1e6
            print(f"{done:7,} requests: {held[done]:6.1f} MB", flush=True)
    growth = held[late] / held[early] - 1
    print(f"{growth:+.1%} from {early:,} to {late:,} requests (bar {GROWTH:+.0%})")
    return 0 if growth <= GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
