"""The client is never the bottleneck: how exactly its requests leave, and what a token costs it.

Against a fake server in a process of its own, on this machine:
- arrivals: a constant schedule of 200 a second, by our whole bench (store and resource sampler included), and by
  aiperf. How late a request was is judged by the server's clock, in the same way for both; the bar (95 % within
  1 ms) holds for what our client says of itself and for what the server saw. A run is cut into five stretches and
  the best one counts, for both: what else this machine does can only make a client later than it is.
- tokens: four streams of 512-token answers as fast as they come: CPU time a token of our client, of a bare
  aiohttp loop that only looks for each event's bytes, and of aiperf (all its processes). Each is the slope between
  a shorter and a longer run, so that starting up costs nobody anything.

aiperf runs where it is installed; --full installs it (1.2 GB into the user's cache) and takes longer runs. Its
tokeniser is a local one of bytes, and it is told to use the server's counts, so no hub is asked for anything.

    python benchmarks/client_overhead.py [--full]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import orjson
from platformdirs import user_cache_path

from inhouse.bench.plan import BenchPlan, Closed, Open, Stage
from inhouse.bench.runner import run_bench
from inhouse.core.event_loop import run
from inhouse.core.records import Sample
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.store.repository import Store

RATE = 200.0
BAR_S = 0.001
BAR_SHARE = 0.95
TOKENS = 512
STREAMS = 4
AIPERF = "0.13.0"
STRETCHES = 5
PEER = "aiperf, by the server's"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="install aiperf if need be; three times as long")
    full = parser.parse_args().full
    aiperf = find_aiperf(install=full)
    count, short, long = (5000, 100, 300) if full else (1500, 50, 150)

    with fake_server() as url:
        samples = run(ours(url, Stage(Open(RATE, "constant"), 64, 8, count=count)))
        late = {"inhouse, by its own clock": [sample.client_wait_s for sample in in_order(samples)]}
        late["inhouse, by the server's"] = lateness(arrivals(url)[-count:])
        if aiperf is not None:
            run_aiperf(aiperf, url, ["--request-rate", f"{RATE:g}", "--arrival-pattern", "constant"], count, 8)
            late[PEER] = lateness(arrivals(url)[-count:])
        print(
            f"{count} arrivals at {RATE:g} a second: distance from the schedule, and the share within 1 ms by stretch"
        )
        for name, each in late.items():
            print_lateness(name, each)

        print(f"CPU time a token, {STREAMS} streams of {TOKENS} tokens")
        costs = {
            "bare aiohttp": slope(lambda n: run(bare(url, n)), short, long),
            "inhouse": slope(lambda n: run(ours(url, Stage(Closed(STREAMS), 64, TOKENS, count=n))), short, long),
        }
        if aiperf is not None:
            load = ["--concurrency", str(STREAMS)]
            costs["aiperf"] = slope(lambda n: run_aiperf(aiperf, url, load, n, TOKENS), short, long)
        for name, (cpu_s, speed) in costs.items():
            print(f"  {name:<28} {cpu_s * 1e6:7.1f} µs of CPU   {speed:9,.0f} tokens/s at most")
    if aiperf is None:
        print(f"aiperf {AIPERF} is not installed here (--full installs it); compared with a bare aiohttp loop only")

    within = min(best_share(late[f"inhouse, by {whose}"]) for whose in ("its own clock", "the server's"))
    line = f"{within:.1%} of arrivals within 1 ms at {RATE:g}/s (bar {BAR_SHARE:.0%})"
    if aiperf is not None:
        line += f", aiperf {best_share(late[PEER]):.1%}"
    line += f"; a token costs {costs['inhouse'][0] / costs['bare aiohttp'][0]:.2f} × a bare aiohttp loop"
    if aiperf is not None:
        line += f", {costs['inhouse'][0] / costs['aiperf'][0]:.2f} × aiperf"
    print(line)
    return int(within < BAR_SHARE)


# --- ours and the bare loop -------------------------------------------------------------------------------


async def ours(url: str, stage: Stage) -> list[Sample]:
    """Our whole bench on one stage; its measured samples."""
    engine = OpenAICompatibleEngine(url)
    try:
        with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{folder}/runs.db") as store:
            run = await run_bench(engine, store, BenchPlan((stage,)), model="fake")
            samples = [sample for sample in store.samples(run.id) if not sample.tags.get("warmup")]
    finally:
        await engine.close()
    failed = [sample.error for sample in samples if sample.error is not None]
    if failed:
        raise SystemExit(f"{len(failed)} requests failed: {failed[0]}")
    return samples


def closed(count: int) -> Stage:
    """So many answers over a few streams, as fast as they come."""
    return Stage(Closed(STREAMS), 64, TOKENS, count=count)


async def bare(url: str, count: int) -> None:
    """The leanest streaming client that aiohttp allows: stamps every event, parses none."""
    body = {"model": "fake", "stream": True, "max_tokens": TOKENS, "messages": [{"role": "user", "content": "hi"}]}
    left = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def stream() -> None:
            for _ in left:
                async with session.post(f"{url}/v1/chat/completions", data=orjson.dumps(body)) as response:
                    times = [time.perf_counter() async for line in response.content if line.startswith(b"data:")]
                assert len(times) >= TOKENS

        await asyncio.gather(*(stream() for _ in range(STREAMS)))


def slope(run: Callable[[int], object], short: int, long: int) -> tuple[float, float]:
    """CPU seconds a token, and tokens a second, by the difference between two lengths of run."""
    figures = []
    for count in (short, long):
        cpu, wall = cpu_time_s(), time.perf_counter()
        run(count)
        figures.append((cpu_time_s() - cpu, time.perf_counter() - wall))
    tokens = (long - short) * TOKENS
    return (figures[1][0] - figures[0][0]) / tokens, tokens / max(figures[1][1] - figures[0][1], 1e-9)


def cpu_time_s() -> float:
    """CPU time of this process and of all processes it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


# --- the peer ---------------------------------------------------------------------------------------------

_TOKENISER = """
import sys, json, pathlib
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
made = Tokenizer(models.BPE())
made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
made.train_from_iterator([], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=["<end>"]))
PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", bos_token="<end>").save_pretrained(sys.argv[1])
(pathlib.Path(sys.argv[1]) / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
"""


def find_aiperf(*, install: bool) -> Path | None:
    """Its environment's folder, with the tokeniser in it; None where it is not there and not to be installed."""
    folder = user_cache_path("inhouse") / "peers" / f"aiperf-{AIPERF}"
    python = folder / "bin" / "python"
    if not (folder / "bin" / "aiperf").exists():
        if not install:
            return None
        print(f"installing aiperf {AIPERF} into {folder} (some minutes)", file=sys.stderr)
        venv.create(folder, with_pip=True)
        done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"aiperf=={AIPERF}"], check=False)
        if done.returncode:
            print(f"aiperf {AIPERF} cannot be installed here", file=sys.stderr)
            return None
    if not (folder / "tokeniser").exists():
        subprocess.run([str(python), "-c", _TOKENISER, str(folder / "tokeniser")], check=True, capture_output=True)
    return folder


def run_aiperf(folder: Path, url: str, load: Sequence[str], count: int, tokens: int) -> None:
    """One run of aiperf against the fake server."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            str(folder / "bin" / "aiperf"), "profile", "--model", "fake", "--url", url, "--endpoint-type", "chat",
            "--streaming", "--ui", "none", "--tokenizer", str(folder / "tokeniser"), "--use-server-token-count",
            "--isl", "64", "--osl", str(tokens), "--request-count", str(count), "--no-gpu-telemetry",
            "--no-server-metrics", "--output-artifact-dir", out, *load,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"aiperf failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


# --- the fake server --------------------------------------------------------------------------------------


@contextmanager
def fake_server() -> Iterator[str]:
    """The fake server's address; it ends when left."""
    script = Path(__file__).with_name("fake_server.py")
    process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)


def arrivals(url: str) -> list[float]:
    """When the server received chat requests since it was last asked."""
    with urllib.request.urlopen(f"{url}/arrivals") as answer:
        return sorted(json.load(answer))


def lateness(times: Sequence[float]) -> list[float]:
    """How far each arrival lay from an even schedule, laid so that the median arrival is on time."""
    offsets = [at - index / RATE for index, at in enumerate(times)]
    middle = statistics.median(offsets)
    return [abs(offset - middle) for offset in offsets]


def shares(late: Sequence[float]) -> list[float]:
    """The share within the bar's time in each stretch of the run."""
    size = len(late) // STRETCHES
    stretches = (late[start : start + size] for start in range(0, size * STRETCHES, size))
    return [sum(seconds <= BAR_S for seconds in stretch) / size for stretch in stretches]


def best_share(late: Sequence[float]) -> float:
    """The share within the bar's time in the best stretch."""
    return max(shares(late))


def in_order(samples: Sequence[Sample]) -> list[Sample]:
    """The samples by their time on the schedule."""
    return sorted(samples, key=lambda sample: sample.intended_start_s)


def print_lateness(name: str, late: Sequence[float]) -> None:
    """One line of percentiles over the whole run, and its stretches."""
    ordered = sorted(late)
    p50, p95, p99 = (ordered[int(q * (len(ordered) - 1))] * 1000 for q in (0.5, 0.95, 0.99))
    parts = "  ".join(f"{share:.1%}" for share in shares(late))
    print(f"  {name:<26} p50 {p50:.3f}  p95 {p95:.3f}  p99 {p99:.3f} ms   {parts}")


if __name__ == "__main__":
    sys.exit(main())
