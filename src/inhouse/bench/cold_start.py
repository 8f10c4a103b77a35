"""Measures cold starts: from no process to the first token, with the model file in the page cache and without.

Works with any engine that can load and unload; where the model file is, it learns from the engine's process.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from inhouse.bench.client import measure
from inhouse.bench.keeping import ending, origin_of
from inhouse.bench.page_cache import drop, mapped_models, resident_share
from inhouse.bench.plan import check_positive
from inhouse.bench.statistics import quantile
from inhouse.core.environment import Environment, read_environment
from inhouse.core.errors import EngineError, UnsupportedFeature
from inhouse.core.records import Metric, Run, Sample, Scalar
from inhouse.engines.base import ChatRequest, Engine, Message
from inhouse.store.repository import Store

_COLD = 0.05  # share of the file still in memory up to which a cache counts as cold
_QUESTION = "Say hello."

PARTS: dict[str, Callable[[Sample], float | None]] = {
    "process": lambda sample: sample.engine_timings.get("process_s"),
    "load": lambda sample: sample.engine_timings.get("load_s"),
    "first_token": lambda sample: sample.engine_timings.get("first_token_s"),
    "total": lambda sample: sample.ttft_s,
}
"""The parts of a start, in seconds: until the process runs, until the model is ready, until the first token of
a short answer; and the sum."""


async def run_cold_start(
    engine: Engine,
    store: Store,
    *,
    model: str,
    repeats: int = 3,
    drop_page_cache: bool = True,
    model_path: Path | None = None,
    seed: int = 0,
    study_id: str | None = None,
    environment: Environment | None = None,
    name: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Starts the model `repeats` times, and keeps samples and figures under a run of kind "cold_start".

    With `drop_page_cache` each repeat is two starts: one after the model file was put out of the page cache
    (as after a boot), one right after it. A start counts as cold only where the file was seen to be out of
    memory; without the system's word for it, it is labelled "unknown".

    Args:
        engine: must have the `lifecycle` capability.
        store: where the run is kept.
        model: what to start.
        repeats: how often.
        drop_page_cache: whether to measure with a cold page cache too.
        model_path: the model's file; None: what the engine's process is seen to map.
        seed: of the intervals.
        study_id: the study that the run is part of.
        environment: None: read here.
        name: of the run.
        on_progress: told how many starts of how many are done.

    Raises:
        UnsupportedFeature: the engine does not load and unload models.
        EngineError: it failed to.
    """
    check_positive("The number of repeats", repeats)
    if not engine.capabilities.lifecycle:
        raise UnsupportedFeature(
            f"The {engine.name} engine cannot load and unload models, so its cold start cannot be measured",
            do="Use the embedded engine or Ollama",
        )
    health = await engine.health()
    environment = environment or replace(read_environment(), engine=engine.name, engine_version=health.version)
    config = {"name": name, "repeats": repeats, "drop_page_cache": drop_page_cache}
    run = store.create_run(
        "cold_start", config, seed=seed, environment=environment, model=model, engine=engine.name, study_id=study_id
    )
    total = repeats * (2 if drop_page_cache else 1)
    with ending(store, run):
        origin = origin_of(run)
        files = (model_path,) if model_path is not None else await _model_files(engine, model)
        samples: list[Sample] = []
        try:
            for _ in range(repeats):
                for cold in (True, False) if drop_page_cache else (False,):
                    if on_progress is not None:
                        on_progress(len(samples), total)
                    await engine.unload(model)
                    sample = await _start(engine, model, files, len(samples), origin, cold=cold)
                    await asyncio.to_thread(store.add_samples, run.id, [sample])
                    samples.append(sample)
        finally:
            store.set_metrics(run.id, cold_start_metrics(samples, seed=seed))
        if on_progress is not None:
            on_progress(total, total)
    return store.get_run(run.id)


def cold_start_metrics(samples: Iterable[Sample], *, seed: int = 0) -> list[Metric]:
    """The median of each part of the start, by the state of the page cache."""
    import numpy as np

    rng = np.random.default_rng(seed)
    groups: dict[Scalar, list[Sample]] = {}
    for sample in samples:
        if sample.ok:
            groups.setdefault(sample.tags["cache"], []).append(sample)
    found = []
    for cache, group in groups.items():
        for part, of in PARTS.items():
            values = [value for sample in group if (value := of(sample)) is not None]
            if values:
                median = quantile(np.array(values), 0.5, rng)
                labels = {"part": part, "cache": cache, "stat": "p50"}
                found.append(
                    Metric(
                        "cold_start_s", median.value, "s", labels, median.low, median.high, median.n, "bootstrap p50"
                    )
                )
    return found


async def _model_files(engine: Engine, model: str) -> tuple[Path, ...]:
    """Loads the model once to see which files its process maps."""
    await engine.load(model)
    pids = [pid for loaded in await engine.loaded() if loaded.model == model for pid in loaded.pids]
    return await asyncio.to_thread(mapped_models, pids)


async def _start(
    engine: Engine, model: str, files: tuple[Path, ...], index: int, origin: float, *, cold: bool
) -> Sample:
    """One start, with its answer's first token, as one sample that begins when the load was asked for."""
    resident = await asyncio.to_thread(_prepare_files, files, cold)
    begin = time.perf_counter()
    times = await engine.load(model)
    failures: list[EngineError] = []
    request = ChatRequest(model, (Message("user", _QUESTION),), max_tokens=4, temperature=0.0)
    answer = await measure(engine, request, index=index, origin=origin, on_error=failures.append)
    if failures:
        raise failures[0]
    tags: dict[str, Scalar] = {"cache": _cache_state(resident, cold)}
    tags["stage"] = f"cold start, {tags['cache']} cache"
    if resident is not None:
        tags["resident_share"] = round(resident, 4)
    timings = {**answer.engine_timings, "load_s": times.load_s}
    if times.process_s is not None:
        timings["process_s"] = times.process_s
    if answer.ttft_s is not None:
        timings["first_token_s"] = answer.ttft_s
    start = begin - origin
    return replace(answer, intended_start_s=start, start_s=start, tags=tags, engine_timings=timings)


def _prepare_files(files: tuple[Path, ...], cold: bool) -> float | None:
    """Puts the files out of the cache where the start is to be cold; the share of them that is in memory now."""
    if cold:
        for file in files:
            drop(file)
    shares = [resident_share(file) for file in files]
    known = [share for share in shares if share is not None]
    return statistics.fmean(known) if known and len(known) == len(shares) else None


def _cache_state(resident: float | None, cold: bool) -> str:
    if resident is None:
        return "unknown" if cold else "warm"
    return "cold" if resident <= _COLD else "warm"
