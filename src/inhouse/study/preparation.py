"""The parts of phase 1 before the model runs: the machine, the pull; and after it: the prediction for Llama 2 7B."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from inhouse.core.errors import BenchError, PartSkipped
from inhouse.core.records import Metric, Run, RunStatus
from inhouse.core.units import format_bytes
from inhouse.models.bandwidth import measure_bandwidth
from inhouse.models.catalogue import find_entry
from inhouse.models.estimate import DecodePoint, estimate_memory, predict_decode
from inhouse.models.gguf import read_gguf
from inhouse.models.library import model_path, read_note
from inhouse.models.pull import PullProgress, preferred_sources, pull
from inhouse.study.base import Context, Outcome, outcomes
from inhouse.study.patience import READING_TOKENS_S
from inhouse.study.phase1_findings import USERS_7B

REFERENCE = "llama2:7b"
BANDWIDTH_SECONDS = 2.0


async def measure_machine(context: Context) -> str:
    """Measures the memory bandwidth and adds it to the study's fingerprint."""
    context.report(None, "reading memory as fast as it goes")
    bandwidth = await asyncio.to_thread(measure_bandwidth, BANDWIDTH_SECONDS)
    environment = replace(context.environment, memory_bandwidth_bytes_s=bandwidth)
    context.store.set_environment(context.study.id, environment)
    run = _create(context, "machine", "machine", {"seconds": BANDWIDTH_SECONDS})
    return _finish(
        context,
        run,
        [
            Metric("memory_bandwidth_bytes_s", bandwidth, "B/s", method="measured: read by all usable cores"),
            Metric("ram_bytes", float(environment.ram_bytes), "B", method="read from the system"),
        ],
    )


async def pull_model(context: Context) -> str:
    """Pulls the study's model, or takes the figures that its earlier pull left beside it."""
    entry = find_entry(context.config.model)

    def report(progress: PullProgress) -> None:
        total = progress.total_bytes
        detail = progress.remark or f"{progress.phase} {progress.source}".strip()
        if total:
            detail = f"{format_bytes(progress.done_bytes)} of {format_bytes(total)}"
        context.report(progress.done_bytes / total if total else None, detail)

    settings = context.settings
    result = await pull(
        entry, settings.models_dir, sources=preferred_sources(settings), folder=settings.model_folder,
        on_progress=report,
    )  # fmt: skip
    note = read_note(result.path)
    if note is None or note.seconds <= 0 or note.downloaded_bytes <= 0:
        raise PartSkipped(
            f"{entry.name} was here already, and nobody measured how long its download took",
            message="phase1.no_download",
            model=entry.name,
        )
    measured = "measured" if not result.already_there else f"measured when it was pulled, {note.pulled_at}"
    config = {"source": note.source, "already_there": result.already_there, "sha256": note.sha256}
    run = _create(context, "pull", "pull", config)
    reference = find_entry(REFERENCE)
    speed = note.downloaded_bytes / note.seconds
    metrics = [
        Metric("download_bytes", float(note.downloaded_bytes), "B", {"model": entry.name}, method=measured),
        Metric("download_s", note.seconds, "s", {"model": entry.name}, method=measured),
        Metric("download_bytes_s", speed, "B/s", {"model": entry.name}, method=measured),
    ]
    if reference.name != entry.name:
        metrics.append(
            Metric(
                "download_s",
                reference.size_bytes / speed,
                "s",
                {"model": reference.name},
                predicted=True,
                method="predicted: its size over the speed of this download",
            )
        )
    return _finish(context, run, metrics)


async def predict_reference(context: Context) -> str:
    """Predicts memory and decode speed of Llama 2 7B from this machine's bandwidth and the model that did run."""
    entry = find_entry(REFERENCE)
    if entry.layout is None:
        raise BenchError(f"The catalogue has no layout of {REFERENCE}", do="Add its layout to catalogue.toml")
    done = outcomes(context.store, context.study.id)
    bandwidth = _metric(context, done, "machine", "memory_bandwidth_bytes_s")
    if bandwidth is None:
        raise PartSkipped(
            "The memory bandwidth was not measured, and the prediction stands on it", message="phase1.no_bandwidth"
        )
    measured = _metric(context, done, "prompt_length", "decode_tokens_s") or _metric(
        context, done, "concurrency", "decode_tokens_s"
    )
    points = []
    if measured is not None:
        info = read_gguf(model_path(context.settings, context.config.model))
        points.append(DecodePoint(info, bandwidth.value, measured.value))
    memory = estimate_memory(entry.layout, context=entry.context, slots=1)
    speed = predict_decode(entry.layout, bandwidth.value, points)
    gain = _batching_gain(context, done)
    needed = bandwidth.value * USERS_7B * READING_TOKENS_S / (speed.tokens_s * gain)
    run = _create(context, "prediction", "llama2", {"reference": entry.name, "memory": asdict(memory)}, entry.name)
    return _finish(
        context,
        run,
        [
            Metric("memory_estimate_bytes", float(memory.total_bytes), "B",
                   {"model": entry.name, "context": entry.context, "slots": 1}, predicted=True,
                   method="predicted: weights, KV cache and buffers from the model's layout"),
            Metric("decode_tokens_s", speed.tokens_s, "1/s", {"model": entry.name, "streams": 1}, speed.low,
                   speed.high, predicted=True, method=f"predicted: {speed.method}"),
            Metric("bandwidth_needed_bytes_s", needed, "B/s", {"model": entry.name, "users": USERS_7B}, predicted=True,
                   method="predicted: bandwidth × readers × reading speed ÷ (decode speed × gain by batching), "
                   f"that gain being {gain:.2f} as measured here"),
            replace(bandwidth, labels={}),
            Metric("ram_bytes", float(context.environment.ram_bytes), "B", method="read from the system"),
        ],
    )  # fmt: skip


def _batching_gain(context: Context, done: Mapping[str, Outcome]) -> float:
    """How many times one stream's throughput the best number of streams reached here; 1 where it was not measured."""
    run_id = done["concurrency"].run if "concurrency" in done else None
    output = [m for m in context.store.metrics(run_id) if m.name == "output_tokens_s"] if run_id else []
    alone = next((m.value for m in output if m.labels.get("streams") == 1), 0.0)
    return max(m.value for m in output) / alone if alone else 1.0


def _create(context: Context, kind: str, part: str, config: Mapping[str, Any], model: str | None = None) -> Run:
    return context.store.create_run(
        kind, {"name": part, **config}, seed=context.config.seed, environment=context.environment,
        model=model or context.config.model, study_id=context.study.id,
    )  # fmt: skip


def _finish(context: Context, run: Run, metrics: list[Metric]) -> str:
    context.store.set_metrics(run.id, metrics)
    context.store.finish_run(run.id, RunStatus.DONE)
    return run.id


def _metric(context: Context, done: Mapping[str, Outcome], part: str, name: str) -> Metric | None:
    run_id = done[part].run if part in done else None
    metrics = context.store.metrics(run_id) if run_id else []
    return next((m for m in metrics if m.name == name), None)
