"""Phase 5, serve: the gateway before the study's model, measured as the process that a company would run.

Each part starts gateways of its own (gateway_process.py) and ends them; what follows from the figures is said in
phase5_findings.py.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

import numpy as np

from inhouse.bench.arrivals import arrivals, until
from inhouse.bench.loops import closed_loop, open_loop
from inhouse.bench.plan import Closed, Objectives, Open, Stage
from inhouse.bench.runner import quiet_interpreter
from inhouse.bench.workload import Work
from inhouse.core.environment import available_ram_bytes, usable_cores
from inhouse.core.errors import BenchError, EngineOverloaded, PartSkipped
from inhouse.core.records import Sample, Scalar
from inhouse.core.settings import Settings
from inhouse.core.units import format_bytes
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.engines.openai_wire import LLAMA_CPP
from inhouse.engines.supervisor import Worker
from inhouse.models.estimate import estimate_memory
from inhouse.models.gguf import read_gguf
from inhouse.models.launch import launch_spec
from inhouse.models.library import model_path
from inhouse.study.base import Context, Part
from inhouse.study.gateway_process import GatewayProcess, gateway_process, require_gateway
from inhouse.study.phase5_checks import check_guard, check_ledger
from inhouse.study.recording import Recording, deadline, prompts, recording
from inhouse.study.serving import client, shape

PROMPT_TOKENS = 64
OUTPUT_TOKENS = 16
STREAMS = 4
OVERLOAD = 5.0
"""Arrivals of the open loop, as a multiple of what the closed loop got done: as many at least."""
_ENOUGH = 6 * STREAMS  # arrivals that fill all slots and the queue, and leave most of them without either
PATIENCE = 3.0
"""An answer counts as in time within so many times what 95 % of the answers took without a queue."""
_LATENCIES = frozenset({"requests", "error_rate", "errors", "ttft_s", "e2e_s"})
_RATES = frozenset({"requests_s", "goodput_requests_s", "goodput_share", "output_tokens_s"})
_PAIRS = 300
_QUESTIONS = 100
_BACK_S = 30.0  # how long a replica that is up again may stay without a request


async def _gateway(context: Context) -> str:
    """The same requests in turn to the engine itself and through the gateway before it."""
    require_gateway()
    settings = shape(context, slots=1)
    async with (
        _engine_process(settings) as (address, key),
        gateway_process(settings, _offer(settings.model, address, key_env="STUDY_KEY"), STUDY_KEY=key) as gateway,
        client(gateway, settings) as through,
    ):
        direct = OpenAICompatibleEngine(address, api_key=key, stall_s=settings.stall_s, dialect=LLAMA_CPP)
        try:
            maker = await prompts(context, direct, PROMPT_TOKENS, OUTPUT_TOKENS // 2)
            with recording(context, "gateway", _LATENCIES) as record, quiet_interpreter():
                end = deadline(context)
                ways = [("direct", direct), ("gateway", through)]
                pairs: list[dict[str, Sample]] = []
                while len(pairs) < 3 or (time.perf_counter() < end and len(pairs) < _PAIRS):
                    pairs.append({way: await record.send(e, maker.next({"stage": way})) for way, e in ways})
                    ways.reverse()  # neither is always the first
                    context.report(min(1.0, 1 - (end - time.perf_counter()) / context.seconds), f"{len(pairs)} pairs")
                _add_differences(record, pairs)
        finally:
            await direct.close()
    return record.run_id


def _add_differences(record: Recording, pairs: list[dict[str, Sample]]) -> None:
    """What the gateway adds to each pair's latencies; to the whole's only where both answers are as long."""
    both = [(pair["direct"], pair["gateway"]) for pair in pairs if pair["direct"].ok and pair["gateway"].ok]
    ttft = [g.ttft_s - d.ttft_s for d, g in both if d.ttft_s is not None and g.ttft_s is not None]
    e2e = [g.e2e_s - d.e2e_s for d, g in both if d.completion_tokens == g.completion_tokens]
    record.add_times("added_ttft_s", ttft)
    record.add_times("added_e2e_s", e2e)


async def _overload(context: Context) -> str:
    """What the gateway gets done at its capacity, and when several times as much is asked of it."""
    require_gateway()
    settings = shape(context, slots=STREAMS)
    replica = {"engine": "embedded", "slots": STREAMS}
    offer = {"name": settings.model, "replicas": [replica], "max_waiting": STREAMS}
    async with gateway_process(settings, {"models": [offer]}) as gateway, client(gateway, settings) as engine:
        maker = await prompts(context, engine, PROMPT_TOKENS, OUTPUT_TOKENS)
        with recording(context, "overload", _LATENCIES | _RATES, max_waiting=STREAMS) as record, quiet_interpreter():

            def work(labels: Mapping[str, Scalar]) -> Iterator[Work]:
                while True:
                    yield maker.next(labels)

            async def send(piece: Work, due: float) -> Sample:
                return await record.send(engine, piece, due)

            context.report(0.0, f"{STREAMS} users, one after another")
            stage = Stage(Closed(STREAMS), PROMPT_TOKENS, OUTPUT_TOKENS, duration_s=max(2.0, 0.3 * context.seconds))
            await closed_loop(send, work(stage.labels), streams=STREAMS, duration_s=stage.duration_s)
            capacity, usual_s = _capacity(record.samples)
            record.objectives = Objectives(e2e_s=float(f"{PATIENCE * usual_s:.2g}"))
            record.add(
                "objective_s",
                record.objectives.e2e_s or 0.0,
                "s",
                method=f"{PATIENCE:g} × e2e_s p95 of the closed loop",
            )
            record.add("capacity_requests_s", capacity, "requests/s", n=len(record.samples))
            seconds = max(2.0, 0.3 * context.seconds)
            for number, rate in enumerate((capacity, max(OVERLOAD * capacity, _ENOUGH / seconds)), 1):
                multiple = float(f"{rate / capacity:.2g}")
                context.report(number / 3, f"{multiple:g} × what it can do")
                stage = Stage(Open(float(f"{rate:.3g}")), PROMPT_TOKENS, OUTPUT_TOKENS, duration_s=seconds)
                rng = random.Random(f"{context.config.seed}:{number}")
                times = list(until(arrivals(Open(rate), rng), count=None, duration_s=seconds))
                before = len(record.samples)
                await open_loop(send, work(stage.labels), times)
                _add_refusals(record, record.samples[before:], {**stage.labels, "multiple": multiple})
    return record.run_id


def _capacity(samples: list[Sample]) -> tuple[float, float]:
    """Answers a second of the closed loop, and what 95 % of them took at most, in seconds."""
    answered = [sample for sample in samples if sample.ok]
    if not answered:
        raise BenchError("The gateway answered nothing", why=samples[0].error.message if samples[0].error else "")
    seconds = max(sample.end_s for sample in answered) - min(sample.start_s for sample in answered)
    return len(answered) / seconds, float(np.quantile([sample.e2e_s for sample in answered], 0.95))


def _add_refusals(record: Recording, samples: list[Sample], labels: Mapping[str, Scalar]) -> None:
    if not samples:
        return
    refused = [sample for sample in samples if sample.error and sample.error.kind == EngineOverloaded.kind]
    failed = sum(not sample.ok for sample in samples) - len(refused)
    record.add("refused_share", len(refused) / len(samples), "", labels, len(samples))
    record.add("failed_requests", failed, "", labels, len(samples))
    if refused:
        record.add_times("refusal_s", (sample.e2e_s for sample in refused), labels)
        told = sum("retry_after_s" in sample.tags for sample in refused)
        record.add("retry_after_share", told / len(refused), "", labels, len(refused))


async def _failover(context: Context) -> str:
    """Two replicas under load, one of which is killed and started again at once, as a service manager would."""
    require_gateway()
    settings = shape(context, slots=STREAMS // 2, threads=max(1, usable_cores() // 2))
    _check_memory(settings, 2)
    async with (
        gateway_process(settings, {}, with_key=False) as one,
        gateway_process(settings, {}, with_key=False) as other,
        gateway_process(settings, _offer(settings.model, one.url, other.url, slots=STREAMS // 2)) as front,
        client(front, settings) as engine,
    ):
        maker = await prompts(context, engine, PROMPT_TOKENS, OUTPUT_TOKENS)
        with recording(context, "failover", _LATENCIES, slots=STREAMS // 2) as record, quiet_interpreter():
            over = asyncio.Event()

            def work() -> Iterator[Work]:
                while not over.is_set():
                    yield maker.next({})

            async def send(piece: Work, due: float) -> Sample:
                return await record.send(engine, piece, due)

            load = asyncio.create_task(closed_loop(send, work(), streams=STREAMS, duration_s=None))
            try:
                await _kill_one(context, record, one, front)
                over.set()
                await load
            finally:
                load.cancel()
                await asyncio.gather(load, return_exceptions=True)
            rows = await asyncio.to_thread(front.ledger)
            record.add("retried_requests", sum(row["retries"] > 0 for row in rows), n=len(rows))
            record.add("failed_requests", sum(not sample.ok for sample in record.samples), n=len(record.samples))
    return record.run_id


async def _kill_one(context: Context, record: Recording, victim: GatewayProcess, front: GatewayProcess) -> None:
    """Kills it in the middle of the load, brings it back, and sorts the samples by what they met."""
    end = deadline(context)
    context.report(0.1, "both replicas serve")
    await asyncio.sleep(max(1.0, 0.3 * context.seconds))
    killed_at, killed = time.time(), time.perf_counter()
    await victim.kill()
    context.report(0.4, "one was killed and starts again")
    await victim.start()
    await victim.ready()
    restarted = time.perf_counter()
    back_s = None
    while back_s is None and time.perf_counter() < restarted + _BACK_S:
        await asyncio.sleep(0.3)
        rows = await asyncio.to_thread(front.ledger)
        new = [row for row in rows if row["at"] > killed_at and row["status"] == 200]
        back = [row["at"] + row["e2e_s"] - killed_at for row in new if row["replica"] == f"openai {victim.url}"]
        back_s = min(back, default=None)
    context.report(0.8, "both replicas serve again")
    await asyncio.sleep(max(0.5, end - time.perf_counter()))
    record.add("restart_s", restarted - killed, "s", method="measured")
    if back_s is not None:
        record.add("recovery_s", back_s, "s", method="measured")
    record.stage_of = _stages_around(killed - record.origin, restarted - killed if back_s is None else back_s)


def _stages_around(kill_s: float, outage_s: float) -> Callable[[Sample], str]:
    """What a request met: it was over before the kill, it met the outage, or it came after it."""

    def stage(sample: Sample) -> str:
        return "before" if sample.end_s < kill_s else "outage" if sample.start_s < kill_s + outage_s else "after"

    return stage


async def _cache(context: Context) -> str:
    """Every question twice: answered by the model, then from the cache."""
    require_gateway()
    settings = shape(context, slots=1)
    async with gateway_process(settings, {"cache": "key"}) as gateway, client(gateway, settings) as engine:
        maker = await prompts(context, engine, PROMPT_TOKENS, 2 * OUTPUT_TOKENS)
        with recording(context, "cache", _LATENCIES, scope="key") as record:
            end = deadline(context)
            asked = 0
            while asked < 3 or (time.perf_counter() < end and asked < _QUESTIONS):
                question = maker.next({"stage": "miss"})
                await record.send(engine, question)
                await record.send(engine, Work(question.request, {"stage": "hit"}))
                asked += 1
                context.report(min(1.0, asked / _QUESTIONS), f"{asked} questions, each twice")
            rows = await asyncio.to_thread(gateway.ledger)
            hits = [row for row in rows if row["cache"] is not None]
            record.add("cache_hits", len(hits), n=asked)
            record.add("repeated_questions", asked, n=asked)
            saved = sum(row["prompt_tokens"] + row["completion_tokens"] for row in hits)
            record.add("saved_tokens", saved, "tokens", n=len(hits))
    return record.run_id


def _offer(model: str, *urls: str, key_env: str = "", slots: int = 1) -> dict[str, object]:
    """The gateway's settings for one model that servers elsewhere serve."""
    replicas = [{"engine": "openai", "url": url, "key_env": key_env, "slots": slots} for url in urls]
    return {"models": [{"name": model, "replicas": replicas}]}


@asynccontextmanager
async def _engine_process(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """The embedded engine's process alone: its address and key. Any number of clients may call it."""
    worker = Worker(launch_spec(settings, settings.model), stall_s=settings.stall_s)
    try:
        yield await worker.address(), worker.api_key
    finally:
        await worker.stop()


def _check_memory(settings: Settings, copies: int) -> None:
    """PartSkipped where the memory does not suffice for so many processes with the model."""
    info = read_gguf(model_path(settings, settings.model))
    need = copies * estimate_memory(info, context=settings.context, slots=settings.slots).needed_bytes
    available = available_ram_bytes()
    if need > 0.9 * available:
        raise PartSkipped(
            f"{settings.model} needs {format_bytes(need)} {copies} times, and {format_bytes(available)} are free",
            message="phase5.no_memory_for_two",
            model=settings.model,
            need=format_bytes(need),
            available=format_bytes(available),
        )


PHASE5: tuple[Part, ...] = (
    Part("gateway", 5, "what the gateway adds to each answer", 0.15, _gateway),
    Part("overload", 5, "many times as many requests as it can serve", 0.35, _overload),
    Part("failover", 5, "kill one of two replicas under load", 0.25, _failover),
    Part("cache", 5, "the same question again", 0.10, _cache),
    Part("guard", 5, "personal data and injections on the way in", 0.05, check_guard),
    Part("cost", 5, "kill the gateway; what its ledger holds", 0.10, check_ledger),
)
