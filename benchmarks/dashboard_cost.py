"""Claim: an open dashboard costs the gateway at most 5 % of its throughput; so does having the pages at all.

Three gateways in turns, each as fast as it can go (over 1,000 requests/s), with key, rates, budget, prices, ledger,
metrics and log: one without pages (nothing is sampled), one with them and nobody watching, and the same one while
three admins watch the dashboard, live, as a browser does. What counts is the gateway's CPU time for a request (median
of the turns): a gateway that is as busy as it can be loses throughput by just that, and other work on the machine,
which moves the throughput itself by far more than 5 %, does not count in it.

    python benchmarks/dashboard_cost.py [--full]
"""

from __future__ import annotations

import http.client
import re
import statistics
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from gateway_load import CLIENT_CORE, Target, fake_upstream, inhouse_gateway, pin, run_load

BAR = 0.05
VIEWERS = 3
STREAMS = 16


class Viewer(threading.Thread):
    """Watches the dashboard as a browser does; counts the frames that come."""

    def __init__(self, target: Target) -> None:
        super().__init__(daemon=True)
        self.frames = 0
        self.bytes = 0
        self._connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)
        cookie = _sign_in(self._connection, target.key)
        self._connection.request("GET", "/ui/dashboard/live", headers={"Cookie": cookie})
        self._answer = self._connection.getresponse()
        if self._answer.status != 200:
            raise SystemExit(f"The dashboard answered {self._answer.status}")

    def run(self) -> None:
        """Reads until it is closed."""
        with suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            while line := self._answer.readline():
                self.frames += line.startswith(b"data: ")
                self.bytes += len(line)

    def close(self) -> None:
        """Leaves."""
        if self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        self._connection.close()


@contextmanager
def watching(target: Target, number: int) -> Iterator[list[Viewer]]:
    """So many watch until the block ends."""
    viewers = [Viewer(target) for _ in range(number)]
    for viewer in viewers:
        viewer.start()
    try:
        yield viewers
    finally:
        for viewer in viewers:
            viewer.close()
        for viewer in viewers:
            viewer.join(5)


@dataclass(frozen=True)
class Turn:
    """What a turn measured: answers a second, and the gateway's own CPU time for one, in milliseconds."""

    requests_s: float
    cpu_ms: float


def turn(target: Target, requests: int) -> Turn:
    """As many requests as it can answer."""
    process = psutil.Process(target.pid)
    before = process.cpu_times()
    load = run_load(target, target.body(stream=False, tokens=16), streams=STREAMS, requests=requests)
    after = process.cpu_times()
    if load.errors:
        raise SystemExit(f"{load.errors} requests were refused")
    used_s = after.user + after.system - before.user - before.system
    return Turn(load.requests_s, used_s / requests * 1000)


def main() -> int:
    """Measures the three in turns."""
    rounds, requests = (15, 10_000) if "--full" in sys.argv else (6, 5_000)
    pin(CLIENT_CORE)
    turns: dict[str, list[Turn]] = {"no pages": [], "pages": [], "watched": []}
    frames = size = 0
    with (
        fake_upstream() as upstream,
        inhouse_gateway(upstream, options={"INHOUSE_GATEWAY_WEB": "false"}, role="admin") as bare,
        inhouse_gateway(upstream, role="admin") as gateway,
    ):
        for target in (bare, gateway):
            turn(target, requests)  # warm
        for _ in range(rounds):
            turns["no pages"].append(turn(bare, requests))
            turns["pages"].append(turn(gateway, requests))
            with watching(gateway, VIEWERS) as viewers:
                turns["watched"].append(turn(gateway, requests))
            frames += sum(viewer.frames for viewer in viewers)
            size += sum(viewer.bytes for viewer in viewers)
    if not frames:
        raise SystemExit("Nobody saw a frame: the turns are too short")
    for name, those in turns.items():
        rates = sorted(one.requests_s for one in those)
        cpu_ms = statistics.median(one.cpu_ms for one in those)
        print(
            f"{name:9} {statistics.median(rates):7,.0f} requests/s (median of {rounds}; {rates[0]:,.0f} to "
            f"{rates[-1]:,.0f}), {cpu_ms:.3f} ms of the gateway's CPU a request"
        )
    print(f"{frames} frames of {size / frames:,.0f} bytes came to {VIEWERS} viewers")
    for name in ("pages", "no pages"):
        lost = statistics.median(
            1 - one.requests_s / other.requests_s for one, other in zip(turns["watched"], turns[name], strict=True)
        )
        print(f"watched against {name}: {lost:+.1%} of the throughput as it was seen, turn by turn")
    open_cost, whole_cost = (cost(turns["watched"], turns[name]) for name in ("pages", "no pages"))
    print(
        f"an open dashboard costs {open_cost:+.1%} of the throughput, with the pages {whole_cost:+.1%} (bar {BAR:.0%})"
    )
    return 0 if max(open_cost, whole_cost) <= BAR else 1


def cost(some: list[Turn], others: list[Turn]) -> float:
    """The share of throughput lost: on a core of its own that is how much more of it a request takes."""
    ours, theirs = (statistics.median(one.cpu_ms for one in turns) for turns in (some, others))
    return 1 - theirs / ours


def _sign_in(connection: http.client.HTTPConnection, key: str) -> str:
    """The cookie of a session."""
    connection.request("GET", "/ui/sign-in")
    page = connection.getresponse()
    before = str(page.getheader("set-cookie")).partition(";")[0]
    token = re.search(r'data-csrf="([^"]+)"', page.read().decode())
    assert token is not None
    form = urllib.parse.urlencode({"key": key, "csrf": token[1]})
    headers = {"Cookie": before, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/ui/sign-in", form, headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 303:
        raise SystemExit(f"Signing in answered {answer.status}")
    return str(answer.getheader("set-cookie")).partition(";")[0]


if __name__ == "__main__":
    sys.exit(main())
