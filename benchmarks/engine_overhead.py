"""What the embedded engine costs against llama.cpp's bare server: tokens/s through one, over tokens/s of the other.

Ours: worker process, supervisor, HTTP client, events of the Engine protocol. Bare: xllamacpp's server and the
leanest client there can be (one loop over raw sockets that only looks for the end mark) in one process. The same
model, threads and slots, and the same GOMP_SPINCOUNT: what our choice of it costs and saves is contention.py's to
measure. The prompt is cached on both sides, so that rounds are all decoding; rounds are short and alternate, so that
whatever else the machine does meets both sides.

The bar is for the smallest model of a study. `--model smollm2:135m` shows the harshest case: its tokens come every
8 ms, and each wakes an event loop whose code the model's weights have just driven out of the processor's cache
(0.2 ms against 0.07 ms for raw sockets), so that two threads on two cores reach 0.95 to 0.98 there with one stream.

    python benchmarks/engine_overhead.py [--full] [--threads N] [--model NAME]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from inhouse.core.environment import usable_cores
from inhouse.core.event_loop import run
from inhouse.core.settings import get_settings
from inhouse.engines.base import ChatRequest, DoneEvent, Message
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.launch import LaunchSpec
from inhouse.engines.worker import SPIN_COUNT
from inhouse.models.library import model_path

MODEL = "qwen2.5-coder:0.5b"
BAR = 0.98
SLOTS = 8
CONTEXT = 512
TOKENS = {1: 32, 8: 12}  # by number of streams: about a second a round on two cores
PROMPT = "Tell me a long story about a lighthouse keeper."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="five times as many rounds")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="threads that decode (default: all cores)")
    parser.add_argument("--model", default=MODEL, help=f"a catalogue model that is here (default: {MODEL})")
    parser.add_argument("--bare", metavar="GGUF", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        return serve_bare(options.bare, options.threads)
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))  # both sides inherit it
    spec = LaunchSpec(options.model, model_path(get_settings(), options.model), CONTEXT, SLOTS, options.threads)
    return run(compare(spec, budget_s=225.0 if options.full else 45.0))


async def compare(spec: LaunchSpec, budget_s: float) -> int:
    """Alternates both sides at 1 and at 8 streams; prints the ratios, the lower one last."""
    async with both_sides(spec) as (engine, bare):
        print(f"{spec.model}, {spec.threads} threads, {SLOTS} slots")
        ratios = [await ratio_at(streams, spec.model, engine, bare, budget_s / 2) for streams in TOKENS]
    print(f"engine_overhead: {min(ratios):.3f} of the bare server's tokens/s (bar: {BAR})")
    return 0 if min(ratios) >= BAR else 1


@asynccontextmanager
async def both_sides(spec: LaunchSpec) -> AsyncIterator[tuple[EmbeddedEngine, subprocess.Popen[str]]]:
    """Our engine and the bare server, each with the model loaded; both ended afterwards."""
    engine = EmbeddedEngine(lambda _: spec)
    bare = start_bare(spec)
    try:
        await engine.load(spec.model)
        if bare.stdout is None or bare.stdout.readline() != "ready\n":
            raise SystemExit("the bare server did not start")
        yield engine, bare
    finally:
        bare.kill()
        bare.wait()
        await engine.close()


async def ratio_at(
    streams: int, model: str, engine: EmbeddedEngine, bare: subprocess.Popen[str], budget_s: float
) -> float:
    """The median over pairs of rounds of our tokens/s over the bare server's."""
    tokens = TOKENS[streams]
    for _ in range(2):  # warm-up
        await ours(engine, model, streams, tokens)
        theirs(bare, streams, tokens)
    pairs: list[tuple[float, float]] = []
    cpu_s = -_cpu_s()
    begin = time.perf_counter()
    while len(pairs) < 6 or time.perf_counter() - begin < budget_s:
        if len(pairs) % 2:
            bare_s = theirs(bare, streams, tokens)
            ours_s = await ours(engine, model, streams, tokens)
        else:
            ours_s = await ours(engine, model, streams, tokens)
            bare_s = theirs(bare, streams, tokens)
        pairs.append((ours_s, bare_s))
    cpu_s += _cpu_s()
    work = streams * tokens
    ratios = sorted(bare_s / ours_s for ours_s, bare_s in pairs)
    ratio = statistics.median(ratios)
    quartiles = statistics.quantiles(ratios, n=4)
    ours_quick, bare_quick = (statistics.quantiles(side, n=4)[0] for side in zip(*pairs, strict=True))
    ours_rate, bare_rate = (work / statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"{streams} stream{'s' if streams > 1 else ' '}: ours {ours_rate:6.1f} tokens/s, "
        f"bare {bare_rate:6.1f} tokens/s, ratio {ratio:.3f} "
        f"(middle half of {len(pairs)} pairs: {quartiles[0]:.3f} to {quartiles[2]:.3f}; "
        f"of the quicker quarter of rounds {bare_quick / ours_quick:.3f}), "
        f"our client's CPU {cpu_s / (work * len(pairs)) * 1e6:.0f} µs a token"
    )
    return ratio


async def ours(engine: EmbeddedEngine, model: str, streams: int, tokens: int) -> float:
    """Seconds until all streams have got all their tokens through our engine."""
    request = ChatRequest(model, (Message("user", PROMPT),), max_tokens=tokens, temperature=0.0, ignore_eos=True)

    async def one() -> None:
        async for event in engine.chat(request):
            if isinstance(event, DoneEvent):
                return

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(streams)))
    return time.perf_counter() - begin


def theirs(bare: subprocess.Popen[str], streams: int, tokens: int) -> float:
    """Seconds for the same by the bare server and the lean client."""
    assert bare.stdin is not None
    assert bare.stdout is not None
    bare.stdin.write(f"{streams} {tokens}\n")
    bare.stdin.flush()
    return float(bare.stdout.readline())


def start_bare(spec: LaunchSpec) -> subprocess.Popen[str]:
    """The process of the other side."""
    return subprocess.Popen(
        [sys.executable, __file__, "--threads", str(spec.threads), "--bare", str(spec.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # as our worker: the kernel shares the processor out by session
    )


def serve_bare(path: Path, threads: int) -> int:
    """The other side: the server in this process; a round for each line on stdin."""
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path = str(path)
    params.n_ctx = CONTEXT * SLOTS
    params.n_parallel = SLOTS
    params.cache_ram_mib = 0
    params.n_threads_http = 64  # all connections are served at once, as in our worker
    params.port = 0
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = threads
    server = Server(params)
    host, _, port = server.listening_address.removeprefix("http://").partition(":")
    print("ready", flush=True)
    for line in sys.stdin:
        streams, tokens = map(int, line.split())
        print(lean_round(host, int(port), streams, tokens), flush=True)
    return 0


def lean_round(host: str, port: int, streams: int, tokens: int) -> float:
    """Seconds until every socket has seen its end mark."""
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": PROMPT}],
            "max_tokens": tokens,
            "temperature": 0.0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    )
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    begin = time.perf_counter()
    with selectors.DefaultSelector() as waiting:
        for _ in range(streams):
            connection = socket.create_connection((host, port))
            connection.sendall(request)
            waiting.register(connection, selectors.EVENT_READ, bytearray())
        while waiting.get_map():
            for key, _ in waiting.select():
                connection = key.fileobj  # type: ignore[assignment]
                data = connection.recv(64 * 1024)
                key.data.extend(data)
                if b"[DONE]" in key.data[-64 - len(data) :]:
                    waiting.unregister(connection)
                    connection.close()
                elif not data:
                    raise SystemExit(f"the bare server broke off: {bytes(key.data[-300:])!r}")
    return time.perf_counter() - begin


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
