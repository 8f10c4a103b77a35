"""Claim: on one core, with keys, limits, ledger and metrics on, the gateway serves at least 20 times the requests
of LiteLLM's proxy (goal 30), and adds at most 0.8 ms to a request (p50).

Both stand before the same fake upstream, on the same core, and are asked by the same client on another; LiteLLM
with a master key and its defaults, the gateway with a key, rates, a budget, prices, ledger, metrics and log.
LiteLLM is installed into a virtual environment of its own.

    python benchmarks/gateway_vs_litellm.py [--full]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway_load import (
    CLIENT_CORE,
    SERVER_CORE,
    Load,
    Target,
    fake_upstream,
    free_port,
    inhouse_gateway,
    pin,
    process,
    run_load,
    wait_for,
)

BAR, GOAL = 20.0, 30.0
ADDED_P50_MS = 0.8
TOKENS = 16
PEER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "inhouse" / "peers" / "litellm"
KEY = "sk-bench"


def peer_binary() -> Path:
    """LiteLLM's command, installed if it is not there."""
    binary = PEER / "bin" / "litellm"
    if not binary.exists():
        print(f"installing litellm[proxy] into {PEER}", file=sys.stderr)
        venv.create(PEER, with_pip=True)
        subprocess.run([PEER / "bin" / "pip", "install", "-q", "litellm[proxy]"], check=True)
    return binary


@contextmanager
def litellm_proxy(upstream: int) -> Iterator[Target]:
    """LiteLLM's proxy with one model, a master key and one worker."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(
            json.dumps(
                {
                    "model_list": [
                        {
                            "model_name": "fake",
                            "litellm_params": {
                                "model": "openai/fake",
                                "api_base": f"http://127.0.0.1:{upstream}/v1",
                                "api_key": "none",
                            },
                        }
                    ],
                    "general_settings": {"master_key": KEY},
                    "litellm_settings": {"telemetry": False},
                }
            )
        )
        port = free_port()
        command: list[str | Path] = [peer_binary(), "--config", config, "--host", "127.0.0.1", "--port", str(port)]
        env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
        with process(command, core=SERVER_CORE, env=env, log=Path(folder) / "log") as started:
            wait_for(f"http://127.0.0.1:{port}/health/liveliness", within_s=240)
            yield Target("litellm", port, KEY, started.pid)


def measured(target: Target, *, streams: int, requests: int) -> Load:
    """A load after a short one that warms up."""
    body = target.body(stream=False, tokens=TOKENS)
    run_load(target, body, streams=streams, requests=max(20, requests // 10))
    load = run_load(target, body, streams=streams, requests=requests)
    if load.errors:
        raise SystemExit(f"{target.name} refused {load.errors} of {requests} requests")
    return load


def show(name: str, streams: int, load: Load) -> None:
    """A line of the table."""
    print(
        f"{name:10} {streams:3} at once: {load.requests_s:8.0f} requests/s   "
        f"p50 {load.percentile_ms(0.5):7.2f} ms   p99 {load.percentile_ms(0.99):7.2f} ms"
    )


def main() -> int:
    """Measures both, in turns, and compares."""
    full = "--full" in sys.argv
    pin(CLIENT_CORE)
    scale = 5 if full else 1
    rounds = 3 if full else 2
    best: dict[tuple[str, int], Load] = {}
    with fake_upstream() as upstream, litellm_proxy(upstream) as litellm, inhouse_gateway(upstream) as inhouse:
        direct = Target("direct", upstream, "none", 0)
        for _ in range(rounds):
            for target, loads in (
                (direct, ((1, 1000), (16, 4000))),
                (inhouse, ((1, 1000), (16, 4000), (64, 4000))),
                (litellm, ((1, 50), (16, 200), (64, 256))),
            ):
                for streams, requests in loads:
                    load = measured(target, streams=streams, requests=requests * scale)
                    kept = best.get((target.name, streams))
                    if kept is None or load.requests_s > kept.requests_s:
                        best[target.name, streams] = load
    for (name, streams), load in best.items():
        show(name, streams, load)
    ours = max(load.requests_s for (name, _), load in best.items() if name == "inhouse")
    theirs = max(load.requests_s for (name, _), load in best.items() if name == "litellm")
    added_p50 = best["inhouse", 1].percentile_ms(0.5) - best["direct", 1].percentile_ms(0.5)
    added_p99 = best["inhouse", 1].percentile_ms(0.99) - best["direct", 1].percentile_ms(0.99)
    print(f"added to a direct call, alone: p50 {added_p50:.2f} ms, p99 {added_p99:.2f} ms")
    print(f"added to a direct call, 16 at once: p99 {best['inhouse', 16].percentile_ms(0.99):.2f} ms in all")
    ratio = ours / theirs
    print(f"{ratio:.1f} times LiteLLM's requests/s on one core (bar {BAR:g}, goal {GOAL:g}); +{added_p50:.2f} ms p50")
    return 0 if ratio >= BAR and added_p50 <= ADDED_P50_MS else 1


if __name__ == "__main__":
    sys.exit(main())
