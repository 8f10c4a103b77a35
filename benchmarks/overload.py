"""Overload: what the gateway gets done in time at 20 times the capacity of the embedded engine, over its best.

A real `inhouse serve` before smollm2:135m on one core, and open-loop Poisson arrivals from this process. Goodput
counts the answers that were complete within OBJECTIVE_S of their request; each request says so (X-Deadline-Seconds).
What cannot be served must be refused at once: 99 % of the refusals within 50 ms.

    python benchmarks/overload.py [--full]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

MODEL = "smollm2:135m"
SLOTS = 4
TOKENS = 16
OBJECTIVE_S = 4.0
GOODPUT_BAR = 0.9
REFUSAL_BAR_S = 0.050
LOADS = (0.9, 1.2, 2.0, 20.0)
ROUNDS = 2
PROMPT = "Tell me a long story about a lighthouse keeper, part {}."


@dataclass(slots=True)
class Outcome:
    """What came of the requests of one load."""

    seconds: float
    in_time: int = 0
    late: int = 0
    failed: int = 0
    refused_s: list[float] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """Answers in time, a second."""
        return self.in_time / self.seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="seven times as long at each load")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, url = serve(Path(folder))
        try:
            return asyncio.run(measure(url, 40.0 if options.full else 6.0))
        finally:
            server.terminate()
            server.wait(30)


def serve(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A gateway of our own, whose engine decodes on one core."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "INHOUSE_DATA_DIR": str(folder),
        "INHOUSE_ENGINE": "embedded",
        "INHOUSE_MODEL": MODEL,
        "INHOUSE_THREADS": "1",
        "INHOUSE_SLOTS": str(SLOTS),
        "INHOUSE_CONTEXT": "512",
        "INHOUSE_GATEWAY_LOG_LEVEL": "error",
    }
    command = [str(Path(sys.executable).with_name("inhouse")), "serve", "--port", str(port)]
    return subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.DEVNULL), f"http://127.0.0.1:{port}"


async def measure(url: str, seconds: float) -> int:
    """All loads in turn; prints each, and the figures under the bars last."""
    connections = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connections, timeout=aiohttp.ClientTimeout(total=60)) as session:
        await until_ready(session, url)
        await closed_loop(session, url, 3.0)  # warm-up
        alone = await closed_loop(session, url, seconds)
        capacity, service_s = len(alone.answered_s) / alone.seconds, quantile(alone.answered_s, 0.95)
        print(f"capacity with {SLOTS} streams: {capacity:.2f} requests/s of {TOKENS} tokens, p95 {service_s:.2f} s")
        outcomes = {load: Outcome(0.0) for load in LOADS}
        for turn in range(ROUNDS):  # in turn, so that whatever else the machine does meets all of them
            for load, outcome in outcomes.items():
                await open_loop(session, url, outcome, load * capacity, seconds, OBJECTIVE_S - service_s, seed=turn)
    for load, outcome in outcomes.items():
        refused = outcome.refused_s
        p50, p95 = (quantile(outcome.answered_s, q) for q in (0.5, 0.95))
        print(
            f"{load:4g} × capacity: {outcome.goodput:.2f} in time/s, {outcome.late} late, {len(refused)} refused "
            f"(p50 {quantile(refused, 0.5) * 1000:.1f}, p99 {quantile(refused, 0.99) * 1000:.1f} ms), "
            f"{outcome.failed} failed; answers p50 {p50:.2f}, p95 {p95:.2f} s"
        )
    best = max(outcome.goodput for outcome in outcomes.values())
    overloaded = outcomes[LOADS[-1]]
    ratio, refusal_s = overloaded.goodput / best, quantile(overloaded.refused_s, 0.99)
    print(
        f"overload: goodput at {LOADS[-1]:g} × capacity {ratio:.2f} of the best (bar {GOODPUT_BAR}), "
        f"refusals p99 {refusal_s * 1000:.1f} ms (bar {REFUSAL_BAR_S * 1000:.0f} ms)"
    )
    return int(ratio < GOODPUT_BAR or refusal_s > REFUSAL_BAR_S or overloaded.failed > 0)


async def until_ready(session: aiohttp.ClientSession, url: str) -> None:
    deadline = time.perf_counter() + 60
    while time.perf_counter() < deadline:
        try:
            async with session.get(f"{url}/readyz") as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit("the gateway did not get ready")


async def closed_loop(session: aiohttp.ClientSession, url: str, seconds: float) -> Outcome:
    """As many streams as there are slots: what the engine can do, and how long an answer then takes."""
    outcome = Outcome(0.0)
    begin = time.perf_counter()

    async def stream(number: int) -> None:
        while time.perf_counter() < begin + seconds:
            await request(session, url, outcome, number, OBJECTIVE_S)

    await asyncio.gather(*(stream(number) for number in range(SLOTS)))
    outcome.seconds = time.perf_counter() - begin
    return outcome


async def open_loop(
    session: aiohttp.ClientSession,
    url: str,
    outcome: Outcome,
    rate: float,
    seconds: float,
    deadline_s: float,
    seed: int,
) -> None:
    """Poisson arrivals that wait for nobody."""
    draw = random.Random(seed)
    tasks: list[asyncio.Task[None]] = []
    begin = time.perf_counter()
    at = 0.0
    while (at := at + draw.expovariate(rate)) < seconds:
        await asyncio.sleep(max(0.0, begin + at - time.perf_counter()))
        tasks.append(asyncio.create_task(request(session, url, outcome, len(tasks), deadline_s)))
    outcome.seconds += seconds
    await asyncio.gather(*tasks)


async def request(session: aiohttp.ClientSession, url: str, outcome: Outcome, number: int, deadline_s: float) -> None:
    """One request that must have started within `deadline_s`, and what came of it."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": PROMPT.format(number)}],
        "max_tokens": TOKENS,
        "temperature": 0.0,
    }
    begin = time.perf_counter()
    headers = {"X-Deadline-Seconds": f"{deadline_s:.3f}"}
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
            await response.read()
            status = response.status
    except aiohttp.ClientError:
        outcome.failed += 1
        return
    took_s = time.perf_counter() - begin
    if status in (429, 503):
        outcome.refused_s.append(took_s)
    elif status != 200:
        outcome.failed += 1
    else:
        outcome.answered_s.append(took_s)
        if took_s <= OBJECTIVE_S:
            outcome.in_time += 1
        else:
            outcome.late += 1


def quantile(values: list[float], q: float) -> float:
    """The q-quantile, NaN of nothing."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=1000, method="inclusive")[round(q * 1000) - 1]


if __name__ == "__main__":
    sys.exit(main())
